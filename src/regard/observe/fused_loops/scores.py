"""A strip's scores with a tile of keys: products of four queries with a panel of keys at a time, in registers."""

from regard.machine.compiling import part
from regard.machine.lanes import LANES, load, same, store
from regard.observe.fused_loops.fields import PANEL, ZERO, Array

_ROWS = 4  # queries whose scores are computed together: with a panel's keys, they fill half of the registers


@part()
def scores(q: Array, panels: Array, start: int, stop: int, rows: int, strip: Array, at: int) -> None:
    """The strip's scores with the keys from `start` (a multiple of PANEL) to `stop`, into its columns from `at` on."""
    for j in range(start, stop, PANEL):
        for r in range(0, rows, _ROWS):
            _products(q, panels[j // PANEL], strip, r, at + j - start)


@part()
def _products(q: Array, k: Array, e: Array, row: int, column: int) -> None:
    """e[row + r, column + c] = Σ_d q[row + r, d] k[d, c], r < 4 and c < 32."""
    a_1 = a_2 = a_3 = a_4 = b_1 = b_2 = b_3 = b_4 = same(ZERO)
    for d in range(q.shape[1]):
        x, y = load(k, d * PANEL), load(k, d * PANEL + LANES)
        q_1, q_2 = same(q[row, d]), same(q[row + 1, d])
        q_3, q_4 = same(q[row + 2, d]), same(q[row + 3, d])
        a_1, a_2, a_3, a_4 = a_1 + q_1 * x, a_2 + q_2 * x, a_3 + q_3 * x, a_4 + q_4 * x
        b_1, b_2, b_3, b_4 = b_1 + q_1 * y, b_2 + q_2 * y, b_3 + q_3 * y, b_4 + q_4 * y
    width = e.shape[1]
    at = row * width + column
    store(e, at, a_1)
    store(e, at + LANES, b_1)
    store(e, at + width, a_2)
    store(e, at + width + LANES, b_2)
    store(e, at + 2 * width, a_3)
    store(e, at + 2 * width + LANES, b_3)
    store(e, at + 3 * width, a_4)
    store(e, at + 3 * width + LANES, b_4)
