"""Pairs that models wrote beside those there are: all of the old ones, each new one once, written once."""

from types import SimpleNamespace

import pytest

from regard.config import Settings
from regard.data.pairs import Pairs
from regard.errors import UserError
from regard.recipes import diversify
from regard.recipes.diversify import TRANSLATED, diversified, translated_once
from regard.recipes.once import train_once

PAIRS = Pairs(["a cat", "a dog", "a dog"], ["un chat", "un chien", "le chien"])


class Wordwise:
    """A translator by a table of words, which counts its calls."""

    calls = 0

    def __init__(self, words):
        self.words = words

    def to(self, dtype):
        return self

    def translate(self, sentences, **how):
        Wordwise.calls += 1
        texts = [" ".join(filter(None, (self.words.get(word) for word in text.split()))) for text in sentences]
        return [SimpleNamespace(text=text) for text in texts]


@pytest.fixture
def teachers(tmp_path, monkeypatch):
    tables = {
        "forward": {"a": "un", "cat": "matou", "dog": "chien"},
        "backward": {"un": "one", "chat": "cat", "chien": "dog"},
    }
    for name in tables:
        (tmp_path / name).mkdir()
    monkeypatch.setattr(diversify, "load", lambda folder: Wordwise(tables[folder.name]))
    return tmp_path / "forward", tmp_path / "backward"


def test_what_models_write_stands_beside_what_was_there(teachers):
    more = diversified(PAIRS, *teachers)
    written = list(zip(more.source, more.target, strict=True))
    assert written[:3] == list(zip(PAIRS.source, PAIRS.target, strict=True))
    # "un chien" was there; a dog was translated twice, and alike.
    assert written[3:] == [("a cat", "un matou"), ("one cat", "un chat"), ("one dog", "un chien"), ("dog", "le chien")]


def test_an_empty_translation_teaches_nothing(teachers):
    more = diversified(Pairs(["a bird"], ["oiseau"]), *teachers)
    assert more.source == ["a bird", "a bird"]
    assert more.target == ["oiseau", "un"]


def test_each_teacher_translates_once(teachers):
    before = Wordwise.calls
    first = diversified(PAIRS, *teachers)
    assert diversified(PAIRS, *teachers) == first
    assert Wordwise.calls - before == 2
    with pytest.raises(UserError, match=f"{TRANSLATED}: translations of other sentences: delete it"):
        diversified(Pairs(["a cat"], ["un chat"]), *teachers)


def test_a_trained_model_teaches(tmp_path):
    sizes = {"embedding": 8, "encoder_hidden": 8, "decoder_hidden": 8}
    settings = Settings.from_mapping({"model": sizes, "train": {"steps": 2, "vocabulary": 40}})
    train_once(settings, tmp_path / "model", lambda split: PAIRS, "three pairs", "model")
    texts = translated_once(tmp_path / "model", PAIRS.source)
    assert len(texts) == 3
    assert texts[1] == texts[2]
