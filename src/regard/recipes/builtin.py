"""The built-in corpus as sentence pairs: the default wherever data is asked for and none is given."""

from __future__ import annotations

from typing import Literal

from regard.data.corpus import generate
from regard.data.pairs import Pairs

Split = Literal["train", "valid", "test"]
# Sentences; enough for a model that translates the corpus well.
COUNTS: dict[Split, int] = {"train": 20_000, "valid": 500, "test": 1_000}


def builtin_pairs(split: Split, seed: int = 0) -> Pairs:
    """English–French pairs of 2 to 60 source words; the test split holds out combinations and constructions."""
    pairs = list(generate(COUNTS[split], seed=seed, split=split))
    return Pairs([pair.source for pair in pairs], [pair.target for pair in pairs])
