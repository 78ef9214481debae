"""The statistics' loops, compiled by numba: scores, weights and what is taken of them, while they lie in the cache.

A strip of queries meets the keys tile by tile. For a row with running maximum m and s = Σ e^{x − m}, each tile adds to

    s,   t = Σ e^{x − m} (m − x),   d = Σ e^{x − m} |key − query|;   m grows by δ: s ← s e^{−δ}, t ← (t + δ s) e^{−δ}

so that lse = m + ln s, entropy = ln s + t / s (both terms positive: nothing cancels), distance = d / s. The largest
weights are the largest scores. What needs the row's final s (mass, map) waits until the strip is through: then its
unnormalised weights are read once more, each tile's with one factor a row.
"""

from typing import Any

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
_C1, _C2, _C3, _C4, _C5, _C6 = (np.float32(np.log(2) ** i / f) for i, f in enumerate((1, 2, 6, 24, 120, 720), 1))
_SUMS = {"contract", "reassoc"}  # sums in any order, as vectors want it; NaN and infinity keep their meaning
_LARGEST = {"nnan", "nsz", "reassoc"}  # NaN is noticed in the sums


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


@njit(fastmath={"contract"}, error_model="numpy", cache=True)  # reassociated, adding and taking away _ROUND is nothing
def _exp(x: Number) -> Number:
    """e^x for x <= 0: e^x = 2^n 2^d with n whole and |d| <= 1/2; 0 below 2^-126; NaN stays NaN."""
    y = x * _LOG2E
    small = y < _LEAST
    y = _LEAST if small else y
    z = y + _ROUND
    d = y - (z - _ROUND)
    p = _ONE + d * (_C1 + d * (_C2 + d * (_C3 + d * (_C4 + d * (_C5 + d * _C6)))))
    return _ZERO if small else p * _power_of_two(z)  # type: ignore[call-arg]


@njit(fastmath=_LARGEST, error_model="numpy", cache=True)
def _raise(x: Array, largest: Array) -> None:
    for j in range(largest.shape[0]):
        largest[j] = x[j] if x[j] > largest[j] else largest[j]


@njit(error_model="numpy", cache=True)
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


@njit(fastmath=_SUMS, error_model="numpy", cache=True)
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


@njit(fastmath=_SUMS, error_model="numpy", cache=True)
def _moment(p: Array, first: Number) -> Number:
    """Σ_j p_j |first + j|."""
    total = _ZERO
    for j in range(p.shape[0]):
        total += p[j] * abs(first + np.float32(j))
    return total


@njit(error_model="numpy", cache=True)
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


@njit(fastmath={"contract", "nnan", "nsz"}, error_model="numpy", cache=True)
def _pool(p: Array, factor: Number, sums: Array, largest: Array) -> None:
    for j in range(p.shape[0]):
        w = p[j] * factor
        sums[j] += w
        largest[j] = w if w > largest[j] else largest[j]


