"""Training runs, small ones: they learn, leave a whole folder, and go on as if never stopped."""

import json

import pytest
import torch
from small_run import pairs, settings

from regard.data.pairs import Pairs
from regard.data.typed import with_typed
from regard.errors import UserError
from regard.folder import read_weights
from regard.training import Interrupted, fit
from regard.training.prepare import hold_out
from regard.training.snapshots import Snapshots
from regard.training.watch import Watch


def log(folder):
    return [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]


def well_written(pairs):
    """With a capital and a full stop."""
    return Pairs(*([f"{sentence.capitalize()}." for sentence in side] for side in (pairs.source, pairs.target)))


def test_it_learns_a_small_language_and_leaves_a_whole_folder(tmp_path):
    report = fit(settings(steps=250, validate_every=125), tmp_path / "m", pairs(500), pairs(40, 1), quiet=True)
    assert report.best_valid["valid_bleu"] > 60
    assert report.steps == 250
    assert report.stopped_because == "all steps done"
    assert "version:2" in report.best_valid["signature"]
    names = {path.name for path in (tmp_path / "m").iterdir()}
    assert names == {"config.json", "tokenizer.json", "model.safetensors", "metrics.jsonl", "training"}
    assert [entry["step"] for entry in log(tmp_path / "m")] == [50, 100, 125, 150, 200, 250, 250, 250]
    config = json.loads((tmp_path / "m" / "config.json").read_text())
    assert config["best_valid"]["step"] == report.best_valid["step"]
    assert config["pairs"] | {"sha256": ""} == {"train": 500, "valid": 40, "sha256": ""}
    assert str(tmp_path) not in (tmp_path / "m" / "config.json").read_text()


@pytest.mark.parametrize(
    ("stop_at", "how"), [(7, {}), (10, {}), (23, {}), (23, {"subword_dropout": 0.3}), (23, {"typed": 0.5})]
)
def test_a_stopped_run_goes_on_as_if_never_stopped(tmp_path, monkeypatch, stop_at, how):
    monkeypatch.setattr("regard.training.watch.LOG_EVERY", 4)
    whole, parts, chosen = tmp_path / "whole", tmp_path / "parts", settings(**how)
    train = well_written(pairs(200))
    fit(chosen, whole, train, pairs(20, 1), quiet=True)

    after = Watch.on_train_batch_end

    def interrupt(self, trainer, module, outputs, batch, batch_idx):
        self.interrupted = trainer.global_step == stop_at
        after(self, trainer, module, outputs, batch, batch_idx)

    with monkeypatch.context() as patch:
        patch.setattr(Watch, "on_train_batch_end", interrupt)
        with pytest.raises(Interrupted, match=f"saved after step {stop_at} of 30"):
            fit(chosen, parts, train, pairs(20, 1), quiet=True)
    report = fit(chosen, parts, train, pairs(20, 1), quiet=True, resume=True)
    assert report.steps == 30

    a, b = read_weights(whole), read_weights(parts)
    assert all(torch.equal(a[name], b[name]) for name in a)
    timed = {"tokens_per_second", "seconds"}
    timeless = [[{k: v for k, v in e.items() if k not in timed} for e in log(f)] for f in (whole, parts)]
    assert timeless[0] == timeless[1]
    assert sum("loss" in entry for entry in timeless[0]) == 7
    with pytest.raises(UserError, match="training is done; nothing is left to resume"):
        fit(chosen, parts, train, pairs(20, 1), quiet=True, resume=True)


def test_typed_forms_are_learned_beside_the_pairs(tmp_path, capsys):
    train = well_written(pairs(100))
    fit(settings(steps=1, typed=1.0), tmp_path / "typed", train, pairs(10, 1))
    assert "200 pairs to train on (100 of them as people type), 10 to validate on" in capsys.readouterr().err
    fit(settings(steps=1), tmp_path / "plain", with_typed(train, 1.0, 3), pairs(10, 1), quiet=True)
    a, b = (read_weights(tmp_path / name) for name in ("typed", "plain"))
    assert all(torch.equal(a[name], b[name]) for name in a)


def test_patience_ends_a_run_and_the_best_model_stays(tmp_path):
    report = fit(
        settings(learning_rate=1e-9, patience=2, validate_every=5, average=1),
        tmp_path / "m",
        pairs(100),
        pairs(10, 1),
        quiet=True,
    )
    assert report.steps == 15
    assert report.stopped_because == "2 validations without a better BLEU"
    assert report.best_valid["step"] == 5


def test_the_mean_of_the_last_weights_is_the_model_where_it_is_no_worse(tmp_path, monkeypatch, capsys):
    report = fit(settings(average=3, validate_every=5), tmp_path / "m", pairs(100), pairs(10, 1))
    said = capsys.readouterr().err
    snapshots = Snapshots(tmp_path / "m")
    mean, model = snapshots.mean([20, 25, 30]), read_weights(tmp_path / "m")
    *single, averaged = [entry for entry in log(tmp_path / "m") if "valid_bleu" in entry]
    assert averaged["averaged"] == [20, 25, 30]
    assert averaged["step"] == 30
    assert "mean of the weights of steps 20, 25, 30: validation loss" in said
    best = max(entry["valid_bleu"] for entry in single)
    kept = averaged["valid_bleu"] >= best
    assert report.best_valid["valid_bleu"] == max(best, averaged["valid_bleu"])
    assert report.best_valid.get("averaged") == ([20, 25, 30] if kept else None)
    assert ("which is the model" in said) == kept
    wanted = mean if kept else snapshots.read(report.best_valid["step"])
    assert all(torch.equal(model[name], wanted[name]) for name in wanted)
    assert json.loads((tmp_path / "m" / "config.json").read_text())["best_valid"] == report.best_valid


