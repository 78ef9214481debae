"""The statistics' loops, compiled by numba: scores, weights and what is taken of them, while they lie in the cache.

A strip of queries meets the keys tile by tile. For a row with running maximum m and s = Σ e^{x − m}, each tile adds to

    s,   t = Σ e^{x − m} (m − x),   d = Σ e^{x − m} |key − query|;   m grows by δ: s ← s e^{−δ}, t ← (t + δ s) e^{−δ}

so that lse = m + ln s, entropy = ln s + t / s (both terms positive: nothing cancels), distance = d / s. The largest
weights are the largest scores. What needs the row's final s (mass, map) waits until the strip is through: then its
unnormalised weights are read once more, each tile's with one factor a row.

`sweep` is what is called. What it reads and fills comes in five groups, each a class below. All arrays are float32 and
in C order, but where it is said; n counts heads of keys, and g the heads of queries that share one. Where something is
not wanted, the axes after (n, g) of its array have no room.
"""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import numpy as np
from llvmlite import ir
from numba import njit, prange, types
from numba.core import cgutils
from numba.extending import intrinsic

from regard.machine.threads import use_threads as use_threads

Array = np.ndarray
Number = Any  # a float32, in numba's hands
PANEL = 32
"""Keys whose scores are computed together."""
TILE = 512
"""Keys between two looks at the running maximum."""
_ROWS = 4  # queries whose scores are computed together: with a panel's keys, they fill half of the registers
_LOG2E = np.float32(1 / np.log(2))
_LEAST = np.float32(-126)  # of n: below it 2^n is no normal number, and as a weight nothing
_ROUND = np.float32(3 * 2**22)  # added to a number, its whole part stands in the lowest bits
_HIDDEN = np.float32(-np.inf)
_ZERO, _ONE = np.float32(0), np.float32(1)
_TWO = np.float32(2)
_NEAR = np.float32(0.55)  # of tanh: e^{-2x} is 1/3 there


def _fitted(function: Callable[[Array], Array], terms: int, low: float, high: float) -> Array:
    """The coefficients, from the first, of a polynomial that errs almost as little as any of so many terms."""
    points = np.polynomial.Chebyshev.interpolate(function, terms - 1, domain=[low, high])
    return points.convert(kind=np.polynomial.Polynomial).coef.astype(np.float32)


_C1, _C2, _C3, _C4, _C5, _C6 = _fitted(lambda d: np.expm1(d * np.log(2)) / d, 6, -0.5, 0.5)  # 2^d - 1 = d (C1 + ...)
_R0, _R1, _R2, _R3, _R4 = _fitted(lambda z: (np.tanh(np.sqrt(z)) / np.sqrt(z) - 1) / z, 5, 0, float(_NEAR) ** 2)
_SUMS = {"contract", "reassoc"}  # sums in any order, as vectors want it; NaN and infinity keep their meaning
_LARGEST = {"nnan", "nsz", "reassoc"}  # NaN is noticed in the sums
_part: Any = partial(njit, error_model="numpy", no_cpython_wrapper=True, no_cfunc_wrapper=True)  # Python calls none


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
    lanes: Array
    """(64,)"""


@intrinsic
def _power_of_two(context, z):  # type: ignore[no-untyped-def]
    """2^n for z = _ROUND + n: its lowest bits, with the exponent's bias, moved to where the exponent stands."""

    def code(context, builder, signature, arguments):  # type: ignore[no-untyped-def]
        bits = builder.bitcast(arguments[0], ir.IntType(32))
        bits = builder.shl(builder.add(bits, ir.Constant(bits.type, 127)), ir.Constant(bits.type, 23))
        return builder.bitcast(bits, ir.FloatType())

    return types.float32(types.float32), code


