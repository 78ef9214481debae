"""The built-in corpus as sentence pairs: the default wherever data is asked for and none is given."""

from __future__ import annotations

from typing import Literal

from rich.console import Console
from rich.progress import track

from regard.data.corpus import Pair, generate
from regard.data.pairs import Pairs

Split = Literal["train", "valid", "test"]
# Sentences; enough for a model that translates the corpus well.
COUNTS: dict[Split, int] = {"train": 20_000, "valid": 500, "test": 1_000}


def builtin_pairs(split: Split, count: int | None = None, seed: int = 0) -> Pairs:
    """English–French pairs of 2 to 60 source words; the test split holds out combinations and constructions.

    count: sentences; None takes `COUNTS`.
    """
    return as_pairs(written(split, COUNTS[split] if count is None else count, seed))


def written(split: Split, count: int, seed: int, words: tuple[int, int] = (2, 60)) -> list[Pair]:
    """The pairs themselves, with their words; a bar on stderr where somebody may be waiting for many."""
    console = Console(stderr=True)
    pairs = generate(count, seed=seed, split=split, words=words)
    watched = console.is_terminal and count > 5_000
    return list(
        track(pairs, f"writing {count:,} pairs", total=count, console=console, transient=True, disable=not watched)
    )


def as_pairs(pairs: list[Pair]) -> Pairs:
    """Sources and targets alone."""
    return Pairs([pair.source for pair in pairs], [pair.target for pair in pairs])
