"""The recipe of captions, from end to end on a few made-up pairs and a model of a few numbers."""

import json
import sys

import pytest

from regard.config import Settings
from regard.recipes import multi30k

CAPTIONS = {
    "en": ["a small cat sleeps", "the small dog runs", "a dog and a cat", "the cat runs"],
    "de": ["eine kleine katze schläft", "der kleine hund rennt", "ein hund und eine katze", "die katze rennt"],
}


def tiny(attention, seed, epochs=2):
    sizes = {"attention": attention, "embedding": 8, "encoder_hidden": 8, "decoder_hidden": 8}
    return Settings.from_mapping({"model": sizes, "train": {"epochs": epochs, "vocabulary": 50, "seed": seed}})


@pytest.fixture
def recipe(tmp_path, monkeypatch):
    folder = tmp_path / "data" / "multi30k"
    folder.mkdir(parents=True)
    for split in ("train", "val", "test_2016_flickr"):
        for language, lines in CAPTIONS.items():
            (folder / f"{split}.lc.norm.tok.{language}").write_text("\n".join(lines) + "\n", encoding="utf-8")
    monkeypatch.setattr(multi30k, "settings", tiny)
    monkeypatch.setattr(multi30k, "BEAM", 2)

    def run(*more):
        out = tmp_path / "out"
        given = ["--data-dir", tmp_path / "data", "--out", out, "--target", "de", "--seeds", 1, 2, *more]
        monkeypatch.setattr(sys, "argv", ["multi30k", *map(str, given)])
        multi30k.main()
        return json.loads((out / "results.json").read_bytes()), sorted(path.name for path in out.iterdir())

    return run


def test_each_seed_is_trained_and_judged_once(recipe, capsys):
    results, made = recipe()
    assert made == ["additive-en-de-seed-1", "additive-en-de-seed-2", "results.json"]
    assert len(results["additive"]["test_bleu"]["values"]) == 2
    assert recipe()[0]["additive"] == results["additive"]


def test_diversified_models_have_a_teacher_in_each_direction(recipe, capsys):
    results, made = recipe("--diversify")
    assert made == [
        "additive-de-en-seed-1", "additive-diverse-seed-1", "additive-diverse-seed-2", "additive-en-de-seed-1",
        "results.json",
    ]  # fmt: skip
    assert results["diversified"]
    assert list(results["additive"]["seeds"]) == ["1", "2"]


def test_fine_tuning_goes_on_from_each_model(recipe, capsys):
    _, made = recipe("--fine-tune", "1")
    assert made == [
        "additive-en-de-seed-1", "additive-en-de-seed-1-bleu-1", "additive-en-de-seed-2",
        "additive-en-de-seed-2-bleu-1", "results.json",
    ]  # fmt: skip