def test_a_mean_that_is_worse_is_not_kept(tmp_path, monkeypatch):
    monkeypatch.setattr(Snapshots, "mean", lambda self, steps: {k: v * 0 for k, v in self.read(steps[0]).items()})
    report = fit(settings(steps=150, validate_every=50), tmp_path / "m", pairs(300), pairs(20, 1), quiet=True)
    assert "averaged" not in report.best_valid
    best = Snapshots(tmp_path / "m").read(report.best_valid["step"])
    assert all(torch.equal(tensor, best[name]) for name, tensor in read_weights(tmp_path / "m").items())


def test_on_a_plateau_the_rate_is_halved_at_each_second_validation_without_a_better_one(tmp_path, monkeypatch):
    monkeypatch.setattr("regard.training.watch.LOG_EVERY", 5)
    chosen = settings(learning_rate=1e-9, warmup=0, schedule="plateau", validate_every=5)
    fit(chosen, tmp_path / "m", pairs(100), pairs(10, 1), quiet=True)
    rates = [entry["learning_rate"] for entry in log(tmp_path / "m") if "loss" in entry]
    assert rates == [1e-9, 1e-9, 1e-9, 0.5e-9, 0.5e-9, 0.25e-9]  # the best at step 5, none better at 10, 15, 20, 25


def test_the_loss_may_decide_which_validation_is_the_best(tmp_path):
    report = fit(settings(metric="loss"), tmp_path / "m", pairs(100), pairs(10, 1), quiet=True)
    losses = [entry["valid_loss"] for entry in log(tmp_path / "m") if "valid_loss" in entry]
    assert report.best_valid["valid_loss"] == min(losses)
    assert losses[2] < losses[1] < losses[0]


def test_other_pairs_are_not_resumed_with(tmp_path, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(Snapshots, "mean", lambda *_: 1 / 0)  # a run that dies at its end
        with pytest.raises(ZeroDivisionError):
            fit(settings(steps=4, validate_every=2), tmp_path / "m", pairs(50), pairs(10, 1), quiet=True)
    with pytest.raises(UserError, match="50 pairs and 10 to validate on, now 51 and 10: give it the same"):
        fit(settings(steps=4, validate_every=2), tmp_path / "m", pairs(51), pairs(10, 1), quiet=True, resume=True)
    with pytest.raises(UserError, match="50 pairs and 10 to validate on, now as many others: give it the same"):
        fit(settings(steps=4, validate_every=2), tmp_path / "m", pairs(50, 2), pairs(10, 1), quiet=True, resume=True)
    assert (
        fit(settings(steps=4, validate_every=2), tmp_path / "m", pairs(50), pairs(10, 1), quiet=True, resume=True).steps
        == 4
    )


def test_what_a_run_cannot_use_is_said_before_it_starts(tmp_path):
    (tmp_path / "there").mkdir()
    (tmp_path / "there" / "file").touch()
    with pytest.raises(UserError, match="exists already"):
        fit(settings(), tmp_path / "there", pairs(10))
    with pytest.raises(UserError, match="no such model folder"):
        fit(settings(), tmp_path / "none", pairs(10), resume=True)
    with pytest.raises(UserError, match="expected at least 2"):
        fit(settings(), tmp_path / "new", pairs(1))
    with pytest.raises(UserError, match="no pair of at most 1 subwords"):
        fit(settings(max_tokens=1), tmp_path / "long", Pairs(["a b c"] * 4, ["d e f"] * 4))


def test_resuming_wants_the_same_settings(tmp_path):
    fit(settings(steps=2, validate_every=1), tmp_path / "m", pairs(50), quiet=True)
    with pytest.raises(UserError, match=r"train\.seed was 3 and is 4 now: resume"):
        fit(settings(steps=2, validate_every=1, seed=4), tmp_path / "m", pairs(50), resume=True)


def test_pairs_left_out_are_named(tmp_path, capsys):
    given = pairs(30)
    train = Pairs([*given.source, "cat " * 50], [*given.target, "chat"], blank=[4])
    fit(settings(steps=1, max_tokens=20), tmp_path / "m", train, pairs(5, 1))
    said = (tmp_path / "m" / "training" / "left_out.txt").read_text().splitlines()
    assert said == ["train line 4: a side is empty", "train line 31: over 20 subwords"]
    assert (
        "left out 2 pairs (train line 4: a side is empty; train line 31: over 20 subwords)" in capsys.readouterr().err
    )


def test_held_out_pairs_keep_their_lines():
    train, valid = hold_out(pairs(25))
    assert (len(train), len(valid)) == (23, 2)
    assert valid.line(0) == 24
