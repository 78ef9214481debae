"""Mass and map, which are added up over queries: a strip's weights are read again when each row's sum is known."""

import numpy as np

from regard.machine.compiling import part
from regard.observe.fused_loops.fields import (
    HIDDEN,
    TILE,
    ZERO,
    Array,
    Number,
    OfKeys,
    Scratch,
    Shown,
    Span,
    Task,
    of_head,
)


@part()
def add_up(thread: int, task: Task, shown: Shown, span: Span, of_keys: OfKeys, scratch: Scratch) -> None:
    """Adds up a task's weights over its queries: all for the mass, those of each row of cells for the map."""
    i, h, added = task.i, task.h, of_head(shown.added, task)
    wants_map, nothing, no_cells = of_keys.cell_sums.shape[3] > 0, np.empty(0, np.float32), np.empty(0)
    r = 0
    while r < task.rows:
        stop, cell_sums, cell_largest = task.rows, no_cells, nothing
        if wants_map:
            down = (task.start + r) // of_keys.cell_rows
            stop = min(task.rows, (down + 1) * of_keys.cell_rows - task.start)
            cell_sums, cell_largest = of_keys.cell_sums[thread, i, h, down], of_keys.cell_largest[thread, i, h, down]
            counts = of_keys.cell_counts[thread, i, h, down]
            for row in range(task.start + r, task.start + stop):
                add = added[row - span.first] if added.shape[0] else nothing
                _count(shown.low[row], shown.high[row], add, counts, of_keys.cell_columns)
        mass = of_keys.mass[thread, i, h]
        _read_again(task, r, stop, scratch, mass, cell_sums, cell_largest, of_keys.cell_columns)
        r = stop


@part()
def _count(low: int, high: int, add: Array, counts: Array, width: int) -> None:
    """Adds how many keys of each cell a query may see: from `low` to `high`, but those that `add` hides."""
    if add.shape[0]:
        for j in range(low, high):
            if add[j] != HIDDEN:
                counts[j // width] += 1
    elif low < high:
        for cell in range(low // width, (high - 1) // width + 1):
            counts[cell] += min(high, (cell + 1) * width) - max(low, cell * width)


@part()
def _read_again(
    task: Task, r: int, stop: int, scratch: Scratch, mass: Array, cell_sums: Array, cell_largest: Array, width: int
) -> None:
    """Adds the weights of rows r to `stop` to the mass and to one row of cells; what is not wanted has no room."""
    sums, largest, known = scratch.sums, scratch.largest, scratch.known
    for first in range(task.begin, task.end, TILE):
        at = first - task.begin
        many = min(TILE, task.end - first)
        sums[:many] = ZERO
        largest[:many] = ZERO
        for row in range(r, stop):
            if known[row, 0] != HIDDEN:
                factor = np.float32(known[row, 1] * np.exp(scratch.at_tile[row, at // TILE] - known[row, 0]))
                _pool(scratch.strip[row, at : at + many], factor, sums[:many], largest[:many])
        if mass.shape[0]:
            for j in range(many):
                mass[first + j] += sums[j]
        if cell_sums.shape[0]:
            for j in range(many):
                cell = (first + j) // width
                cell_sums[cell] += sums[j]
                cell_largest[cell] = max(cell_largest[cell], largest[j])


@part(fastmath={"contract", "nnan", "nsz"})
def _pool(p: Array, factor: Number, sums: Array, largest: Array) -> None:
    for j in range(p.shape[0]):
        w = p[j] * factor
        sums[j] += w
        largest[j] = w if w > largest[j] else largest[j]
