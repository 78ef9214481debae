"""What compiled loops do of a call: its strips cut into jobs, a tile of queries each, if they know all that it asks.

They know the softmax of dot products in float32, beneath a cap and beside a sink too, in a band or in blocks. A bias, a
factor and dropout are left to `passes.py`.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field

import torch
from torch import Tensor

from regard.kernels.strips.part import Part, Work
from regard.kernels.strips.strip import Blocks

HEIGHT = 32
"""Queries of a job in a band; twice as many where it is so wide that few of the pairs are in vain."""
WIDE = 512
FEW = 2**27
"""Products of features below which PyTorch takes a few milliseconds, and no import."""
MOST_ASKED = 2**28
"""Pairs that the mask is asked about, a byte each, all kept at once."""


@dataclass(eq=False)
class Jobs:
    """What there is to do, in the order of `JOB`, and the sizes of the largest."""

    table: Tensor
    """(jobs, 9) int64"""
    height: int
    width: int
    band: tuple[int, int] | None = None
    lengths: Tensor | None = None
    """(B,) int64"""
    held: list[Tensor] = field(default_factory=list)
    """What the table has addresses of."""


def jobs_of(work: Work, q: Tensor) -> Jobs | None:
    """A work's jobs, or None where the loops cannot compute it or had better not."""
    B, H, _, _ = work.size
    plain = work.bias is None and work.after is None and not work.dropout
    if not plain or q.dtype != torch.float32 or torch.compiler.is_compiling():
        return None
    queries = [strip.queries(B, H) for strip in work.strips]
    pairs = sum(rows * strip.keys.width for rows, strip in zip(queries, work.strips, strict=True))
    if pairs * q.shape[3] < FEW:
        return None
    if work.band is not None:
        return _of_band(work, *work.band)
    if any(not isinstance(strip.keys, Blocks) or strip.keys.size % 16 for strip in work.strips):
        return None
    if sum(rows * strip.asks for rows, strip in zip(queries, work.strips, strict=True)) > MOST_ASKED:
        return None
    return _of_blocks(work)


def _of_band(work: Work, left: int, right: int) -> Jobs:
    _, _, Tq, Tk = work.size
    most = HEIGHT if left + right < WIDE else 2 * HEIGHT
    row = torch.arange(0, Tq, most)
    height = (Tq - row).clamp(max=most)
    first = row + Tk - Tq
    start = (first - left).clamp(0, Tk) // 16 * 16
    end = (first + height + right).clamp(0, Tk)
    size = _filled((end - start).clamp(min=0))
    places = start.data_ptr() + 8 * torch.arange(len(row))
    none, every = torch.zeros_like(row), torch.full_like(row, -1)
    table = torch.stack([row, height, places, none + 1, size, none, none, every, every], 1)
    lengths = None if work.lengths is None else torch.tensor(work.lengths)
    return Jobs(table, most, int(size.max()), (left, right), lengths, [start])


def _of_blocks(work: Work) -> Jobs:
    found = Jobs(torch.empty(0, 9, dtype=torch.long), 1, 16)
    tables = [table for part in work.parts(once=True) for table in _tables(part, found)]
    found.table = torch.cat(tables) if tables else found.table
    return found


def _tables(part: Part, found: Jobs) -> Iterator[Tensor]:
    """The jobs of a strip, of each head apart where the mask is."""
    strip, keys = part.strip, part.strip.keys
    assert isinstance(keys, Blocks)
    starts = (keys.numbers * keys.size).contiguous()
    tiles, blocks = starts.shape
    row = strip.row[:, 0, 0, 0]
    found.held.append(starts)
    found.height, found.width = max(found.height, strip.height), max(found.width, keys.width)
    of_head = part.hidden is not None and part.hidden.shape[1] > 1
    for place, h in enumerate(part.heads if of_head or strip.heads is not None else [-1]):
        hidden = torch.zeros(tiles, dtype=torch.long)
        if part.hidden is not None:
            asked = part.hidden[:, place if of_head else 0].expand(tiles, -1, -1).contiguous()
            found.held.append(asked)
            hidden = asked.data_ptr() + asked[0].numel() * torch.arange(tiles)
        numbers = (strip.height, 0, blocks, keys.size, 0, strip.asks, part.b, h)
        table = torch.tensor([0, *numbers]).repeat(tiles, 1)
        table[:, 0], table[:, 2], table[:, 5] = row, starts.data_ptr() + 8 * blocks * torch.arange(tiles), hidden
        yield table


def _filled(x: Tensor) -> Tensor:
    """Up to a multiple of 16."""
    return (x + 15) // 16 * 16
