"""Paired bootstrap: sacreBLEU's own for BLEU and chrF, its formula for alignment error; the seed decides, not order."""

import random

import numpy as np
import pytest
import sacrebleu
from sacrebleu.significance import PairedTest

from regard.errors import UserError
from regard.evaluation.alignment import Gold, alignment_error
from regard.evaluation.significance import compare_alignments, compare_scores

NAMES = ["chat", "chien", "arbre", "livre", "maison", "jardin", "pomme", "oiseau"]
REFERENCES = [f"le {NAMES[i % 8]} voit {i} fois la petite {NAMES[i // 8 % 8]} rouge" for i in range(80)]


def system(wrong):
    return [text.replace("petite", "grande") if i in wrong else text for i, text in enumerate(REFERENCES)]


GOOD, LIKE_IT, BAD = system(range(0, 9)), system(range(30, 38)), system(range(0, 64))


def test_bleu_and_chrf_are_sacrebleus_own_test():
    metrics = {"BLEU": sacrebleu.metrics.BLEU(), "chrF2": sacrebleu.metrics.CHRF()}
    test = PairedTest([("a", GOOD), ("b", LIKE_IT)], metrics, [REFERENCES], test_type="bs", n_samples=200)
    signatures, expected = test()
    found = compare_scores(GOOD, LIKE_IT, REFERENCES, samples=200)
    assert [comparison.name for comparison in found] == ["BLEU", "chrF2"]
    for comparison in found:
        first, second = expected[comparison.name]
        assert (comparison.first.value, comparison.second.value) == (first.score, second.score)
        assert comparison.p == second.p_value
        assert (comparison.second.mean, comparison.second.half) == (second.mean, second.ci)
        assert comparison.signature == str(signatures[comparison.name])
        assert "bs:200|seed:12345" in comparison.signature


def test_a_large_difference_is_significant_and_none_is_not():
    large, small, none = (compare_scores(GOOD, other, REFERENCES, samples=200)[0] for other in (BAD, LIKE_IT, GOOD))
    assert large.significant
    assert "significant at 0.05" in str(large)
    assert not small.significant
    assert none.p == 1.0
    assert "may be chance" in str(none)


def test_order_changes_no_p_and_a_seed_repeats(monkeypatch):
    there = compare_scores(GOOD, LIKE_IT, REFERENCES, samples=100)
    back = compare_scores(LIKE_IT, GOOD, REFERENCES, samples=100)
    assert [(c.p, c.first, c.second) for c in there] == [(c.p, c.second, c.first) for c in back]
    monkeypatch.setenv("SACREBLEU_SEED", "7")
    other = compare_scores(GOOD, LIKE_IT, REFERENCES, samples=100)
    assert "seed:7" in other[0].signature
    assert other[0].first != there[0].first
    monkeypatch.setenv("SACREBLEU_SEED", "seven")
    with pytest.raises(UserError, match="SACREBLEU_SEED is 'seven'"):
        compare_scores(GOOD, LIKE_IT, REFERENCES)


@pytest.mark.parametrize(
    ("arguments", "options", "says"),
    [
        ((GOOD, BAD[1:], REFERENCES), {}, "79 hypotheses but 80 references"),
        (([], [], []), {}, "no sentences"),
        ((GOOD, BAD, REFERENCES), {"tokenize": "13b"}, "unknown BLEU tokeniser"),
        ((GOOD, BAD, REFERENCES), {"samples": 0}, "at least 1 draw"),
        ((GOOD, BAD, REFERENCES), {"samples": 10_000_000}, "need 58 GB at once: take at most 1,388,888 samples"),
    ],
)
def test_what_cannot_be_compared_is_said(arguments, options, says):
    with pytest.raises(UserError, match=says):
        compare_scores(*arguments, **options)


def alignments(seed, share):
    draw = random.Random(seed)
    return [frozenset((i, i if draw.random() < share else 0) for i in range(1, 8)) for _ in range(60)]


def test_alignment_error_by_the_same_formula():
    gold = [Gold.of({(i, i) for i in range(1, 8)}) for _ in range(60)]
    first, like_it, bad = alignments(1, 0.7), alignments(2, 0.7), alignments(3, 0.3)
    found = compare_alignments(first, like_it, gold, samples=300, seed=5)
    assert found.first.value == pytest.approx(100 * alignment_error(first, gold).aer)
    assert abs(found.first.mean - found.first.value) < 1
    assert 1 < found.first.half < 8
    back = compare_alignments(like_it, first, gold, samples=300, seed=5)
    assert (found.p, found.first, found.second) == (back.p, back.second, back.first)
    assert found == compare_alignments(first, like_it, gold, samples=300, seed=5)
    assert not found.significant
    assert compare_alignments(first, bad, gold).p == pytest.approx(1 / 1001)
    assert compare_alignments(first, list(first), gold).p == 1.0
    assert found.signature == "bs:300|seed:5"


def test_p_is_small_about_as_often_as_it_says_where_there_is_no_difference():
    """Under the null of two systems of one quality, p < 0.05 in about one test in twenty, or less."""
    gold = [Gold.of({(i, i) for i in range(1, 8)}) for _ in range(60)]
    tests = [
        compare_alignments(alignments(2 * i, 0.7), alignments(2 * i + 1, 0.7), gold, samples=100) for i in range(60)
    ]
    assert np.mean([test.significant for test in tests]) <= 0.15
