"""What decoding asks of a model: a source prepared once, and one small step.

`source` state is made once per sentence and only ever pruned; `beam` state begins with (sentences, hypotheses) and is
reordered at every step. The results are hypotheses, each with the weights of its steps where they were asked for.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple, Protocol, Self

import torch
from jaxtyping import Float, Int
from torch import Tensor

from regard.errors import UserError
from regard.models.step import Next


class SourceState(Protocol):
    """Sentences, encoded."""

    def select(self, rows: Int[Tensor, " rows"]) -> Self:
        """Some of the sentences."""
        ...


class BeamState(Protocol):
    """What the hypotheses of each sentence carry from step to step."""

    def select(self, rows: Int[Tensor, " rows"]) -> Self:
        """The hypotheses of some of the sentences."""
        ...

    def reorder(self, parents: Int[Tensor, "batch beam"]) -> Self:
        """The states of the hypotheses' parents; there may be more hypotheses than before."""
        ...


class StepModel(Protocol):
    """A model that can be decoded."""

    def encode(self, source: Int[Tensor, "batch source"], lengths: Int[Tensor, " batch"]) -> Any:
        """The source state."""
        ...

    def start(self, source: Any, beams: int) -> Any:
        """The beam state before the first word."""
        ...

    def step(self, tokens: Int[Tensor, "batch beam"], state: Any, source: Any, *, weights: bool) -> Next:
        """One word further: `tokens` are the last words so far. The logits may be written over."""
        ...


class Hypothesis(NamedTuple):
    """One translation as subword numbers, without its end mark.

    `log_prob` is log p of all its words and of its end; `score` is what the search ranked it by. A hypothesis that was
    cut at the longest length allowed has no end: `complete` is False. `weights[t]` is α at step t, the end's included.
    """

    tokens: list[int]
    log_prob: float
    score: float
    complete: bool
    weights: Float[Tensor, "steps source"] | None


Prefixes = Sequence[Sequence[int]] | None
"""What each sentence's output begins with, as subword numbers; none where it is empty."""


def longest(lengths: Int[Tensor, " batch"]) -> Int[Tensor, " batch"]:
    """How many steps a sentence may take: twice its source tokens and ten. It depends on nothing else in the batch."""
    return 2 * lengths + 10


def limits(lengths: Int[Tensor, " batch"], prefixes: Prefixes, max_length: int | None) -> Int[Tensor, " batch"]:
    """How many steps each sentence may take; UserError if its prefix alone fills the `max_length`."""
    forced = torch.tensor([len(prefix) for prefix in prefixes or [()] * len(lengths)], device=lengths.device)
    if max_length is None:
        return longest(lengths) + forced
    if forced.numel() and int(forced.max()) >= max_length:
        raise UserError(f"max_length: {max_length} leaves no room after a prefix of {int(forced.max())} subwords")
    return torch.full_like(lengths, max_length)
