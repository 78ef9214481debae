"""Several seeds: a run each, mean and spread; and what was stopped goes on."""

import json
import statistics

import pytest
from small_run import pairs, settings

from regard.errors import UserError
from regard.training import Interrupted, fit_seeds
from regard.training.seeds import summary
from regard.training.watch import Watch

SETTINGS = settings(steps=12, validate_every=6, metric="loss")


def run(folder, seeds=(3, 5), **more):
    return fit_seeds(SETTINGS, seeds, folder, pairs(100), pairs(10, 1), quiet=True, **more)


def test_mean_and_spread_are_the_samples():
    assert summary([30.0, 31.0, 35.0]) == pytest.approx({"mean": 32.0, "spread": statistics.stdev([30, 31, 35])})
    assert summary([30.0]) == {"mean": 30.0, "spread": None}


def test_a_stopped_set_of_runs_goes_on_and_ends_as_one_never_stopped(tmp_path, monkeypatch):
    whole = run(tmp_path / "whole")
    assert list(whole["runs"]) == ["3", "5"]
    assert whole["runs"]["3"] != whole["runs"]["5"]
    assert json.loads((tmp_path / "whole" / "seeds.json").read_text())["mean"] == whole["mean"]

    after = Watch.on_train_batch_end

    def interrupt(self, trainer, *rest):
        self.interrupted = self.folder.name == "seed-5" and trainer.global_step == 7
        after(self, trainer, *rest)

    with monkeypatch.context() as patch:
        patch.setattr(Watch, "on_train_batch_end", interrupt)
        with pytest.raises(Interrupted):
            run(tmp_path / "parts")
    assert list(json.loads((tmp_path / "parts" / "seeds.json").read_text())["runs"]) == ["3"]
    with pytest.raises(UserError, match="seeds were"):
        run(tmp_path / "parts", (3, 6), resume=True)
    assert run(tmp_path / "parts", resume=True) == whole
    with pytest.raises(UserError, match="training is done with all seeds"):
        run(tmp_path / "parts", resume=True)
    with pytest.raises(UserError, match="exists already"):
        run(tmp_path / "parts")
