"""Fine-tuning by self-critical training: from one model folder to another that earns more."""

import json

import pytest
import torch
from small_run import pairs, settings

from regard.data.tokenizer import Tokenizer
from regard.errors import UserError
from regard.evaluation.rewards import reward
from regard.folder import read_weights
from regard.training import Interrupted, fit
from regard.training.fine_tuning import SELF_CRITICAL, fine_tune
from regard.training.watch import Watch
from regard.translator import Translator

TRAIN, VALID = pairs(500), pairs(60, 1)
TUNE = settings(steps=100, validate_every=50, learning_rate=1e-3, batch_tokens=256, schedule="constant").train


@pytest.fixture(scope="module")
def start(tmp_path_factory):
    folder = tmp_path_factory.mktemp("start") / "m"
    fit(settings(steps=230, validate_every=230), folder, TRAIN, VALID, quiet=True)
    return folder


def short(**options):
    return settings(**{"steps": 6, "validate_every": 3, "learning_rate": 1e-3} | options).train


@pytest.mark.slow
def test_the_reward_rises_and_the_folder_is_a_translator(start, tmp_path):
    found = fine_tune(start, tmp_path / "m", TRAIN, VALID, reward="bleu", config=TUNE, quiet=True)
    assert found.run.steps == 100
    assert 0.85 < found.reward_before < 0.96
    assert found.reward_after > found.reward_before + 0.015
    for folder, value in ((start, found.reward_before), (tmp_path / "m", found.reward_after)):
        translator = Translator.load(folder)
        texts = [t.text for t in translator.translate(VALID.source, beam=1)]
        (mean,) = [sum(reward("bleu")(texts, [[t] for t in VALID.target])) / len(texts)]
        assert mean == pytest.approx(value, abs=1e-6)
    config = json.loads((tmp_path / "m" / "config.json").read_text())
    assert config["objective"] == "self-critical: bleu, leave-one-out baseline, 5 samples"
    assert config["model"]["dropout"] == 0
    assert (tmp_path / "m" / "tokenizer.json").read_bytes() == (start / "tokenizer.json").read_bytes()


def test_it_begins_with_the_starts_weights(start, tmp_path):
    fine_tune(start, tmp_path / "m", TRAIN, VALID, config=short(learning_rate=1e-12, average=1), quiet=True)
    before, after = read_weights(start), read_weights(tmp_path / "m")
    assert before.keys() == after.keys()
    for name in before:
        torch.testing.assert_close(after[name], before[name], rtol=0, atol=1e-9)


def test_a_stopped_run_goes_on_as_if_never_stopped(start, tmp_path, monkeypatch):
    given = {"reward": "cider-d", "baseline": "greedy", "samples": 2, "config": short(), "quiet": True}
    fine_tune(start, tmp_path / "whole", TRAIN, VALID, **given)
    after = Watch.on_train_batch_end

    def interrupt(self, trainer, module, outputs, batch, batch_idx):
        self.interrupted = trainer.global_step == 4
        after(self, trainer, module, outputs, batch, batch_idx)

    with monkeypatch.context() as patch:
        patch.setattr(Watch, "on_train_batch_end", interrupt)
        with pytest.raises(Interrupted):
            fine_tune(start, tmp_path / "parts", TRAIN, VALID, **given)
    own = json.loads((tmp_path / "parts" / "config.json").read_text())
    chosen = settings().from_mapping({"model": own["model"], "train": own["train"]})
    with pytest.raises(UserError, match=r"begun with self-critical: cider-d.* which is now cross-entropy: resume"):
        fit(chosen, tmp_path / "parts", TRAIN, VALID, resume=True, quiet=True)
    fine_tune(start, tmp_path / "parts", TRAIN, VALID, **given, resume=True)
    a, b = read_weights(tmp_path / "whole"), read_weights(tmp_path / "parts")
    assert all(torch.equal(a[name], b[name]) for name in a)


def test_document_frequencies_are_of_the_training_pairs(start, tmp_path, monkeypatch):
    seen = []
    monkeypatch.setattr(
        "regard.training.fine_tuning.reward_of",
        lambda name, documents: seen.append(documents) or reward(name, documents),
    )
    fine_tune(start, tmp_path / "m", TRAIN, VALID, reward="cider-d", config=short(steps=1), quiet=True)
    assert seen == [[[text] for text in TRAIN.target]]


def test_what_it_refuses(start, tmp_path):
    with pytest.raises(UserError, match="unknown reward 'bleau'"):
        fine_tune(start, tmp_path / "m", TRAIN, VALID, reward="bleau")
    with pytest.raises(UserError, match="no such model folder"):
        fine_tune(tmp_path / "none", tmp_path / "m", TRAIN, VALID)
    with pytest.raises(UserError, match="exists already"):
        fine_tune(start, start, TRAIN, VALID)
    assert not (tmp_path / "m").exists()
    assert len(Tokenizer.load(start / "tokenizer.json")) > 0
    assert SELF_CRITICAL.label_smoothing == 0


def test_the_translator_that_comes_along_may_be_the_start_and_half_precision_the_format(tmp_path):
    from regard.recipes.builtin import builtin_pairs

    chosen = short(steps=1, precision="bfloat16", average=1)
    found = fine_tune(
        "en-fr", tmp_path / "m", builtin_pairs("train", 20), builtin_pairs("valid", 10), config=chosen, quiet=True
    )
    assert found.reward_before > 0.5
    assert found.run.steps == 1
