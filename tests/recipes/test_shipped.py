"""The model that ships: there, small enough, attributed, and what its card says it prints."""

import json

import pytest

from regard import load
from regard.data.corpus import example
from regard.recipes.shipped import CARD, LARGEST, all_references, card
from regard.shipped import DEFAULT, find


@pytest.fixture(scope="module")
def folder():
    return find(DEFAULT)


def test_it_is_whole_and_small(folder):
    assert sorted(file.name for file in folder.iterdir()) == [
        CARD, "config.json", "model.safetensors", "tokenizer.json"
    ]  # fmt: skip
    assert sum(file.stat().st_size for file in folder.iterdir()) <= LARGEST


def test_its_card_attributes_and_tells_what_it_prints(folder):
    text = (folder / CARD).read_text(encoding="utf-8")
    (translation,) = load(DEFAULT).translate([example().source])
    for said in (
        "CC BY 2.0",
        "www.manythings.org/anki",
        "tatoeba.org",
        "supplement",
        translation.text,
        "BLEU",
        "Limits",
    ):
        assert said in text


def test_the_card_is_the_recipes_own(folder, pytestconfig):
    results = json.loads((pytestconfig.rootpath / "benchmarks/results/shipped.json").read_text(encoding="utf-8"))
    assert (folder / CARD).read_text(encoding="utf-8") == card(results)


def test_it_translates_and_shows_where_it_looked():
    (translation,) = load(DEFAULT).translate(["The cat is black."])
    assert translation.text == "Le chat est noir."
    assert translation.attention.shape == (len(translation.target_words), len(translation.source_words))
    assert [translation.attention[j].argmax() for j in range(4)] == [0, 1, 2, 3]


def test_a_sentence_may_have_fewer_references_than_another():
    perfect = all_references(
        ["le chat dort ici", "je le vois bien"], [["un chat dort", "le chat dort ici"], ["je le vois bien"]]
    )
    assert perfect.value == pytest.approx(100)
    assert "nrefs:var" in perfect.signature
