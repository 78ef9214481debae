"""Batches of about equal numbers of tokens, as a pure function of (seed, epoch, index).

Pairs of equal source length come together, so that hardly a token is padding; which of them share a batch and in which
order the batches come is drawn anew each epoch. Nothing is remembered: a run that resumes at step n asks for batch n.
"""

import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import count, islice
from typing import Self

import torch
from jaxtyping import Int
from torch import Tensor

from regard.data.pairs import Pairs
from regard.data.tokenizer import BOS, EOS, PAD, Tokenizer


@dataclass(frozen=True)
class Encoded:
    """Pairs as subword numbers, the target's end mark included; `long` numbers the pairs left out as over-long."""

    source: list[list[int]]
    target: list[list[int]]
    long: list[int]

    @classmethod
    def of(cls, pairs: Pairs, tokenizer: Tokenizer, max_tokens: int) -> Self:
        """Encode; a pair with a side of more than `max_tokens` subwords is left out and its index kept in `long`."""
        source = tokenizer.encode(pairs.source)
        target = [[*ids, EOS] for ids in tokenizer.encode(pairs.target)]
        fits = [max(len(s), len(t) - 1) <= max_tokens for s, t in zip(source, target, strict=True)]
        return cls(
            [s for s, fit in zip(source, fits, strict=True) if fit],
            [t for t, fit in zip(target, fits, strict=True) if fit],
            [index for index, fit in enumerate(fits) if not fit],
        )

    def __len__(self) -> int:
        return len(self.source)


@dataclass(frozen=True)
class Batch:
    """Sentences side by side, longest source first. Teacher forcing reads `target_in` and is asked for `target_out`."""

    source: Int[Tensor, "batch source"]
    source_lengths: Int[Tensor, " batch"]
    target_in: Int[Tensor, "batch target"]
    target_out: Int[Tensor, "batch target"]
    tokens: int  # target tokens without padding, ends included


def pad(rows: Sequence[Sequence[int]]) -> Int[Tensor, "batch time"]:
    """Rows of different length as one tensor, filled up with PAD."""
    width = max(map(len, rows), default=0)
    return torch.tensor([[*row, *[PAD] * (width - len(row))] for row in rows], dtype=torch.long).view(len(rows), width)


def make_batch(source: Sequence[Sequence[int]], target: Sequence[Sequence[int]]) -> Batch:
    """One batch from encoded sentences; the targets' ends are marked."""
    order = sorted(range(len(source)), key=lambda i: -len(source[i]))
    source, target = [source[i] for i in order], [target[i] for i in order]
    return Batch(
        source=pad(source),
        source_lengths=torch.tensor([len(row) for row in source]),
        target_in=pad([[BOS, *row[:-1]] for row in target]),
        target_out=pad(target),
        tokens=sum(map(len, target)),
    )


def plan_epoch(data: Encoded, batch_tokens: int, seed: int, epoch: int) -> list[list[int]]:
    """Which pairs make up each batch of one epoch: every pair once, no batch over `batch_tokens` unless alone."""
    draw = random.Random(f"{seed}/{epoch}")
    keyed = [(len(s), len(t), draw.random(), i) for i, (s, t) in enumerate(zip(data.source, data.target, strict=True))]
    batches: list[list[int]] = []
    widest = 0
    for source_length, target_length, _, index in sorted(keyed):
        widest = max(widest, source_length, target_length)
        if not batches or widest * (len(batches[-1]) + 1) > batch_tokens:
            batches.append([])
            widest = max(source_length, target_length)
        batches[-1].append(index)
    draw.shuffle(batches)
    return batches


@dataclass(frozen=True)
class Step:
    """What one update learns from: batches of this process, and the target tokens of the whole step on all of them.

    The step's loss is the sum over its batches divided by `tokens`, so that it is a mean over tokens however they are
    spread over batches and processes.
    """

    batches: list[Batch]
    tokens: int


class BatchStream:
    """The endless sequence of training steps, from a given one on, as one of several processes sees it.

    A step takes the next `accumulate` batches, across the end of an epoch too, so none is left over. Each process takes
    every `processes`-th pair of each, from its own number on. `redraw` gives the pairs as an epoch reads them, where
    that is not always the same.
    """

    def __init__(
        self,
        data: Encoded,
        batch_tokens: int,
        seed: int,
        *,
        start: int = 0,
        accumulate: int = 1,
        process: int = 0,
        processes: int = 1,
        redraw: Callable[[int], Encoded] | None = None,
    ):
        self.redraw = redraw or (lambda epoch: data)
        self.batch_tokens, self.seed = batch_tokens, seed
        self.start, self.accumulate = start, accumulate
        self.process, self.processes = process, processes

    def __iter__(self) -> Iterator[Step]:
        plan = islice(self._plan(), self.start * self.accumulate, None)
        while True:
            together = list(islice(plan, self.accumulate))
            mine = [(data, share) for data, indices in together if (share := indices[self.process :: self.processes])]
            yield Step(
                [make_batch([data.source[i] for i in ids], [data.target[i] for i in ids]) for data, ids in mine],
                sum(len(data.target[i]) for data, indices in together for i in indices),
            )

    def _plan(self) -> Iterator[tuple[Encoded, list[int]]]:
        for epoch in count():
            data = self.redraw(epoch)
            for indices in plan_epoch(data, self.batch_tokens, self.seed, epoch):
                yield data, indices

    def steps_in(self, epochs: int) -> int:
        """How many steps go over the data so often; the first epoch counts, from which others differ by little."""
        return -(-epochs * self.batches_per_epoch() // self.accumulate)

    def batches_per_epoch(self) -> int:
        """Of the first epoch; later ones hold the same pairs, in a batch more or less, a few if they are cut anew."""
        return len(plan_epoch(self.redraw(0), self.batch_tokens, self.seed, 0))


def in_order(data: Encoded, batch_tokens: int) -> Iterator[Batch]:
    """Every pair once, always in the same batches: for validation."""
    for indices in plan_epoch(data, batch_tokens, seed=0, epoch=0):
        yield make_batch([data.source[i] for i in indices], [data.target[i] for i in indices])
