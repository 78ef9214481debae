"""Mass and map of a call, which are added up over queries: by each thread apart, and then over threads."""

import torch
from torch import Tensor

from regard.observe.pooling import cell
from regard.observe.record import Map, Observe


class Sums:
    """What is not wanted has no room."""

    def __init__(self, request: Observe, size: tuple[int, int, int, int], threads: int) -> None:
        B, H, Tq, Tk = size
        self.threads, cells = threads, request.map or 1
        self.cell = cell(Tq, cells), cell(Tk, cells)
        down, across = (-(-T // each) if request.map else 0 for T, each in zip((Tq, Tk), self.cell, strict=True))
        self.mass = torch.empty(B, H, Tk if request.mass else 0)
        self.mean, self.largest = torch.empty(B, H, down, across), torch.empty(B, H, down, across)

    @property
    def numbers(self) -> int:
        """How many the threads gather for one head of queries."""
        return self.threads * (self.mass.shape[2] + 3 * self.mean[0, 0].numel())

    def room(self, n: int, group: int) -> tuple[Tensor, ...]:
        """Where threads gather them for so many heads of keys: mass, and of cells the sum, the largest and a count."""
        heads = self.threads, n, group
        cells = *heads, *self.mean.shape[2:]
        mass = torch.zeros(*heads, self.mass.shape[2], dtype=torch.float64)
        sums, counts = torch.zeros(cells, dtype=torch.float64), torch.zeros(cells, dtype=torch.int64)
        return mass, sums, torch.zeros(cells), counts

    def take(self, b: int, heads: slice, mass: Tensor, sums: Tensor, largest: Tensor, counts: Tensor) -> None:
        """Add up what was gathered for these heads of a batch row; a cell without a pair that is shown is NaN."""
        total = counts.sum(0).flatten(0, 1)
        self.mass[b, heads] = mass.sum(0).flatten(0, 1).float()
        self.mean[b, heads] = (sums.sum(0).flatten(0, 1) / total).float()
        self.largest[b, heads] = largest.amax(0).flatten(0, 1).masked_fill(total == 0, torch.nan)

    @property
    def map(self) -> Map:
        """Of all heads, when all are taken."""
        return Map(self.mean, self.largest, *self.cell)