@intrinsic
def _products(context, q, k, e, row, column):  # type: ignore[no-untyped-def]
    """e[row + r, column + c] = Σ_d q[row + r, d] k[d, c], r < 4 and c < 32; C order, nothing checked."""
    vector, wide, count = ir.VectorType(ir.FloatType(), 16), PANEL // 16, ir.IntType(64)

    def code(context, builder, signature, arguments):  # type: ignore[no-untyped-def]
        arrays = [context.make_array(signature.args[i])(context, builder, arguments[i]) for i in range(3)]
        (q, k, e), (row, column) = (array.data for array in arrays), arguments[3:]
        features = cgutils.unpack_tuple(builder, arrays[0].shape)[1]
        width = cgutils.unpack_tuple(builder, arrays[2].shape)[1]
        rows = [builder.add(row, count(r)) for r in range(_ROWS)]
        q_rows = [builder.gep(q, [builder.mul(r, features)]) for r in rows]
        e_rows = [builder.gep(e, [builder.add(builder.mul(r, width), column)]) for r in rows]
        of_three = ir.FunctionType(vector, [vector] * 3)
        fma = cgutils.get_or_insert_function(builder.module, of_three, "llvm.fmuladd.v16f32")
        nothing = ir.Constant(vector, [ir.Constant(ir.FloatType(), 0.0)] * 16)

        def as_vector(pointer):  # type: ignore[no-untyped-def]
            return builder.bitcast(pointer, vector.as_pointer())

        before, loop, after = builder.block, builder.append_basic_block(), builder.append_basic_block()
        builder.cbranch(builder.icmp_signed(">", features, count(0)), loop, after)
        builder.position_at_end(loop)
        d = builder.phi(count)
        d.add_incoming(count(0), before)
        sums = [builder.phi(vector) for _ in range(_ROWS * wide)]
        of_keys = builder.gep(k, [builder.mul(d, count(PANEL))])
        keys = [builder.load(as_vector(builder.gep(of_keys, [count(16 * w)])), align=4) for w in range(wide)]
        added = []
        for r in range(_ROWS):
            one = builder.insert_element(
                ir.Constant(vector, ir.Undefined), builder.load(builder.gep(q_rows[r], [d])), ir.IntType(32)(0)
            )
            of_query = builder.shuffle_vector(one, one, ir.Constant(ir.VectorType(ir.IntType(32), 16), [0] * 16))
            added += [builder.call(fma, [of_query, keys[w], sums[r * wide + w]]) for w in range(wide)]
        following = builder.add(d, count(1))
        d.add_incoming(following, loop)
        for total, next_total in zip(sums, added, strict=True):
            total.add_incoming(nothing, before)
            total.add_incoming(next_total, loop)
        builder.cbranch(builder.icmp_signed("<", following, features), loop, after)
        builder.position_at_end(after)
        for i, next_total in enumerate(added):
            total = builder.phi(vector)
            total.add_incoming(nothing, before)
            total.add_incoming(next_total, loop)
            added[i] = total
        for r in range(_ROWS):
            for w in range(wide):
                builder.store(added[r * wide + w], as_vector(builder.gep(e_rows[r], [count(16 * w)])), align=4)
        return context.get_dummy_value()

    return types.void(q, k, e, types.int64, types.int64), code


@_part(fastmath={"contract"})  # reassociated, adding and taking away _ROUND is nothing
def _powers(y: Number) -> tuple[Number, Number]:
    """2^n and 2^d - 1, with y = n + d, n whole and |d| <= 1/2, for y from _LEAST to 0; NaN stays NaN."""
    z = y + _ROUND
    d = y - (z - _ROUND)
    return _power_of_two(z), d * (_C1 + d * (_C2 + d * (_C3 + d * (_C4 + d * (_C5 + d * _C6)))))  # type: ignore[call-arg]


@_part(fastmath={"contract"})
def _exp(x: Number) -> Number:
    """e^x for x <= 0; 0 below 2^-126; NaN stays NaN."""
    y = x * _LOG2E
    small = y < _LEAST
    whole, rest = _powers(_LEAST if small else y)
    return _ZERO if small else whole * (_ONE + rest)


@_part(fastmath={"contract"})
def _bend(x: Array, cap: Number) -> None:
    """Replaces x by cap · tanh(x): near 0 by a + a³ R(a²), a = |x|, and elsewhere by 1 - 2 p / (1 + p), p = e^{-2a}."""
    for j in range(x.shape[0]):
        a = abs(x[j])
        y = -_TWO * _LOG2E * a
        whole, rest = _powers(_LEAST if y < _LEAST else y)
        p = whole + whole * rest
        far = _ONE - _TWO * p / (_ONE + p)
        z = a * a
        near = a + a * z * (_R0 + z * (_R1 + z * (_R2 + z * (_R3 + z * _R4))))
        bent = cap * (near if a < _NEAR else far)
        x[j] = bent if x[j] > _ZERO else -bent


@_part(fastmath=_LARGEST)
def _raise(x: Array, largest: Array) -> None:
    for j in range(largest.shape[0]):
        largest[j] = x[j] if x[j] > largest[j] else largest[j]


