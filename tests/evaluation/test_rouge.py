"""ROUGE against numbers of the package rouge-score 0.1.2 (without its stemmer), and against plain enumeration."""

import itertools
import random

import pytest

from regard.evaluation.rouge import longest_common, rouge_l, rouge_n

SCORED = [  # hypothesis, reference, ROUGE-1, -2, -L
    ("the small cat sees a red dog", "a small dog sees the red cat", 1.0, 0.0, 0.42857142857142855),
    ("The cat, the cat and the dog!", "the dog and a cat", 0.6666666666666666, 0.2, 0.3333333333333333),
    ("red", "blue", 0.0, 0.0, 0.0),
    ("one two three four", "one two three four", 1.0, 1.0, 1.0),
    ("", "a b", 0.0, 0.0, 0.0),
    ("b a c a d d d d b a d a", "d d a d c b a c a", 0.761904761904762, 0.631578947368421, 0.5714285714285715),
    ("a a a d b d a b d d b c", "b b d c a d a b c", 0.761904761904762, 0.5263157894736842, 0.5714285714285715),
    ("a c d b c c d d a d b d", "d b c c a d a b d", 0.8571428571428571, 0.631578947368421, 0.761904761904762),
]


@pytest.mark.parametrize(("hypothesis", "reference", "one", "two", "longest"), SCORED)
def test_it_gives_the_numbers_of_rouge_score(hypothesis, reference, one, two, longest):
    found = [rouge_n(hypothesis, reference, 1), rouge_n(hypothesis, reference, 2), rouge_l(hypothesis, reference)]
    assert found == pytest.approx([one, two, longest], abs=1e-12)


def test_letters_of_any_script_make_words():
    assert rouge_l("Où est l'été ?", "où est l’hiver") == pytest.approx(2 * 3 / (4 + 4))


def test_the_longest_common_subsequence_is_the_longest_of_all():
    draw = random.Random(0)
    for _ in range(50):
        a, b = ([draw.choice("abc") for _ in range(draw.randint(0, 7))] for _ in range(2))
        of = [set(itertools.chain.from_iterable(itertools.combinations(x, n) for n in range(8))) for x in (a, b)]
        assert longest_common(a, b) == max(map(len, of[0] & of[1]))
