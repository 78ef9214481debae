"""What is asked of one call of attention, and what was seen: exact statistics of its weights.

Everything is per batch row and per head: no number here is averaged over heads, layers or batch rows. All tensors are
detached, float32 (or the scores' own precision where that is finer) and on the CPU.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True)
class Observe:
    """What to take from the weights α (B, H, Tq, Tk) without keeping them. What is not asked for costs nothing."""

    topk: int = 0
    """How many of the largest weights of each query, with their positions."""
    entropy: bool = False
    """−Σ_i α_i ln α_i of each query, in nats; NaN where a factor after the normaliser makes a weight negative."""
    mass: bool = False
    """Σ over the queries of the weight each key got."""
    distance: bool = False
    """Σ_i α_i · |i − the query's position| of each query, in positions on the keys' line."""
    map: int = 0
    """Pool the matrix into at most this many cells along each axis: mean and largest weight of each cell."""
    rows: Sequence[int] = ()
    """Queries whose weights are wanted in full."""
    columns: Sequence[int] = ()
    """Keys the weights given to which are wanted in full."""
    weights: bool = False
    """The whole matrix, at its price in memory."""
    gradient: bool = False
    """Gradient × attention, α_i · (dL/dcontext · v_i): what each weight did to the loss. It takes the gradient."""


@dataclass(frozen=True)
class TopK:
    """The k largest weights of each query, largest first; where fewer keys may be seen, weight 0 and position −1."""

    weights: Tensor
    """(B, H, Tq, k)"""
    positions: Tensor
    """(B, H, Tq, k), int32"""


@dataclass(frozen=True)
class Map:
    """The matrix in cells of `cell_rows` queries × `cell_columns` keys; cells at the ends may be smaller.

    Means are over the pairs the mask allows in the cell; a cell without such pairs is NaN in both.
    """

    mean: Tensor
    """(B, H, rows, columns)"""
    largest: Tensor
    """(B, H, rows, columns)"""
    cell_rows: int
    cell_columns: int


@dataclass(frozen=True)
class Products:
    """Gradient × attention x (B, H, Tq, Tk), x_i = α_i · dL/dα_i and dL/dα_i = dL/dcontext · v_i: to first order, how
    much of the loss each weight holds; positive where a larger weight means a larger loss.
    """

    queries: Tensor
    """(B, H, Tq): Σ over the keys."""
    keys: Tensor
    """(B, H, Tk): Σ over the queries."""
    topk: TopK | None = None
    """The largest products of each query, with `topk`: most of all raises the loss what stands first."""
    map: Map | None = None
    """Mean and largest product of each cell, with `map`."""


@dataclass(frozen=True)
class Observed:
    """What was asked of one call; None where it was not."""

    size: tuple[int, int, int, int]
    """B, H, Tq, Tk."""
    lse: Tensor
    """(B, H, Tq): log Σ exp(e), natural logarithm; −inf for a query that may attend to nothing."""
    topk: TopK | None = None
    entropy: Tensor | None = None
    """(B, H, Tq)"""
    mass: Tensor | None = None
    """(B, H, Tk)"""
    distance: Tensor | None = None
    """(B, H, Tq)"""
    map: Map | None = None
    rows: Tensor | None = None
    """(B, H, queries asked for, Tk)"""
    columns: Tensor | None = None
    """(B, H, Tq, keys asked for)"""
    weights: Tensor | None = None
    """(B, H, Tq, Tk); 0 where the mask hides."""
    allowed: Tensor | None = None
    """With `weights`: which pairs may attend, bool, broadcasting to (B, H, Tq, Tk); None where all may."""
    gradient: Products | None = None
    """Of a watched call, from the time that a loss has come back."""
    not_fused: Sequence[str] = ()
    """Why the compiled loops did not compute it, if so: blocks of queries did, as exact, and at a slower pace."""
