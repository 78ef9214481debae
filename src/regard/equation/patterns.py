"""Sparse patterns with names of their own: each query sees few keys, chosen so that no two positions are far apart.

A pattern is a mask like any other: `strided(8) & padding(lengths)`. Longformer's, a window and some global tokens
(Beltagy et al. 2020, arXiv 2004.05150), needs no name: `window(256, 256) | tokens(places)`. Any layout of blocks is
`blocks(layout, size)`. The best k keys of each query depend on the scores: `normalise=TopK(k)`.
"""

from copy import copy

import torch
from torch import Tensor

from regard.equation.mask import Corners, Cover, Mask, Structure, pooled
from regard.equation.rules import Grid


class _Strided(Mask):
    """0 <= query - key, and that is at most the stride or a multiple of it."""

    structure = Structure(right=0)

    def __init__(self, stride: int) -> None:
        self.stride = _whole("strided: stride", stride, 1)
        self.key = ("strided", stride)

    def at(self, grid: Grid) -> Tensor:
        back = grid.query - grid.key
        return (back >= 0) & ((back <= self.stride) | (back % self.stride == 0))

    def cover(self, corners: Corners) -> Cover:
        """By the distances in the tile, from the least to the most."""
        first, last = corners
        least, most = first.query - last.key, last.query - first.key
        hits = most // self.stride * self.stride >= least.clamp(min=0)  # a multiple lies among them
        near = self.stride == 1
        return (most >= 0) & ((least <= self.stride) | hits), (least >= 0) & ((most <= self.stride) | near)

    def __repr__(self) -> str:
        return f"strided({self.stride})"


