"""A matrix (B, H, Tq, Tk) pooled into cells, part by part: mean and largest number of each over the allowed pairs."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from regard.equation.rules import Part
from regard.observe.record import Map


def cell(positions: int, cells: int) -> int:
    """How many positions a cell must span so that there are at most `cells` of them."""
    return max(1, -(-positions // cells))


class Pool:
    """What has been seen of each cell."""

    def __init__(self, size: tuple[int, int, int, int], cells: int, device: torch.device) -> None:
        B, H, Tq, Tk = size
        self.rows, self.columns = cell(Tq, cells), cell(Tk, cells)
        shape = B, H, -(-Tq // self.rows), -(-Tk // self.columns)
        self.sums = torch.zeros(shape, dtype=torch.float64, device=device)
        self.counts = torch.zeros(shape, dtype=torch.int64, device=device)
        self.largest = torch.full(shape, -math.inf, dtype=torch.float64, device=device)

    def add(self, part: Part, x: Tensor, allowed: Tensor) -> None:
        """Take a part's numbers (b, h, r, c); only those that are `allowed` count, the others are 0."""
        if not x.numel():
            return
        low, high = part.keys.start // self.columns, -(-part.keys.stop // self.columns)
        around = (part.keys.start - low * self.columns, high * self.columns - part.keys.stop)

        def across(numbers: Tensor) -> Tensor:
            return F.pad(numbers, around).unflatten(-1, (-1, self.columns))

        allowed, x = across(allowed), across(x)
        sums, counts = x.sum(-1, dtype=torch.float64), allowed.sum(-1)
        largest = torch.where(allowed, x, -math.inf).amax(-1).double()
        row = part.rows.start
        while row < part.rows.stop:
            stop = min((row // self.rows + 1) * self.rows, part.rows.stop)
            some = slice(row - part.rows.start, stop - part.rows.start)
            at = part.batch, slice(None), row // self.rows, slice(low, high)
            self.sums[at] += sums[:, :, some].sum(2)
            self.counts[at] += counts[:, :, some].sum(2)
            self.largest[at] = torch.maximum(self.largest[at], largest[:, :, some].amax(2))
            row = stop

    def map(self, dtype: torch.dtype) -> Map:
        """The cells; NaN in those that allow no pair."""
        nothing = self.counts == 0
        mean, largest = self.sums / self.counts, self.largest.masked_fill(nothing, math.nan)
        return Map(mean.to("cpu", dtype), largest.to("cpu", dtype), self.rows, self.columns)
