"""A model is trained once and scored once, whatever stopped the recipe in between."""

from dataclasses import replace

import pytest

from regard.config import Settings
from regard.data.pairs import Pairs
from regard.errors import UserError
from regard.recipes.once import JUDGED, fine_tune_once, judge_once, train_once
from regard.training.fine_tuning import SELF_CRITICAL

SIZES = {"embedding": 8, "encoder_hidden": 8, "decoder_hidden": 8}
SETTINGS = Settings.from_mapping({"model": SIZES, "train": {"steps": 2, "vocabulary": 40}})
PAIRS = Pairs(["a small cat", "the small dog", "a dog"], ["un petit chat", "le petit chien", "un chien"])


def test_a_model_is_trained_once(tmp_path):
    asked = []

    def data(split):
        asked.append(split)
        return PAIRS

    for _ in range(2):
        train_once(SETTINGS, tmp_path / "model", data, "three pairs", "model")
    assert asked == ["train", "valid"]
    other = replace(SETTINGS, train=replace(SETTINGS.train, learning_rate=0.5))
    with pytest.raises(UserError, match=r"model: train\.learning_rate was 0\.001 and is 0\.5 now: delete it"):
        train_once(other, tmp_path / "model", data, "three pairs", "model")


def test_a_model_is_fine_tuned_once(tmp_path):
    asked, config = [], replace(SELF_CRITICAL, steps=1)

    def data(split):
        asked.append(split)
        return PAIRS

    train_once(SETTINGS, tmp_path / "model", data, "three pairs", "model")
    for _ in range(2):
        fine_tune_once(tmp_path / "model", tmp_path / "tuned", data, config, "three pairs")
    assert asked == ["train", "valid"] * 2
    with pytest.raises(UserError, match=r"tuned: train\.steps was 1 and is 2 now: delete it"):
        fine_tune_once(tmp_path / "model", tmp_path / "tuned", data, replace(config, steps=2), "three pairs")


def test_a_model_is_scored_once_in_one_way(tmp_path):
    scores = iter([{"BLEU": 30.0}])
    for _ in range(2):
        assert judge_once(tmp_path, {"beam": 5}, lambda: next(scores))["BLEU"] == 30
    with pytest.raises(UserError, match=f"{JUDGED}: judged with .*5.*now .*12"):
        judge_once(tmp_path, {"beam": 12}, lambda: next(scores))


def test_a_judging_that_breaks_leaves_nothing(tmp_path):
    def broken():
        raise RuntimeError("no memory")

    with pytest.raises(RuntimeError):
        judge_once(tmp_path, {}, broken)
    assert not list(tmp_path.iterdir())