class _Fixed(Mask):
    """key <= query, and key is in the query's block or among the last ones of a block."""

    structure = Structure(right=0)

    def __init__(self, block: int, summaries: int) -> None:
        self.block = _whole("fixed: block", block, 1)
        self.summaries = _whole("fixed: summaries", summaries, 0)
        if summaries > block:
            raise ValueError(f"fixed: summaries must be at most the block's {block} positions, got {summaries}")
        self.key = ("fixed", block, summaries)

    def at(self, grid: Grid) -> Tensor:
        same = grid.key // self.block == grid.query // self.block
        summary = grid.key % self.block >= self.block - self.summaries
        return (grid.key <= grid.query) & (same | summary)

    def cover(self, corners: Corners) -> Cover:
        """By the blocks that the tile's queries and keys stand in."""
        first, last = corners
        (q0, q1), (k0, k1) = (
            [x // self.block for x in ends] for ends in ((first.query, last.query), (first.key, last.key))
        )
        same = (k0 <= q1) & (q0 <= k1)
        summary = (last.key + self.summaries) // self.block > k0 if self.summaries else torch.zeros_like(same)
        one = (k0 == k1) & ((q0 == q1) & (q0 == k0) | (first.key % self.block >= self.block - self.summaries))
        return (first.key <= last.query) & (same | summary), (last.key <= first.query) & one

    def __repr__(self) -> str:
        return f"fixed({self.block}, {self.summaries})"


class _BigBird(Mask):
    """Between the blocks of query and key: near, or one of them global, or drawn."""

    def __init__(self, block: int, near: int, globals: int, drawn: int, seed: int) -> None:
        self.block = _whole("bigbird: block", block, 1)
        self.near = _whole("bigbird: near", near, 0)
        self.globals = _whole("bigbird: globals", globals, 0)
        self.drawn = _whole("bigbird: drawn", drawn, 0)
        self.seed = _whole("bigbird: seed", seed, 0)
        self.key = ("bigbird", block, near, globals, drawn, seed)
        self.pairs: Tensor | None = None
        self.structure = Structure(block=block)

    def at(self, grid: Grid) -> Tensor:
        of_query, of_key = grid.query // self.block, grid.key // self.block
        allowed = self._always(of_query, of_key)
        count = -(-grid.keys // self.block)
        if not self.drawn or not count:
            return allowed
        pairs = self._draw(count, grid.key.device) if self.pairs is None else self.pairs
        drawn = pairs[of_query.clamp(0, count - 1), of_key.clamp(0, count - 1)]
        return allowed | (drawn & (of_query >= 0))

    def placed(self, keys: int, device: torch.device | str) -> "_BigBird":
        there = copy(self)
        there.pairs = self._draw(-(-keys // self.block), torch.device(device))
        return there

    def layout(self, Tq: int, Tk: int, device: torch.device | str | None = None) -> Tensor:
        """A block of rows stands on one or two blocks of positions: those of its first and of its last row."""
        grid = Grid.full(1, 1, Tq, Tk, device)
        first, keys = grid.row[:, :, :: self.block], grid.key[..., :: self.block]
        last = (first + self.block - 1).clamp(max=max(Tq - 1, 0))
        return self.at(grid._replace(row=first, key=keys)) | self.at(grid._replace(row=last, key=keys))

    def cover(self, corners: Corners) -> Cover:
        """By the blocks that the tile's queries and keys stand in; queries before the first key are not told."""
        first, last = corners
        count = -(-first.keys // self.block)
        middle = torch.arange(count, device=first.key.device) * self.block
        zero = first.key.new_zeros(1, 1, 1, 1)
        grid = Grid(zero, zero, middle[:, None][None, None], middle[None, None, None], 0, first.keys)
        ends = [(x // self.block).clamp(min=0) for x in (first.query, last.query, first.key, last.key)]
        some, full = pooled(self.at(grid), *ends)
        known = first.query >= 0
        return some | ~known, full & known

    def _always(self, of_query: Tensor, of_key: Tensor) -> Tensor:
        """The blocks that are near or global."""
        is_global = (of_key < self.globals) | ((of_query >= 0) & (of_query < self.globals))
        return ((of_query - of_key).abs() <= self.near) | is_global

    def _draw(self, count: int, device: torch.device) -> Tensor:
        """(count, count): the pairs drawn. A block draws among those before it, so what follows changes nothing."""
        of_query = torch.arange(count, device=device)[:, None]
        of_key = torch.arange(count, device=device)
        lots = _scrambled(_scrambled(_scrambled(of_query + self.seed) + of_key) + of_query)
        lots = torch.where((of_key < of_query) & ~self._always(of_query, of_key), lots, -1)
        best = lots.topk(min(self.drawn, count))
        drawn = torch.zeros_like(lots, dtype=torch.bool).scatter(1, best.indices, best.values >= 0)
        return drawn | drawn.T

    def __repr__(self) -> str:
        return (
            f"bigbird({self.block}, near={self.near}, globals={self.globals}, drawn={self.drawn}"
            f"{f', seed={self.seed}' * bool(self.seed)})"
        )


def strided(stride: int) -> Mask:
    """A query sees the `stride` keys before it, itself, and before these every stride-th key, counted back from it.

    Both of the paper's heads in one; for sequences with a period, such as the rows of an image. No query sees a later
    key. Source: Child et al. 2019 (arXiv 1904.10509).
    """
    return _Strided(stride)


def fixed(block: int, summaries: int = 1) -> Mask:
    """A query sees its own block, up to itself, and the last `summaries` positions of every block before.

    Both of the paper's heads in one; for sequences without a period, such as text. No query sees a later key.
    Source: Child et al. 2019 (arXiv 1904.10509).
    """
    return _Fixed(block, summaries)


def bigbird(block: int, *, near: int = 1, globals: int = 1, drawn: int = 3, seed: int = 0) -> Mask:
    """In blocks of `block` positions: a query sees its own block, `near` blocks to each side, and some far ones.

    The first `globals` blocks see all and are seen by all. Beyond these each block draws `drawn` of the blocks before
    it, by `seed`, and the two see each other. (The paper draws from all blocks; then what a sentence sees would depend
    on the padding behind it.) Source: Zaheer et al. 2020 (arXiv 2007.14062).
    """
    return _BigBird(block, near, globals, drawn, seed)


def _whole(name: str, number: int, least: int) -> int:
    if not isinstance(number, int) or isinstance(number, bool) or number < least:
        raise ValueError(f"{name} must be a whole number, {least} or more, got {number!r}")
    return number


def _scrambled(x: Tensor) -> Tensor:
    """A number below 2³² for each whole number, the same on every device; after Wellons' 32-bit hash."""
    for shift, factor in ((16, 0x7FEB352D), (15, 0x846CA68B)):
        x = ((x ^ (x >> shift)) * factor) & 0xFFFFFFFF
    return x ^ (x >> 16)
