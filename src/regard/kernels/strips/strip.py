"""A strip: tiles of neighbouring queries, and the keys that each is given, neighbours too or blocks."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

NUMBERS = 2**18
"""Scores in a strip, for each thread: 1 MB in float32, so that a core's own cache holds what a strip computes with."""


def per_strip(tiles: int, pairs: int) -> int:
    """How many of so many tiles go into a strip, at so many pairs a tile."""
    return max(1, min(tiles, NUMBERS * torch.get_num_threads() // max(pairs, 1)))


@dataclass(frozen=True)
class Window:
    """The keys of a strip: `width` neighbours, from `start` for the first tile, `step` further on for each next one."""

    start: int
    step: int
    width: int

    def index(self, tiles: int) -> Tensor:
        """The keys' numbers (tiles, width)."""
        return self.start + self.step * torch.arange(tiles)[:, None] + torch.arange(self.width)

    def of(self, x: Tensor, tiles: int, room: Tensor | None = None) -> Tensor:
        """These rows (tiles, width, D) of x (Tk, D): a view, in which tiles overlap, so it wants no room."""
        row = x.stride(0)
        size, strides = (tiles, self.width, x.shape[1]), (self.step * row, row, 1)
        return x.as_strided(size, strides, x.storage_offset() + self.start * row)

    def add_product(self, x: Tensor, y: Tensor, factor: float, into: Tensor, room: Tensor | None = None) -> None:
        """Add factor · xᵀ y, x (tiles, height, width) and y (tiles, height, D), to these rows of `into` (Tk, D)."""
        tiles = x.shape[0]
        if not self.step or tiles == 1:  # the tiles have the same keys, so their products' sum is one product
            into[self.start : self.start + self.width].addmm_(
                x.flatten(0, 1).mT, y.reshape(-1, y.shape[2]), alpha=factor
            )
            return
        for first in range(0, self.width, self.step):  # tiles overlap; slices no wider than the step do not
            piece = x[..., first : first + self.step]
            rows = Window(self.start + first, self.step, piece.shape[2]).of(into, tiles)
            torch.baddbmm(rows, piece.mT, y, alpha=factor, out=rows)


@dataclass(frozen=True)
class Blocks:
    """The keys of a strip: for each tile the blocks of keys with these numbers."""

    numbers: Tensor
    """(tiles, blocks)"""
    size: int

    @cached_property
    def of_all(self) -> Tensor:
        """The numbers, tile after tile."""
        return self.numbers.flatten()

    @cached_property
    def width(self) -> int:
        """Keys of a tile."""
        return self.numbers.shape[1] * self.size

    def index(self, tiles: int) -> Tensor:
        """The keys' numbers (tiles, width); there may be none such, in the last block."""
        return (self.numbers[..., None] * self.size + torch.arange(self.size)).flatten(1)

    def of(self, x: Tensor, tiles: int, room: Tensor | None) -> Tensor:
        """These rows (tiles, width, D) of x (Tk, D), Tk a multiple of the size: a copy, in the room given."""
        assert room is not None
        block = self.size * x.shape[1]
        torch.index_select(x.view(-1, block), 0, self.of_all, out=room.view(-1, block))
        return room

    def add_product(self, x: Tensor, y: Tensor, factor: float, into: Tensor, room: Tensor | None) -> None:
        """Add factor · xᵀ y, x (tiles, height, width) and y (tiles, height, D), to these rows of `into` (Tk, D)."""
        assert room is not None
        product(x.mT, y, factor, room)
        block = self.size * into.shape[1]
        into.view(-1, block).index_add_(0, self.of_all, room.view(-1, block))


@dataclass(frozen=True)
class Strip:
    """Tiles of `height` neighbouring queries each, with the keys that each is given."""

    height: int
    keys: Window | Blocks
    first: int = 0
    """The first query, where tiles are neighbours."""
    count: int = 0
    """How many tiles, where they are neighbours."""
    numbers: Tensor | None = None
    """Otherwise: the tiles' numbers; tile i begins with query i * height."""
    asks: int = 0
    """About how many of a tile's keys, from the first, the mask must be asked; the others are all allowed."""
    added: Sequence[tuple[slice, Tensor]] = ()
    """For some of the keys: 0, or -inf where a pair is hidden, (tiles or 1, height, .), in all batch rows and heads."""
    empty: Tensor | None = None
    """Where `added` hides everything from a query: (tiles, height, 1)."""
    batch: Sequence[int] | None = None
    """The batch rows for which this strip stands; None for all."""
    heads: Sequence[int] | None = None
    """The heads likewise."""

    @property
    def tiles(self) -> int:
        """How many tiles."""
        return self.count if self.numbers is None else self.numbers.shape[0]

    @property
    def size(self) -> tuple[int, int, int]:
        """Tiles, queries of each, keys of each."""
        return self.tiles, self.height, self.keys.width

    def queries(self, B: int, H: int) -> int:
        """How many, of all the batch rows and heads for which it stands."""
        batch, heads = (all_of if of is None else len(of) for of, all_of in ((self.batch, B), (self.heads, H)))
        return batch * heads * self.tiles * self.height

    @cached_property
    def row(self) -> Tensor:
        """The queries' numbers (tiles, 1, height, 1)."""
        of_tile = torch.arange(self.count) * self.height + self.first if self.numbers is None else None
        start = self.numbers * self.height if of_tile is None and self.numbers is not None else of_tile
        assert start is not None
        return start[:, None, None, None] + torch.arange(self.height)[:, None]

    def of(self, x: Tensor) -> Tensor:
        """The queries' rows (tiles, height, D) of x (Tq, D): a view where tiles are neighbours."""
        if self.numbers is None:
            return x[self.first : self.first + self.count * self.height].unflatten(0, (self.count, self.height))
        whole = x.shape[0] // self.height
        return x[: whole * self.height].unflatten(0, (whole, self.height)).index_select(0, self.numbers)

    def product(self, x: Tensor, y: Tensor, factor: float, into: Tensor) -> None:
        """Write factor · x y (tiles, height, D) into the queries' rows of `into` (Tq, D)."""
        if self.numbers is None:
            product(x, y, factor, self.of(into))
            return
        whole = into.shape[0] // self.height
        found = product(x, y, factor, x.new_empty(*x.shape[:2], y.shape[2]))
        into[: whole * self.height].view(whole, self.height, -1).index_copy_(0, self.numbers, found)


def product(x: Tensor, y: Tensor, factor: float, out: Tensor) -> Tensor:
    """factor · x y, matrix by matrix, into `out`."""
    return torch.baddbmm(out, x, y, beta=0, alpha=factor, out=out)
