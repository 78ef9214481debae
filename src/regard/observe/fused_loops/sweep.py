"""The sweep: strips of queries, shared among threads, each of which meets its keys tile by tile."""

import numpy as np
from numba import njit, prange

from regard.machine.compiling import part
from regard.observe.fused_loops.fields import (
    HIDDEN,
    PANEL,
    TILE,
    ZERO,
    Array,
    Equation,
    OfKeys,
    OfQueries,
    Scratch,
    Shown,
    Span,
    Task,
    of_head,
)
from regard.observe.fused_loops.powers import bend
from regard.observe.fused_loops.rows import conclude, meet
from regard.observe.fused_loops.scores import scores
from regard.observe.fused_loops.sums import add_up


@njit(parallel=True, error_model="numpy", cache=True)
def sweep(threads: int, equation: Equation, shown: Shown, span: Span, of_queries: OfQueries, of_keys: OfKeys) -> None:
    """Takes what there is room for of the span's queries: `_share` of each thread, at once."""
    for thread in prange(threads):
        _share(np.int64(thread), threads, equation, shown, span, of_queries, of_keys)  # prange counts in another type


@part()
def _share(
    thread: int, threads: int, equation: Equation, shown: Shown, span: Span, of_queries: OfQueries, of_keys: OfKeys
) -> None:
    """Every so many tasks are a thread's: a first look at the keys, and a second where something is added up."""
    n, g, _, features = equation.q.shape
    height, keys = span.height, equation.panels.shape[1] * PANEL
    kept = of_keys.mass.shape[3] > 0 or of_keys.cell_sums.shape[3] > 0
    scratch = Scratch(
        np.empty((height, keys if kept else TILE), np.float32),
        np.zeros((height, features), np.float32),
        np.empty((height, 4)),
        np.empty((height, keys // TILE + 2), np.float32),
        np.empty(TILE, np.float32),
        np.empty(TILE, np.float32),
    )
    for number in range(thread, (span.last - span.first + height - 1) // height * n * g, threads):
        task = _begin(number, equation, shown, span, scratch)
        _look(task, equation, shown, span, of_queries, kept, scratch)
        conclude(task, equation.sink, of_queries, scratch)
        if kept:
            add_up(thread, task, shown, span, of_keys, scratch)


@part()
def _begin(number: int, equation: Equation, shown: Shown, span: Span, scratch: Scratch) -> Task:
    """The task of this number, nothing known of its rows yet."""
    n, g, _, features = equation.q.shape
    i, h = number % (n * g) // g, number % g
    start = span.first + number // (n * g) * span.height
    rows = min(span.height, span.last - start)
    begin, end = equation.panels.shape[1] * PANEL, 0
    for r in range(rows):
        begin, end = min(begin, shown.low[start + r]), max(end, shown.high[start + r])
        known = scratch.known[r]
        known[0], known[1], known[2], known[3] = HIDDEN, 0.0, 0.0, 0.0
        for f in range(features):
            scratch.queries[r, f] = equation.q[i, h, start + r, f] * equation.factor
    return Task(i, h, start, rows, begin // PANEL * PANEL, end)


@part()
def _look(
    task: Task, equation: Equation, shown: Shown, span: Span, of_queries: OfQueries, kept: bool, scratch: Scratch
) -> None:
    """A task's queries meet their keys, tile by tile; in a strip that is kept, 0 stands for what they do not see."""
    strip, added, nothing = scratch.strip, of_head(shown.added, task), np.empty(0, np.float32)
    first = task.start - span.first
    for j0 in range(task.begin, task.end, TILE):
        j1 = min(j0 + TILE, task.end)
        offset = j0 - task.begin if kept else 0
        to_see = True
        if added.shape[0]:
            to_see = _shows(added[first : first + task.rows, j0:j1])
        if to_see:
            scores(scratch.queries, equation.panels[task.i], j0, j1, task.rows, strip, offset)
        for r in range(task.rows):
            low, high = shown.low[task.start + r], shown.high[task.start + r]
            a, b = min(max(low, j0), j1), max(min(high, j1), j0)
            b = b if to_see else a
            if a < b:
                x = strip[r, offset + a - j0 : offset + b - j0]
                if equation.cap > ZERO:
                    bend(x, equation.cap)
                add = added[first + r, a:b] if added.shape[0] else nothing
                meet(task, r, x, a, add, span.shift, of_queries, scratch)
            scratch.at_tile[r, (j0 - task.begin) // TILE] = scratch.known[r, 0]
            if kept:
                strip[r, offset : offset + min(a, max(b, a)) - j0] = ZERO
                strip[r, offset + max(a, b) - j0 : offset + j1 - j0] = ZERO


@part()
def _shows(add: Array) -> bool:
    """Whether any pair is not hidden; the first that is not ends the search."""
    for r in range(add.shape[0]):
        for j in range(add.shape[1]):
            if add[r, j] != HIDDEN:
                return True
    return False