@_part()
def _largest(x: Array, lanes: Array) -> Number:
    """The largest number; in lanes, as compilers do not make vectors of a maximum."""
    wide = lanes.shape[0]
    lanes[:] = _HIDDEN
    for j in range(0, x.shape[0] - wide + 1, wide):
        _raise(x[j : j + wide], lanes)
    _raise(x[x.shape[0] // wide * wide :], lanes[: x.shape[0] % wide])
    largest = _HIDDEN
    for j in range(wide):
        largest = lanes[j] if lanes[j] > largest else largest
    return largest


@_part()
def _are_numbers(x: Array) -> bool:
    """Whether none is NaN."""
    for j in range(x.shape[0]):  # noqa: SIM110 (numba knows no all)
        if x[j] != x[j]:
            return False
    return True


@_part(fastmath=_SUMS)
def _weigh(x: Array, m: Number) -> tuple[Number, Number]:
    """Replaces scores by e^{x - m}; gives their sum s, and t."""
    s, t = _ZERO, _ZERO
    for j in range(x.shape[0]):
        below = m - x[j]
        p = _exp(-below)
        x[j] = p
        s += p
        t += p * below if p > _ZERO else _ZERO * p  # 0 · inf is NaN, but NaN shall stay
    return s, t


@_part(fastmath=_SUMS)
def _moment(p: Array, first: Number) -> Number:
    """Σ_j p_j |first + j|."""
    total = _ZERO
    for j in range(p.shape[0]):
        total += p[j] * abs(first + np.float32(j))
    return total


@_part()
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


@_part(fastmath={"contract", "nnan", "nsz"})
def _pool(p: Array, factor: Number, sums: Array, largest: Array) -> None:
    for j in range(p.shape[0]):
        w = p[j] * factor
        sums[j] += w
        largest[j] = w if w > largest[j] else largest[j]


@_part()
def _scores(q: Array, panels: Array, start: int, stop: int, rows: int, strip: Array, at: int) -> None:
    """The strip's scores with the keys from `start` (a multiple of PANEL) to `stop`, into its columns from `at` on."""
    for j in range(start, stop, PANEL):
        for r in range(0, rows, _ROWS):
            _products(q, panels[j // PANEL], strip, r, at + j - start)  # type: ignore[call-arg]


@_part()
def _meet(
    task: Task, r: int, x: Array, first: int, add: Array, shift: int, of_queries: OfQueries, scratch: Scratch
) -> None:
    """A query meets a tile's keys from `first` on: scores x become e^{x - m}, and what is known of the row grows.

    add: to the scores, or nothing.
    """
    i, h, row = task.i, task.h, task.start + r
    for j in range(add.shape[0]):
        x[j] = _HIDDEN if add[j] == _HIDDEN else x[j] + add[j]
    for z in range(of_queries.chosen.shape[0]):
        at = of_queries.chosen[z] - first
        if 0 <= at < x.shape[0]:
            of_queries.picked[i, h, row, z] = x[at]
    highest = np.float64(_largest(x, scratch.lanes))
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
    if known[0] == _HIDDEN:
        if _are_numbers(x):
            x[:] = _ZERO
            return
        known[0] = np.nan  # nor is anything that follows from it
    s, t = _weigh(x, np.float32(known[0]))
    known[1] += s
    known[2] += t
    if of_queries.distance.shape[2]:
        known[3] += _moment(x, np.float32(first - (row + shift)))


@_part()
def _shows(add: Array) -> bool:
    """Whether any pair is not hidden; the first that is not ends the search."""
    for r in range(add.shape[0]):
        for j in range(add.shape[1]):
            if add[r, j] != _HIDDEN:
                return True
    return False


@_part()
def _totals(known: Array, sink: Array, best: Array, picked: Array) -> tuple[Number, Number, Number]:
    """A row's lse, entropy and distance; its best and picked scores become weights, its s the factor of its weights.

    sink (1,) or nothing: the weights are the softmax's times 1 / (1 + e^{sink - lse}).
    """
    m, s, t, d = known[0], known[1], known[2], known[3]
    if s == 0:  # an empty row
        best[:] = _ZERO
        picked[:] = _ZERO
        return np.float64(_HIDDEN), 0.0, 0.0
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


@_part()
def _conclude(task: Task, sink: Array, of_queries: OfQueries, scratch: Scratch) -> None:
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


@_part()
def _count(low: int, high: int, add: Array, counts: Array, width: int) -> None:
    """Adds how many keys of each cell a query may see: from `low` to `high`, but those that `add` hides."""
    if add.shape[0]:
        for j in range(low, high):
            if add[j] != _HIDDEN:
                counts[j // width] += 1
    elif low < high:
        for cell in range(low // width, (high - 1) // width + 1):
            counts[cell] += min(high, (cell + 1) * width) - max(low, cell * width)


@_part()
def _read_again(
    task: Task, r: int, stop: int, scratch: Scratch, mass: Array, cell_sums: Array, cell_largest: Array, width: int
) -> None:
    """Adds the weights of rows r to `stop` to the mass and to one row of cells; what is not wanted has no room."""
    sums, largest, known = scratch.sums, scratch.largest, scratch.known
    for first in range(task.begin, task.end, TILE):
        at = first - task.begin
        many = min(TILE, task.end - first)
        sums[:many] = _ZERO
        largest[:many] = _ZERO
        for row in range(r, stop):
            if known[row, 0] != _HIDDEN:
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


@_part()
def _of_head(added: Array, task: Task) -> Array:
    """(the span's queries, Tk): what is added to the scores of a task's head."""
    return added[min(task.i, added.shape[0] - 1), min(task.h, added.shape[1] - 1)]


@njit(parallel=True, error_model="numpy", cache=True)
def sweep(threads: int, equation: Equation, shown: Shown, span: Span, of_queries: OfQueries, of_keys: OfKeys) -> None:
    """Takes what there is room for of the span's queries: `_share` of each thread, at once."""
    for thread in prange(threads):
        _share(np.int64(thread), threads, equation, shown, span, of_queries, of_keys)  # prange counts in another type


@_part()
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
        np.empty(64, np.float32),
    )
    for number in range(thread, (span.last - span.first + height - 1) // height * n * g, threads):
        task = _begin(number, equation, shown, span, scratch)
        _look(task, equation, shown, span, of_queries, kept, scratch)
        _conclude(task, equation.sink, of_queries, scratch)
        if kept:
            _look_again(thread, task, shown, span, of_keys, scratch)


@_part()
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
        known[0], known[1], known[2], known[3] = _HIDDEN, 0.0, 0.0, 0.0
        for f in range(features):
            scratch.queries[r, f] = equation.q[i, h, start + r, f] * equation.factor
    return Task(i, h, start, rows, begin // PANEL * PANEL, end)


@_part()
def _look(
    task: Task, equation: Equation, shown: Shown, span: Span, of_queries: OfQueries, kept: bool, scratch: Scratch
) -> None:
    """A task's queries meet their keys, tile by tile; in a strip that is kept, 0 stands for what they do not see."""
    strip, added, nothing = scratch.strip, _of_head(shown.added, task), np.empty(0, np.float32)
    first = task.start - span.first
    for j0 in range(task.begin, task.end, TILE):
        j1 = min(j0 + TILE, task.end)
        offset = j0 - task.begin if kept else 0
        to_see = True
        if added.shape[0]:
            to_see = _shows(added[first : first + task.rows, j0:j1])
        if to_see:
            _scores(scratch.queries, equation.panels[task.i], j0, j1, task.rows, strip, offset)
        for r in range(task.rows):
            low, high = shown.low[task.start + r], shown.high[task.start + r]
            a, b = min(max(low, j0), j1), max(min(high, j1), j0)
            b = b if to_see else a
            if a < b:
                x = strip[r, offset + a - j0 : offset + b - j0]
                if equation.cap > _ZERO:
                    _bend(x, equation.cap)
                add = added[first + r, a:b] if added.shape[0] else nothing
                _meet(task, r, x, a, add, span.shift, of_queries, scratch)
            scratch.at_tile[r, (j0 - task.begin) // TILE] = scratch.known[r, 0]
            if kept:
                strip[r, offset : offset + min(a, max(b, a)) - j0] = _ZERO
                strip[r, offset + max(a, b) - j0 : offset + j1 - j0] = _ZERO


@_part()
def _look_again(thread: int, task: Task, shown: Shown, span: Span, of_keys: OfKeys, scratch: Scratch) -> None:
    """Adds up a task's weights over its queries: all for the mass, those of each row of cells for the map."""
    i, h, added = task.i, task.h, _of_head(shown.added, task)
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
