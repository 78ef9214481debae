"""CIDEr-D against the authors' program (pycocoevalcap 1.2, given these document frequencies), and by hand."""

import math

import pytest

from regard.errors import UserError
from regard.evaluation.cider import CiderD

DOCUMENTS = [
    ["a small cat sits on the mat", "the cat sits there"],
    ["a dog runs over the mat", "a small dog runs"],
    ["the bird sings", "a bird sings in the tree"],
    ["a small bird sits on the tree"],
]
SCORED = [
    ("a small cat sits on the tree", DOCUMENTS[0], 5.1748061791235305),
    ("a dog runs", ["a small dog runs"], 3.6590926716652437),
    ("a dog a dog a dog a dog", DOCUMENTS[1], 0.453755582535172),
    ("the bird sings", ["the bird sings"], 7.5),  # it has no four words in a row
    ("a fish swims", ["a fish swims fast"], 5.769558044300133),
    ("the bird sings in the tree and the dog runs over the mat there", DOCUMENTS[2], 1.1900264702994419),
]


@pytest.mark.parametrize(("hypothesis", "references", "value"), SCORED)
def test_it_gives_the_numbers_of_the_authors_program(hypothesis, references, value):
    assert CiderD(DOCUMENTS)(hypothesis, references) == pytest.approx(value, rel=1e-12)


def test_worked_by_hand():
    score = CiderD([["x y"], ["x z"]])  # df: x 2, y 1, z 1, "x y" 1, "x z" 1; log 2/2 = 0
    assert score.weight(("x",)) == 0
    assert score.weight(("y",)) == score.weight(("unheard",)) == pytest.approx(math.log(2))
    # "x y" against "x z": of single words only x is shared, and it says nothing; no pair is shared
    assert score("x y", ["x z"]) == 0
    # "y y" against "x y": g = (2 log 2), (log 2); min 1 of it; log 2 · log 2 / (2 log 2 · log 2) = 1/2; pairs: none
    assert score("y y", ["x y"]) == pytest.approx(10 * 0.5 / 4)
    # "x y x y y" is 3 words longer; y: 3 against 1, so 1/3; "x y": 2 against 1 and beside "y x", "y y": 1/√6
    assert score("x y x y y", ["x y"]) == pytest.approx(10 * (1 / 3 + 1 / math.sqrt(6)) / 4 * math.exp(-9 / 72))


def test_frequencies_are_of_documents_and_of_the_training_set():
    score = CiderD(DOCUMENTS)
    assert score.frequency[("bird", "sings")] == 1  # in two references of one document
    assert score.frequency[("a",)] == 4
    assert score.weight(("small", "dog")) == pytest.approx(math.log(4))
    before = dict(score.frequency)
    score("a small dog", ["a new sentence", "another"])
    assert score.frequency == before  # what is judged changes nothing


def test_the_end_may_count_as_a_word():
    whole = CiderD(DOCUMENTS, ends=True)
    assert whole("the bird sings", ["the bird sings"]) == pytest.approx(10)
    cut_off, ended = "a bird sings in the", "a bird sings in tree"
    reference = ["a bird sings in the tree"]
    without = CiderD(DOCUMENTS)
    assert whole(ended, reference) / whole(cut_off, reference) > without(ended, reference) / without(cut_off, reference)


def test_nothing_shares_nothing():
    assert CiderD(DOCUMENTS)("", ["a cat"]) == 0
    assert CiderD(DOCUMENTS)("a cat", [""]) == 0


def test_one_document_tells_nothing():
    with pytest.raises(UserError, match="1 training documents; it needs two or more"):
        CiderD([["a cat", "a dog"]])
