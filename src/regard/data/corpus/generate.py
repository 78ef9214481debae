"""Pairs by number: which random stream makes pair ``index`` of a split, and which sentences belong to which split."""

from collections.abc import Iterator
from dataclasses import dataclass
from random import Random
from typing import Literal
from zlib import crc32

from regard.data.corpus import sentences, surface
from regard.data.corpus.draft import Draft, French, Phrase
from regard.data.corpus.finite import finite
from regard.data.corpus.holdout import HELD_COMBINATIONS, HELD_CONSTRUCTIONS
from regard.data.corpus.lexicon import ADJECTIVE, NOUN, VERBS
from regard.data.corpus.noun_phrases import noun_group
from regard.errors import UserError

Split = Literal["train", "valid", "test"]
_SPLITS = {"train": 1, "valid": 2, "test": 3}
_HELD = HELD_COMBINATIONS | HELD_CONSTRUCTIONS
_MASK = (1 << 64) - 1
_VALID_SHARE = 5  # one sentence in so many belongs to valid, never to train
_LONGEST = 200


@dataclass(frozen=True)
class Pair:
    """One sentence in both languages, with its words and their gold alignment."""

    source: str
    target: str
    source_words: tuple[str, ...]
    target_words: tuple[str, ...]
    links: tuple[tuple[int, int], ...]
    constructions: frozenset[str]


def _mix(*numbers: int) -> int:
    """One 64-bit number from several (the finaliser of SplitMix64 after each), the same on every machine."""
    state = 0
    for number in numbers:
        state = (state + number + 0x9E3779B97F4A7C15) & _MASK
        state = ((state ^ (state >> 30)) * 0xBF58476D1CE4E5B9) & _MASK
        state = ((state ^ (state >> 27)) * 0x94D049BB133111EB) & _MASK
        state ^= state >> 31
    return state


def _in_valid(english: list[str]) -> bool:
    """Whether a sentence belongs to valid: by its words, without the end mark, whatever the seed."""
    return crc32(" ".join(english).encode()) % _VALID_SHARE == 0


def _finish(d: Draft, french: French, end: str) -> Pair:
    """Write the drafted pair out, with its end mark."""
    english = d.english
    if end:
        french.append((end, (d.say(end),)))
    words, links = surface.write(french)
    english[0] = surface.capitalised(english[0])
    words[0] = surface.capitalised(words[0])
    return Pair(
        surface.text(english),
        surface.text(words),
        tuple(english),
        tuple(words),
        tuple(sorted(set(links))),
        frozenset(d.tags),
    )


def _belongs(d: Draft, split: Split) -> bool:
    """Whether the split may have this draft: test needs something held out, train and valid share the others."""
    if split == "test":
        return not _HELD.isdisjoint(d.tags)
    return _in_valid(d.english) == (split == "valid")


def _pair(seed: int, split: Split, index: int, words: tuple[int, int]) -> Pair:
    rng = Random(_mix(seed, _SPLITS[split], index))
    size = words[0] + int(rng.random() * (words[1] - words[0] + 1))
    while True:
        d = Draft(rng, split == "test")
        french, asks = sentences.sentence(d, size)
        if _belongs(d, split):
            end = "?" if asks else "" if d.chance(1 / 3) else "."
            return _finish(d, french, end)


def generate(count: int, seed: int = 0, split: Split = "train", words: tuple[int, int] = (2, 60)) -> Iterator[Pair]:
    """The first ``count`` pairs of a split.

    Pair ``i`` depends on ``seed``, ``split``, ``i`` and ``words`` alone: asking for more pairs changes none of the
    first ones. ``words`` is the least and the greatest number of English words (punctuation not counted), both
    included; lengths are uniform between them.

    Raises:
        UserError: for an unknown split, a negative count, or a range of lengths outside 2 to 200.
    """
    if split not in _SPLITS:
        raise UserError(f"split is {split!r}; expected one of {', '.join(_SPLITS)}")
    if count < 0:
        raise UserError(f"count is {count}; expected 0 or more pairs")
    low, high = words
    if not 2 <= low <= high <= _LONGEST:
        raise UserError(f"words is ({low}, {high}); expected 2 <= low <= high <= {_LONGEST}")
    return (_pair(seed, split, index, (low, high)) for index in range(count))


def example() -> Pair:
    """The sentence no split of training contains: "I love deep learning", with its gold alignment."""
    d = Draft(Random(0), fresh=True)
    subject = Phrase([("je", (d.say("I"),))], person=0)
    head = finite(d, next(verb for verb in VERBS if verb.base == "love"), subject, "present")
    thing = noun_group(d, NOUN["learning"], False, "", [("", ADJECTIVE["deep"])])
    d.tags.add("new adjective-noun")
    return _finish(d, [*subject.french, *head.write([], (False, False)), *thing], "")
