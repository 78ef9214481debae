"""A sentence pair in the making: the English words so far, and how French tokens point to them.

The grammar says the English words in their order, one after the other, and returns the French as tokens that carry
the places of the English words they render. So the alignment is never guessed: it is how the sentence was made.
"""

from collections.abc import Sequence
from random import Random
from typing import TypeVar

from regard.data.corpus.choices import Partners
from regard.data.corpus.lexicon import Noun

Item = TypeVar("Item")
Token = tuple[str, tuple[int, ...]]  # a French word and the English places it is linked to
French = list[Token]


class Draft:
    """One pair being built.

    ``fresh`` is set for the test split: held-out combinations and constructions are allowed and often chosen.
    """

    __slots__ = ("english", "fresh", "in_question", "in_relative", "random", "tags", "timed")

    def __init__(self, rng: Random, fresh: bool) -> None:
        self.random = rng.random
        self.fresh = fresh
        self.english: list[str] = []
        self.tags: set[str] = set()
        self.in_relative = False
        self.in_question = False
        self.timed = False  # the clause has said when already

    def say(self, word: str) -> int:
        """Add an English word; its place."""
        self.english.append(word)
        return len(self.english) - 1

    def say_all(self, words: Sequence[str]) -> tuple[int, ...]:
        """Add English words; their places."""
        start = len(self.english)
        self.english.extend(words)
        return tuple(range(start, len(self.english)))

    def chance(self, share: float) -> bool:
        """True in ``share`` of the cases."""
        return self.random() < share

    def pick(self, items: Sequence[Item]) -> Item:
        """One of the items, all equally likely."""
        return items[int(self.random() * len(items))]

    def between(self, low: int, high: int) -> int:
        """An integer from ``low`` to ``high``, both included."""
        return low + int(self.random() * (high - low + 1))

    def partner(self, partners: Partners[Item], tag: str) -> Item:
        """A partner this split may use; ``tag`` is noted when it is a held-out one."""
        if self.fresh and partners.held and (not partners.seen or self.random() < 0.3):
            self.tags.add(tag)
            return self.pick(partners.held)
        return self.pick(partners.seen)


class Phrase:
    """A noun phrase or pronoun: its French, and what agrees with it."""

    __slots__ = ("feminine", "french", "kind", "nouns", "person", "plural")

    def __init__(
        self,
        french: French,
        *,
        person: int = 2,
        feminine: bool = False,
        plural: bool = False,
        nouns: tuple[Noun, ...] = (),
        kind: str = "P",
    ) -> None:
        self.french = french
        self.person = person  # 0 to 4: je, vous, il, nous, ils
        self.feminine = feminine
        self.plural = plural
        self.nouns = nouns  # the heads; none for a pronoun
        self.kind = kind
