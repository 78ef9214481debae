"""What is known of a query while it meets the keys, tile by tile, and what follows of it when all are seen.

For a row with running maximum m and s = Σ e^{x − m}, each tile adds to

    s,   t = Σ e^{x − m} (m − x),   d = Σ e^{x − m} |key − query|;   m grows by δ: s ← s e^{−δ}, t ← (t + δ s) e^{−δ}

so that lse = m + ln s, entropy = ln s + t / s (both terms positive: nothing cancels), distance = d / s. The largest
weights are the largest scores.
"""

import numpy as np

from regard.machine.compiling import part
from regard.machine.lanes import LANES, at_least, largest, load, same
from regard.observe.fused_loops.fields import HIDDEN, ZERO, Array, Number, OfQueries, Scratch, Task
from regard.observe.fused_loops.powers import exponential

_SUMS = {"contract", "reassoc"}  # sums in any order, as vectors want it; NaN and infinity keep their meaning


@part()
def meet(
    task: Task, r: int, x: Array, first: int, add: Array, shift: int, of_queries: OfQueries, scratch: Scratch
) -> None:
    """A query meets a tile's keys from `first` on: scores x become e^{x - m}, and what is known of the row grows.

    add: to the scores, or nothing.
    """
    i, h, row = task.i, task.h, task.start + r
    for j in range(add.shape[0]):
        x[j] = HIDDEN if add[j] == HIDDEN else x[j] + add[j]
    for z in range(of_queries.chosen.shape[0]):
        at = of_queries.chosen[z] - first
        if 0 <= at < x.shape[0]:
            of_queries.picked[i, h, row, z] = x[at]
    highest = np.float64(_largest(x))
    best = of_queries.best[i, h, row]
    if best.shape[0] and highest > best[best.shape[0] - 1]:
        _keep_best(x, first, best, of_queries.positions[i, h, row])
    known = scratch.known[r]
    if highest > known[0]:
        if known[1] > 0:
            delta = highest - known[0]
            less = np.exp(-delta)
            known[2] = (known[2] + delta * known[1]) * less if less > 0 else 0.0
            known[1] *= less
            known[3] *= less
        known[0] = highest
    if known[0] == HIDDEN:
        if _are_numbers(x):
            x[:] = ZERO
            return
        known[0] = np.nan  # nor is anything that follows from it
    s, t = _weigh(x, np.float32(known[0]))
    known[1] += s
    known[2] += t
    if of_queries.distance.shape[2]:
        known[3] += _moment(x, np.float32(first - (row + shift)))


@part()
def _totals(known: Array, sink: Array, best: Array, picked: Array) -> tuple[Number, Number, Number]:
    """A row's lse, entropy and distance; its best and picked scores become weights, its s the factor of its weights.

    sink (1,) or nothing: the weights are the softmax's times 1 / (1 + e^{sink - lse}).
    """
    m, s, t, d = known[0], known[1], known[2], known[3]
    if s == 0:  # an empty row
        best[:] = ZERO
        picked[:] = ZERO
        return np.float64(HIDDEN), 0.0, 0.0
    lse = m + np.log(s)
    share, without = 1.0, 0.0  # of the softmax, what a sink leaves, and -ln of it
    if sink.shape[0]:
        above = np.exp(sink[0] - lse)
        share, without = 1 / (1 + above), np.log1p(above)
    for z in range(best.shape[0]):
        best[z] = share * np.exp(np.float64(best[z]) - m) / s
    for z in range(picked.shape[0]):
        picked[z] = share * np.exp(np.float64(picked[z]) - m) / s
    known[1] = share / s
    return lse, share * (np.log(s) + t / s + without), share * d / s


@part()
def conclude(task: Task, sink: Array, of_queries: OfQueries, scratch: Scratch) -> None:
    """What is taken of each of a task's queries, all keys seen."""
    i, h = task.i, task.h
    for r in range(task.rows):
        row = task.start + r
        best, picked = of_queries.best[i, h, row], of_queries.picked[i, h, row]
        lse, entropy, distance = _totals(scratch.known[r], sink[i, h], best, picked)
        of_queries.lse[i, h, row] = lse
        if of_queries.entropy.shape[2]:
            of_queries.entropy[i, h, row] = entropy
        if of_queries.distance.shape[2]:
            of_queries.distance[i, h, row] = distance


@part()
def _largest(x: Array) -> Number:
    """The largest number; NaN is passed over, and noticed in the sums."""
    most, whole = same(HIDDEN), x.shape[0] // LANES * LANES
    for j in range(0, whole, LANES):
        most = at_least(most, load(x, j))
    found = largest(most)
    for j in range(whole, x.shape[0]):
        found = x[j] if x[j] > found else found
    return found


@part()
def _are_numbers(x: Array) -> bool:
    """Whether none is NaN."""
    for j in range(x.shape[0]):  # noqa: SIM110 (numba knows no all)
        if x[j] != x[j]:
            return False
    return True


@part(fastmath=_SUMS)
def _weigh(x: Array, m: Number) -> tuple[Number, Number]:
    """Replaces scores by e^{x - m}; gives their sum s, and t."""
    s, t = ZERO, ZERO
    for j in range(x.shape[0]):
        below = m - x[j]
        p = exponential(-below)
        x[j] = p
        s += p
        t += p * below if p > ZERO else ZERO * p  # 0 · inf is NaN, but NaN shall stay
    return s, t


@part(fastmath=_SUMS)
def _moment(p: Array, first: Number) -> Number:
    """Σ_j p_j |first + j|."""
    total = ZERO
    for j in range(p.shape[0]):
        total += p[j] * abs(first + np.float32(j))
    return total


@part()
def _keep_best(x: Array, first: int, values: Array, positions: Array) -> None:
    """Sorts the scores above the last of `values` into them; of equal ones, the first come first."""
    k = values.shape[0]
    for j in range(x.shape[0]):
        if x[j] > values[k - 1]:
            i = k - 1
            while i > 0 and x[j] > values[i - 1]:
                values[i], positions[i] = values[i - 1], positions[i - 1]
                i -= 1
            values[i], positions[i] = x[j], first + j
