"""What the loops are told and what they fill, in five groups, and what a thread keeps meanwhile, in two.

All arrays are float32 and in C order, but where it is said; n counts heads of keys, and g the heads of queries that
share one. Where something is not wanted, the axes after (n, g) of its array have no room.
"""

from typing import Any, NamedTuple

import numpy as np

from regard.machine.compiling import part

Array = np.ndarray
Number = Any  # a float32, in numba's hands
PANEL = 32
"""Keys whose scores are computed together."""
TILE = 512
"""Keys between two looks at the running maximum."""
HIDDEN = np.float32(-np.inf)
ZERO, ONE, TWO = (np.float32(x) for x in (0, 1, 2))


class Equation(NamedTuple):
    """What makes scores and weights of queries and keys."""

    q: Array
    """(n, g, Tq, D)"""
    panels: Array
    """(n, Tk / PANEL, D, PANEL): keys side by side, 0 beyond Tk."""
    factor: Number
    """Of the products q · k; of those beneath a cap, divided by it."""
    cap: Number
    """Scores are cap · tanh(factor q · k); 0: no cap."""
    sink: Array
    """(n, g, 1), or (n, g, 0) for none."""


class Shown(NamedTuple):
    """What of the keys each query sees, and with which bias."""

    low: Array
    """(Tq,) int64: the first key that a query may see at most."""
    high: Array
    """(Tq,) int64: the key behind the last."""
    added: Array
    """(n or 1, g or 1, the span's queries, Tk): to the scores, -inf hides; of no queries: nothing."""


class Span(NamedTuple):
    """The queries that are swept at once."""

    first: int
    last: int
    """Behind the last of them."""
    height: int
    """How many make a strip, which is one thread's task."""
    shift: int
    """Tk - Tq: how far the first of all queries stands along the keys' line."""


class OfQueries(NamedTuple):
    """What is taken of each query."""

    lse: Array
    """(n, g, Tq)"""
    entropy: Array
    """(n, g, Tq)"""
    distance: Array
    """(n, g, Tq)"""
    best: Array
    """(n, g, Tq, k): comes as -inf."""
    positions: Array
    """(n, g, Tq, k) int32: comes as -1."""
    picked: Array
    """(n, g, Tq, keys chosen): comes as -inf."""
    chosen: Array
    """(keys chosen,) int64: which."""


class OfKeys(NamedTuple):
    """What is added up over queries; each thread has its own, and all come as 0."""

    mass: Array
    """(threads, n, g, Tk) float64"""
    cell_sums: Array
    """(threads, n, g, rows, columns) float64: the map's."""
    cell_largest: Array
    """Likewise, float32."""
    cell_counts: Array
    """Likewise, int64: the pairs that are not hidden."""
    cell_rows: int
    cell_columns: int


class Task(NamedTuple):
    """A strip: some queries of one head, and the keys that any of them may see."""

    i: int
    """The head of keys."""
    h: int
    """The head of queries, of those that share it."""
    start: int
    rows: int
    begin: int
    """A multiple of PANEL."""
    end: int


class Scratch(NamedTuple):
    """A thread's own room, made once."""

    strip: Array
    """(height, all keys, or a tile's where nothing is added up over queries): scores, then e^{x - m}."""
    queries: Array
    """(height, D): times the factor."""
    known: Array
    """(height, 4) float64: m, s, t, d of each row; in the end, in the place of s, the factor of its weights."""
    at_tile: Array
    """(height, tiles): the maximum up to that tile."""
    sums: Array
    """(TILE,)"""
    largest: Array
    """(TILE,)"""


@part()
def of_head(added: Array, task: Task) -> Array:
    """(the span's queries, Tk): what is added to the scores of a task's head."""
    return added[min(task.i, added.shape[0] - 1), min(task.h, added.shape[1] - 1)]
