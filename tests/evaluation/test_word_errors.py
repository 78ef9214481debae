"""The word error rate, its distance against NLTK's."""

import random

import pytest
from nltk.metrics import edit_distance

from regard.evaluation.word_errors import edits, word_error_rate


@pytest.mark.parametrize(
    ("hypothesis", "reference", "rate"),
    [
        ("a b c", "a b c", 0),
        ("a c", "a b c", 1 / 3),  # one missing
        ("a x b c", "a b c", 1 / 3),  # one too many
        ("a x c", "a b c", 1 / 3),  # one replaced
        ("A b c", "a b c", 1 / 3),  # as written
        ("", "a b", 1),
        ("x y z u", "a b", 2),
        ("x y", "", 2),
        ("", "", 0),
    ],
)
def test_edits_per_word_of_the_reference(hypothesis, reference, rate):
    assert word_error_rate(hypothesis, reference) == pytest.approx(rate)


def test_edits_are_levenshteins():
    draw = random.Random(0)
    for _ in range(100):
        a, b = ([draw.choice("abcd") for _ in range(draw.randint(0, 9))] for _ in range(2))
        assert edits(a, b) == edit_distance(a, b)