@njit(error_model="numpy", cache=True)
def _scores(q: Array, panels: Array, start: int, stop: int, rows: int, strip: Array, at: int) -> None:
    """The strip's scores with the keys from `start` (a multiple of PANEL) to `stop`, into its columns from `at` on."""
    for j in range(start, stop, PANEL):
        for r in range(0, rows, _ROWS):
            _products(q, panels[j // PANEL], strip, r, at + j - start)  # type: ignore[call-arg]


@njit(error_model="numpy", cache=True)
def _meet(
    row: int,
    x: Array,
    first: int,
    add: Array,
    sums: Array,
    best: Array,
    positions: Array,
    chosen: Array,
    picked: Array,
    distance: bool,
    position: int,
    lanes: Array,
) -> None:
    """A query meets a tile's keys from `first` on: scores x become e^{x - m}, and what is known of the row grows.

    sums (rows, 4) float64: m, s, t, d. add: to the scores, or nothing. picked: the scores of the keys `chosen`.
    """
    for j in range(add.shape[0]):
        x[j] = _HIDDEN if add[j] == _HIDDEN else x[j] + add[j]
    for z in range(chosen.shape[0]):
        if first <= chosen[z] < first + x.shape[0]:
            picked[z] = x[chosen[z] - first]
    highest = np.float64(_largest(x, lanes))
    k = best.shape[0]
    if k and highest > best[k - 1]:
        _keep_best(x, first, best, positions)
    known = sums[row]
    if highest > known[0]:
        if known[1] > 0:
            delta = highest - known[0]
            less = np.exp(-delta)
            known[2] = (known[2] + delta * known[1]) * less if less > 0 else 0.0
            known[1] *= less
            known[3] *= less
        known[0] = highest
    if known[0] == _HIDDEN:
        x[:] = _ZERO
        return
    s, t = _weigh(x, np.float32(known[0]))
    known[1] += s
    known[2] += t
    if distance:
        known[3] += _moment(x, np.float32(first - position))


@njit(error_model="numpy", cache=True)
def _shows(add: Array) -> bool:
    """Whether any pair is not hidden; the first that is not ends the search."""
    for r in range(add.shape[0]):
        for j in range(add.shape[1]):
            if add[r, j] != _HIDDEN:
                return True
    return False


@njit(error_model="numpy", cache=True)
def _conclude(known: Array, sink: Array, best: Array, picked: Array) -> tuple[Number, Number, Number]:
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


@njit(error_model="numpy", cache=True)
def _count(low: int, high: int, add: Array, counts: Array, width: int) -> None:
    """Adds how many keys of each cell a query may see: from `low` to `high`, but those that `add` hides."""
    if add.shape[0]:
        for j in range(low, high):
            if add[j] != _HIDDEN:
                counts[j // width] += 1
    elif low < high:
        for cell in range(low // width, (high - 1) // width + 1):
            counts[cell] += min(high, (cell + 1) * width) - max(low, cell * width)


@njit(error_model="numpy", cache=True)
def _read_again(
    strip: Array,
    begin: int,
    end: int,
    known: Array,
    at_tile: Array,
    mass: Array,
    cell_sums: Array,
    cell_largest: Array,
    width: int,
    sums: Array,
    largest: Array,
) -> None:
    """Adds some rows' weights to the mass and to one row of cells; where one is not wanted, it has no room."""
    for tile in range((end - begin + TILE - 1) // TILE if end > begin else 0):
        first = begin + tile * TILE
        many = min(TILE, end - first)
        sums[:many] = _ZERO
        largest[:many] = _ZERO
        for r in range(strip.shape[0]):
            if known[r, 0] != _HIDDEN:
                factor = np.float32(known[r, 1] * np.exp(np.float64(at_tile[r, tile]) - known[r, 0]))
                _pool(strip[r, first - begin : first - begin + many], factor, sums[:many], largest[:many])
        if mass.shape[0]:
            for j in range(many):
                mass[first + j] += sums[j]
        if cell_sums.shape[0]:
            for j in range(many):
                cell = (first + j) // width
                cell_sums[cell] += sums[j]
                cell_largest[cell] = max(cell_largest[cell], largest[j])


@njit(parallel=True, error_model="numpy", cache=True)
def sweep(threads: int, *arguments: Any) -> None:
    """`_share` of each thread, at once."""
    for thread in prange(threads):
        _share(np.int64(thread), threads, *arguments)  # type: ignore[arg-type]  # prange counts in another type


@njit(error_model="numpy", cache=True)
def _share(
    thread: int,
    threads: int,
    q: Array,
    panels: Array,
    factor: Number,
    low: Array,
    high: Array,
    first: int,
    last: int,
    added: Array,
    shift: int,
    height: int,
    sink: Array,
    lse: Array,
    entropy: Array,
    distance: Array,
    best: Array,
    positions: Array,
    picked: Array,
    mass: Array,
    cell_sums: Array,
    cell_largest: Array,
    cell_counts: Array,
    chosen: Array,
    cell_rows: int,
    cell_columns: int,
) -> None:
    """Of queries `first` to `last`, takes what has room; float32 but where said, C order.

    q (n, g, Tq, D): n heads of keys, g of queries for each. panels (n, Tk / 32, D, 32): keys, 0 beyond Tk.
    low, high (Tq,) int64: the keys that each query may see at most. added (n or 1, g or 1, last - first, Tk): to the
    scores, -inf hides; no rows: nothing. sink (n, g, 1), or (n, g, 0). lse (n, g, Tq). entropy, distance (n, g, Tq),
    best, positions (n, g, Tq, k), mass (threads, n, g, Tk) float64, cell_... (threads, n, g, rows, columns) float64,
    float32, int64: of one that is not wanted, the axes after g are 0.
    """
    n, g, _, features = q.shape
    keys = panels.shape[1] * PANEL
    wants_map = cell_sums.shape[3] > 0
    kept = wants_map or mass.shape[3] > 0
    strip = np.empty((height, keys if kept else TILE), np.float32)
    of_queries = np.zeros((height, features), np.float32)
    known = np.empty((height, 4))
    at_tile = np.empty((height, keys // TILE + 2), np.float32)  # the maximum up to that tile
    sums, largest, lanes = np.empty(TILE, np.float32), np.empty(TILE, np.float32), np.empty(64, np.float32)
    nothing, no_mass, no_cells = np.empty(0, np.float32), np.empty(0), np.empty(0, np.float32)
    for task in range(thread, (last - first + height - 1) // height * n * g, threads):
        i, h = task % (n * g) // g, task % g
        start = first + task // (n * g) * height
        rows = min(height, last - start)
        add_i, add_h = min(i, added.shape[0] - 1), min(h, added.shape[1] - 1)
        begin, end = keys, 0
        for r in range(rows):
            begin, end = min(begin, low[start + r]), max(end, high[start + r])
            known[r, 0], known[r, 1], known[r, 2], known[r, 3] = _HIDDEN, 0.0, 0.0, 0.0
            for f in range(features):
                of_queries[r, f] = q[i, h, start + r, f] * factor
        begin = begin // PANEL * PANEL
        for j0 in range(begin, end, TILE):
            j1 = min(j0 + TILE, end)
            offset = j0 - begin if kept else 0
            to_see = True
            if added.shape[2]:
                to_see = _shows(added[add_i, add_h, start - first : start - first + rows, j0 : min(j1, added.shape[3])])
            if to_see:
                _scores(of_queries, panels[i], j0, j1, rows, strip, offset)
            for r in range(rows):
                row = start + r
                a, b = min(max(low[row], j0), j1), max(min(high[row], j1), j0)
                b = b if to_see else a
                if a < b:
                    x = strip[r, offset + a - j0 : offset + b - j0]
                    add = added[add_i, add_h, row - first, a:b] if added.shape[2] else nothing
                    of_best, of_positions, of_picked = best[i, h, row], positions[i, h, row], picked[i, h, row]
                    far = distance.shape[2] > 0
                    _meet(r, x, a, add, known, of_best, of_positions, chosen, of_picked, far, row + shift, lanes)
                at_tile[r, (j0 - begin) // TILE] = known[r, 0]
                if kept:
                    strip[r, offset : offset + min(a, max(b, a)) - j0] = _ZERO
                    strip[r, offset + max(a, b) - j0 : offset + j1 - j0] = _ZERO
        for r in range(rows):
            row = start + r
            total, spread, far = _conclude(known[r], sink[i, h], best[i, h, row], picked[i, h, row])
            lse[i, h, row] = total
            if entropy.shape[2]:
                entropy[i, h, row] = spread
            if distance.shape[2]:
                distance[i, h, row] = far
        r = 0
        while kept and r < rows:
            stop, of_mass, of_sums, of_largest = rows, no_mass, no_mass, no_cells
            if mass.shape[3]:
                of_mass = mass[thread, i, h]
            if wants_map:
                down = (start + r) // cell_rows
                stop = min(rows, (down + 1) * cell_rows - start)
                of_sums, of_largest = cell_sums[thread, i, h, down], cell_largest[thread, i, h, down]
                for row in range(start + r, start + stop):
                    add = added[add_i, add_h, row - first] if added.shape[2] else nothing
                    _count(low[row], high[row], add, cell_counts[thread, i, h, down], cell_columns)
            some = slice(r, stop)
            _read_again(
                strip[some],
                begin,
                end,
                known[some],
                at_tile[some],
                of_mass,
                of_sums,
                of_largest,
                cell_columns,
                sums,
                largest,
            )
            r = stop
