from collections import Counter
from itertools import combinations, pairwise
from random import Random

import pytest

from regard.data.segmentations import WAYS, Segmentations, cut
from regard.data.tokenizer import Tokenizer

SENTENCES = ["the readers read the old books .", "l' homme qui lit & qui rêve", "naïve ☃ readers", ""]
MERGES = [("a", "b"), ("c", "d"), ("b", "c"), ("ab", "cd")]


@pytest.fixture(scope="module")
def tokenizer():
    return Tokenizer.train(SENTENCES[:2] * 5, 60)


def spelled(tokenizer, drawn):
    return [tokenizer.decode(ids) for ids in drawn]


def test_without_dropout_it_is_the_tokenizer(tokenizer):
    assert Segmentations(SENTENCES, tokenizer, 0.0).draw("1") == tokenizer.encode(SENTENCES)


def test_whatever_is_drawn_spells_the_sentences(tokenizer):
    segmentations = Segmentations(SENTENCES[:2], tokenizer, 0.5)
    for seed in range(20):
        assert spelled(tokenizer, segmentations.draw(str(seed))) == SENTENCES[:2]


def test_a_seed_says_all(tokenizer):
    one, same = (Segmentations(SENTENCES, tokenizer, 0.3) for _ in range(2))
    assert one.draw("1/0") == same.draw("1/0")
    assert one.draw("1/0") == one.draw("1/0")
    assert len({str(one.draw(f"1/{epoch}")) for epoch in range(9)}) == 9
    assert len(one.draw("1")) == len(SENTENCES)


def test_without_merges_a_word_is_its_characters(tokenizer):
    drawn = Segmentations(["readers"], tokenizer, 1 - 1e-9).draw("1")
    assert tokenizer.pieces(drawn[0]) == list("▁readers")


def enumerated(parts, ranks, p):
    """Each outcome's probability, by adding up every set of merges that could be left out at every step."""
    places = [i for i, pair in enumerate(pairwise(parts)) if pair in ranks]
    outcomes = Counter()
    for size in range(len(places) + 1):
        for kept in combinations(places, size):
            share = (1 - p) ** size * p ** (len(places) - size)
            if not kept:
                outcomes[tuple(parts)] += share
                continue
            at = min(kept, key=lambda i: ranks[parts[i], parts[i + 1]])
            merged = [*parts[:at], parts[at] + parts[at + 1], *parts[at + 2 :]]
            for outcome, within in enumerated(merged, ranks, p).items():
                outcomes[outcome] += share * within
    return outcomes


def test_the_odds_are_those_of_the_paper():
    ranks = {pair: rank for rank, pair in enumerate(MERGES)}
    draw, n = Random(1), 20_000
    seen = Counter(tuple(cut("abcdab", ranks, 0.3, draw)) for _ in range(n))
    expected = enumerated(list("abcdab"), ranks, 0.3)
    assert sum(expected.values()) == pytest.approx(1)
    assert set(seen) <= set(expected)
    for outcome, share in expected.items():
        assert seen[outcome] / n == pytest.approx(share, abs=4 * (share * (1 - share) / n) ** 0.5)


def test_the_earliest_learned_merge_comes_first():
    ranks = {pair: rank for rank, pair in enumerate(MERGES)}
    assert cut("abcd", ranks, 0.0, Random(1)) == ["abcd"]
    assert cut("bcd", ranks, 0.0, Random(1)) == ["b", "cd"]
    assert cut("", ranks, 0.0, Random(1)) == []
    assert WAYS >= 20
