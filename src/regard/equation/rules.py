"""Rules over indices: a mask or a bias is a function of (batch, head, query, key), written once and asked anywhere.

A rule sees a `Grid`: index tensors that broadcast against each other. Over the whole grid it gives what a plain kernel
needs; over a part of it, what a blocked kernel needs; over single indices, what FlexAttention needs. Positions are
counted on the keys' line, so a rule never has to know that there are fewer queries than keys: the last query stands
on the last key.
"""

from abc import ABC, abstractmethod
from copy import copy
from typing import NamedTuple, Self

import torch
from torch import Tensor


class Part(NamedTuple):
    """A part of the grid, all heads: batch rows, queries and keys from one number to another."""

    batch: slice = slice(None)
    rows: slice = slice(None)
    keys: slice = slice(None)

    def of_queries(self, tensor: Tensor) -> Tensor:
        """This part of a tensor (B, H, Tq, .)."""
        return tensor[self.batch, :, self.rows]

    def of_keys(self, tensor: Tensor) -> Tensor:
        """This part of a tensor (B, H, Tk, .)."""
        return tensor[self.batch, :, self.keys]

    def of(self, tensor: Tensor) -> Tensor:
        """This part of a tensor (B, H, Tq, Tk) whose axes have their full size or 1."""
        B, _, Tq, Tk = tensor.shape
        everything = slice(None)
        return tensor[
            self.batch if B > 1 else everything,
            :,
            self.rows if Tq > 1 else everything,
            self.keys if Tk > 1 else everything,
        ]


WHOLE = Part()


class Grid(NamedTuple):
    """Indices of a part of the (batch, head, query, key) grid, in tensors that broadcast to its shape."""

    batch: Tensor
    head: Tensor
    row: Tensor
    """The query's index, counted from the first query."""
    key: Tensor
    shift: int
    """Tk - Tq: how far the first query stands along the keys' line."""
    keys: int
    """Tk: how many keys there are in all."""

    @property
    def query(self) -> Tensor:
        """The query's position on the keys' line: the last query stands on the last key."""
        return self.row + self.shift if self.shift else self.row

    @staticmethod
    def full(B: int, H: int, Tq: int, Tk: int, device: torch.device | str | None = None, part: Part = WHOLE) -> "Grid":
        """Every index of a (B, H, Tq, Tk) problem, or of a part of it."""
        return Grid(
            _range(B, part.batch, device).view(-1, 1, 1, 1),
            torch.arange(H, device=device).view(1, H, 1, 1),
            _range(Tq, part.rows, device).view(1, 1, -1, 1),
            _range(Tk, part.keys, device).view(1, 1, 1, -1),
            Tk - Tq,
            Tk,
        )


class Rule(ABC):
    """A value for every (batch, head, query, key), with what a planner needs to know about it."""

    key: tuple[object, ...]
    """Hashable; two rules with equal keys can share a plan (kinds, static numbers and shapes, not tensors' values)."""
    tensors: tuple[Tensor, ...] = ()
    """Every tensor the rule reads."""

    @abstractmethod
    def at(self, grid: Grid) -> Tensor:
        """The rule's values at these indices, in a shape that broadcasts to the grid's."""

    def dense(
        self, B: int, H: int, Tq: int, Tk: int, device: torch.device | str | None = None, part: Part = WHOLE
    ) -> Tensor:
        """The values of a (B, H, Tq, Tk) grid or of a part, broadcasting to it: size 1 on axes that do not matter."""
        return self.at(Grid.full(B, H, Tq, Tk, device, part))

    def check(self, B: int, H: int, Tq: int, Tk: int) -> None:  # noqa: B027 (most rules fit every size)
        """Raise ValueError if the rule does not fit a problem of this size."""

    def placed(self, keys: int, device: torch.device | str) -> Self:
        """The same rule, to be asked pair by pair among so many keys: its tensors are on the device, and what it would
        compute for all pairs alike is computed.
        """
        there = copy(self)
        for name, part in vars(self).items():
            if isinstance(part, Tensor):
                setattr(there, name, part.to(device))
            elif isinstance(part, Rule):
                setattr(there, name, part.placed(keys, device))
        there.tensors = tuple(tensor.to(device) for tensor in self.tensors)
        return there

    @property
    def device(self) -> torch.device | None:
        """Where the rule must be computed; None where it follows the grid (its tensors are small and moved)."""
        return None

    @property
    def requires_grad(self) -> bool:
        """Whether a gradient must flow back into the rule."""
        return any(tensor.requires_grad for tensor in self.tensors)


def _range(size: int, part: slice, device: torch.device | str | None) -> Tensor:
    start, stop, _ = part.indices(size)
    return torch.arange(start, stop, device=device)


def broadcasts(name: str, tensor: Tensor, B: int, H: int, Tq: int, Tk: int) -> None:
    """Raise ValueError unless `tensor` has four axes, each of the full size or 1."""
    sizes = (B, H, Tq, Tk)
    if tensor.ndim != 4 or any(have not in (1, full) for have, full in zip(tensor.shape, sizes, strict=False)):
        raise ValueError(
            f"{name}: expected a shape that broadcasts to (batch, heads, queries, keys) = {sizes}, "
            f"got {tuple(tensor.shape)}"
        )


def four_axes(name: str, tensor: Tensor) -> Tensor:
    """A (queries, keys) or (batch, heads, queries, keys) tensor as the latter."""
    if tensor.ndim == 2:
        return tensor[None, None]
    if tensor.ndim == 4:
        return tensor
    raise ValueError(
        f"{name}: expected a tensor of shape (queries, keys) or (batch, heads, queries, keys), each size full or 1, "
        f"got {tuple(tensor.shape)}; with three axes it would be ambiguous, so say tensor[:, None] (a row per batch) "
        f"or tensor[None] (a row per head)"
    )


def zeros(grid: Grid) -> Tensor:
    """Index 0 with as many axes as the grid has, each of size 1."""
    return grid.key.new_zeros((1,) * grid.key.ndim)


def pick(tensor: Tensor, grid: Grid) -> Tensor:
    """A broadcastable 4-D tensor's entries at the grid's indices."""
    B, H, Tq, Tk = tensor.shape
    zero = zeros(grid)  # an axis of size 1 stays one
    return tensor[
        grid.batch if B > 1 else zero,
        grid.head if H > 1 else zero,
        grid.row if Tq > 1 else zero,
        grid.key if Tk > 1 else zero,
    ]
