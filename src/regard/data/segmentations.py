"""Subword regularisation: the same sentences, cut into other subwords each time they are read.

BPE dropout (Provilkov 2020): a word begins as its characters; at every step each merge that could be made is left out
with probability p, and of those that remain the earliest learned is made, until none remains. p = 0 is what the
tokenizer does. Of each word `WAYS` segmentations are drawn once, a function of the word alone; which of them a sentence
has is a function of the seed that it is drawn with, so a resumed run reads what the first would have read.
"""

import random
from collections.abc import Mapping, Sequence
from itertools import pairwise

from regard.data.tokenizer import UNK, Tokenizer

WAYS = 32  # in which each word may be cut; an epoch takes one at each place


class Segmentations:
    """Sentences as words that each know their ways to be cut."""

    def __init__(self, sentences: Sequence[str], tokenizer: Tokenizer, dropout: float):
        """Draw every word's ways; `dropout` is p, the share of merges left out."""
        ranks = {pair: rank for rank, pair in enumerate(tokenizer.merges())}
        numbers = tokenizer.numbers()
        ways: dict[str, list[tuple[int, ...]]] = {}
        self._sentences: list[list[list[tuple[int, ...]]]] = []
        for sentence in sentences:
            words = tokenizer.stretches(sentence)
            for word in words:
                if word not in ways:
                    ways[word] = _ways(word, ranks, numbers, dropout)
            self._sentences.append([ways[word] for word in words])

    def draw(self, seed: str) -> list[list[int]]:
        """Every sentence's subword numbers, one of its words' ways each, as this seed chooses."""
        chosen = iter(random.Random(seed).choices(range(WAYS), k=sum(map(len, self._sentences))))
        return [[i for ways in words for i in ways[next(chosen)]] for words in self._sentences]


def cut(word: str, ranks: Mapping[tuple[str, str], int], dropout: float, draw: random.Random) -> list[str]:
    """A word's subwords, where each merge that could be made is left out with probability `dropout`, at every step."""
    parts = list(word)
    while True:
        best = None
        for place, pair in enumerate(pairwise(parts)):
            rank = ranks.get(pair)
            # a merge that would not be the best need not be drawn for
            if rank is not None and (best is None or rank < best[0]) and draw.random() >= dropout:
                best = rank, place
        if best is None:
            return parts
        place = best[1]
        parts[place : place + 2] = [parts[place] + parts[place + 1]]


def _ways(
    word: str, ranks: Mapping[tuple[str, str], int], numbers: Mapping[str, int], dropout: float
) -> list[tuple[int, ...]]:
    draw = random.Random(word)
    same: dict[tuple[int, ...], tuple[int, ...]] = {}  # most ways are the same: kept once
    drawn = (tuple(numbers.get(part, UNK) for part in cut(word, ranks, dropout, draw)) for _ in range(WAYS))
    return [same.setdefault(way, way) for way in drawn]
