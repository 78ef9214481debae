"""The additive score's loops, compiled by numba: no (queries, keys, hidden) tensor is ever built.

    tanh(q + k) = 1 − 2r,   r = 1 / (1 + e^{2q} e^{2k}),   tanh'(q + k) = 4r (1 − r)

The exponentials are made once per query and per key, so a pair costs a product, a sum and a reciprocal, which the
backward pass makes again. Features are taken sixteen at a time, each strip in one of three forms, by its keys' range:

    far    as above. The keys lie within ±LIMIT, or do so once their middle m is taken off; a query is cut off at
           ±REACH, where tanh is 1 in float32 whatever such a key adds: 1 + e^{2(q + m)} e^{2(k − m)} is below e^{60}.
    near   The keys lie within ±NEAR, and so does the query. Small sums would lose their digits to the 1 in 1 − 2r, so
           here tanh(q + k) = (tanh q + tanh k) / (1 + tanh q tanh k). Another query takes the far form.
    plain  The keys' range is wider: an exponential for each pair.

Arrays are flat and C order, float32 but for the integers `until`, `forms` and `near`: queries (n, rows, W), keys
(n, keys, W), with W a multiple of 16 and what is beyond the hidden features 0; n counts batch rows times key heads, and
a row is a query of one head of the group. All loops are tasks of one function, `run`: what numba wants for threads is
compiled once.
"""

from functools import partial
from typing import Any

import numpy as np
from numba import njit, prange

from regard.kernels.lanes import (
    LANES,
    at_least,
    at_most,
    exponential,
    exponential_minus_one,
    largest,
    load,
    reciprocal,
    same,
    store,
    total,
    where_above,
    within,
)
from regard.machine.threads import use_threads as use_threads

Array = np.ndarray
Number = Any  # a float32, in numba's hands
Lanes = Any  # sixteen of them
Sizes = tuple[
    int, ...
]  # n, rows, keys, W, P, Dv, masked, key heads, queries' heads to each, their steps, mask's strides
Floats = tuple[Array, ...]  # see `run`
Ints = tuple[Array, Array, Array]  # until (n) where each n's keys end, forms (n, strips), near (n, rows, strips)
PREPARE, SCORE, ATTEND, THROUGH_SOFTMAX, GRADIENTS = range(5)
FAR, NEAR_BY, PLAIN = range(3)
NEAR, LIMIT, REACH = np.float32(2), np.float32(10), np.float32(20)
_SATURATED = np.float32(20)  # tanh is 1 from here
_VANISHED = np.float32(-87)  # e to this is 0 beside 1
_ZERO, _HALF, _ONE, _TWO, _FOUR = (np.float32(x) for x in (0, 0.5, 1, 2, 4))
_INFINITE = np.float32(np.inf)
_part: Any = partial(njit, error_model="numpy", no_cpython_wrapper=True, no_cfunc_wrapper=True)


@njit(parallel=True, error_model="numpy", cache=True)
def run(task: int, count: int, sizes: Sizes, floats: Floats, ints: Ints, flags: Array) -> None:
    """One of the tasks, over `count` places:

    PREPARE (n): of the keys, the factors, middles and forms, and where they end; flags (n, keys) says which are seen.
    SCORE (n × rows): of_queries, which strips are near, and the scores e (n, rows, P).
    ATTEND (n × rows): their softmax in the place of e, where flags allow, and the context; P is a multiple of 16.
    THROUGH_SOFTMAX (n × rows): the scores' gradient in the place of de, the weights', from that and the context's, dc.
    GRADIENTS (n × strips): dq, and what is added to dk and dv (n, W), from the scores' gradient de; sums (n, rows) is
        what it adds up to.

    `floats` are k, factors, tanhs, middles, q, v, of_queries, e, values, context, de, dc, dq, dk, dv, sums.
    """
    for i in prange(count):
        if task == PREPARE:
            _prepare(i, sizes, floats, ints, flags)
        elif task == THROUGH_SOFTMAX:
            _through_softmax(i, sizes, floats, ints)
        elif task == GRADIENTS:
            _gradients(i, sizes, floats, ints)
        else:
            _score(i, sizes, floats, ints)
            if task == ATTEND:
                _attend(i, sizes, floats, ints, flags)


@_part()
def _prepare(n: int, sizes: Sizes, floats: Floats, ints: Ints, seen: Array) -> None:
    """Keys that are not seen count as 0; from until[n] on there are only such."""
    _, _, keys, W = sizes[:4]
    k, factors, tanhs, middles = floats[:4]
    until, forms, _ = ints
    end = keys
    while end and not seen[n * keys + end - 1]:
        end -= 1
    until[n] = end
    for j in range(0, W, LANES):
        low, high = same(_INFINITE), same(-_INFINITE)
        for s in range(n * keys, n * keys + end):
            if seen[s]:
                x = load(k, s * W + j)
                low, high = at_most(low, x), at_least(high, x)
        far = at_least(high, same(_ZERO) - low)
        middle = where_above(far, same(LIMIT), (high + low) * same(_HALF))
        infinite, farthest = largest(far) == _INFINITE, largest(at_least(high - middle, middle - low))
        form = NEAR_BY if farthest <= NEAR else FAR
        if infinite or farthest > LIMIT:
            form, middle = PLAIN, same(_ZERO)
        forms[(n * W + j) // LANES] = form
        store(middles, n * W + j, middle)
        for s in range(n * keys, n * keys + keys):
            x = same(_ZERO)
            if seen[s]:
                x = load(k, s * W + j) - middle
            store(factors, s * W + j, _factor(x, form))
            if form == NEAR_BY:
                store(tanhs, s * W + j, _tanh(x))


@_part()
def _factor(x: Lanes, form: int) -> Lanes:
    """What one side brings to a pair: e^{2x}, or in the plain form itself."""
    if form == PLAIN:
        return x
    x = within(x, same(REACH))
    return exponential(x + x)


@_part()
def _tanh(x: Lanes) -> Lanes:
    y = exponential_minus_one(x + x)
    return y * reciprocal(y + same(_TWO))


@_part()
def _rise(q: Lanes, k: Lanes) -> Lanes:
    """e^{2(q + k)}, in the plain form."""
    x = within(q + k, same(_SATURATED))
    return exponential(x + x)


@_part()
def _score(row: int, sizes: Sizes, floats: Floats, ints: Ints) -> None:
    """e = Σ_j v_j tanh_j, where not near as Σ_j v_j − 2 Σ_j v_j r_j; two keys at a time."""
    _, rows, keys, W, P = sizes[:5]
    _, factors, tanhs, middles, q, v, a, e = floats[:8]
    until, forms, near = ints
    n = row // rows
    constant = same(_ZERO)
    for j in range(0, W, LANES):
        form, x = forms[(n * W + j) // LANES], load(q, row * W + j) + load(middles, n * W + j)
        if form == NEAR_BY and not largest(at_least(x, same(_ZERO) - x)) <= NEAR:
            form = FAR
        near[(row * W + j) // LANES] = form
        if form == NEAR_BY:
            store(a, row * W + j, _tanh(x))
        else:
            store(a, row * W + j, _factor(x, form))
            constant = constant + load(v, j)
    for s in range(0, until[n], 2):
        k_1 = (n * keys + s) * W
        k_2 = k_1 + W if s + 1 < until[n] else k_1
        e_1 = e_2 = constant
        for j in range(0, W, LANES):
            x, y, form = load(a, row * W + j), load(v, j), near[(row * W + j) // LANES]
            b_1, b_2 = load(factors, k_1 + j), load(factors, k_2 + j)
            if form == NEAR_BY:
                b_1, b_2 = load(tanhs, k_1 + j), load(tanhs, k_2 + j)
                z = y * x
                e_1 = e_1 + (z + y * b_1) * reciprocal(x * b_1 + same(_ONE))
                e_2 = e_2 + (z + y * b_2) * reciprocal(x * b_2 + same(_ONE))
            elif form == FAR:
                y = y * same(-_TWO)
                e_1 = e_1 + y * reciprocal(x * b_1 + same(_ONE))
                e_2 = e_2 + y * reciprocal(x * b_2 + same(_ONE))
            else:
                y = y * same(-_TWO)
                e_1 = e_1 + y * reciprocal(_rise(x, b_1) + same(_ONE))
                e_2 = e_2 + y * reciprocal(_rise(x, b_2) + same(_ONE))
        e[row * P + s] = total(e_1)
        if s + 1 < keys:
            e[row * P + s + 1] = total(e_2)
    for s in range(until[n] + until[n] % 2, keys):  # nobody sees them
        e[row * P + s] = _ZERO


@_part()
def _attend(row: int, sizes: Sizes, floats: Floats, ints: Ints, allowed: Array) -> None:
    """Softmax of a row of e, in place, all 0 where nothing is allowed, and context = Σ_s e_s values_s."""
    _, rows, keys, _, P, Dv, masked, key_heads, group, steps, of_batch, of_head, of_step = sizes
    e, values, context = floats[7:10]
    n, i, at = row // rows, row % rows, row * P
    if masked:
        head = n % key_heads * group + i // steps
        first = n // key_heads * of_batch + head * of_head + i % steps * of_step
        for s in range(keys):
            if not allowed[first + s]:
                e[at + s] = -_INFINITE
    for s in range(keys, P):
        e[at + s] = -_INFINITE
    high = same(-_INFINITE)
    for s in range(at, at + P, LANES):
        high = at_least(high, load(e, s))
    most = max(largest(high), -np.float32(3e38))  # all -inf: e - most stays -inf
    mass = same(_ZERO)
    for s in range(at, at + P, LANES):
        x = load(e, s) - same(most)
        x = where_above(x, same(_VANISHED), exponential(at_least(x, same(_VANISHED))))
        mass = mass + x
        store(e, s, x)
    sum_of = total(mass)
    share = same(_ZERO) if sum_of == 0 else same(_ONE / sum_of)
    for s in range(at, at + P, LANES):
        store(e, s, load(e, s) * share)
    end = ints[0][n]
    for j in range(0, Dv, LANES):
        c = same(_ZERO)
        for s in range(end):
            c = c + same(e[at + s]) * load(values, (n * keys + s) * Dv + j)
        store(context, row * Dv + j, c)


@_part()
def _through_softmax(row: int, sizes: Sizes, floats: Floats, ints: Ints) -> None:
    """de_s = α_s (g_s − Σ α g), with g_s = dc · values_s and what de_s holds."""
    _, rows, keys, _, P, Dv = sizes[:6]
    weights, values, _, de, dc = floats[7:12]
    n, at = row // rows, row * P
    for s in range(ints[0][n]):
        g = same(_ZERO)
        for j in range(0, Dv, LANES):
            g = g + load(dc, row * Dv + j) * load(values, (n * keys + s) * Dv + j)
        de[at + s] += total(g)
    mean = same(_ZERO)
    for s in range(at, at + P, LANES):
        mean = mean + load(weights, s) * load(de, s)
    mean = same(total(mean))
    for s in range(at, at + P, LANES):
        store(de, s, load(weights, s) * (load(de, s) - mean))


@_part()
def _near_slope(a: Lanes, b: Lanes, de: Lanes) -> tuple:
    """de tanh, and de tanh'."""
    tanh = (a + b) * reciprocal(a * b + same(_ONE))
    c = de * tanh
    return c, de - c * tanh


@_part()
def _slope(a: Lanes, b: Lanes, de: Lanes, form: int) -> tuple:
    """de r, and de r (1 − r)."""
    x = a * b if form == FAR else _rise(a, b)
    r = reciprocal(x + same(_ONE))
    c = de * r
    return c, c * (x * r)  # 1 − r would lose its digits where r is near 1


@_part()
def _gradients(place: int, sizes: Sizes, floats: Floats, ints: Ints) -> None:
    """Sixteen features' gradients of all pairs of one n."""
    _, rows, keys, W, P = sizes[:5]
    factors, tanhs, v, a = floats[1], floats[2], floats[5], floats[6]
    de, _, dq, dk, dv, sums = floats[10:]
    n, j = place // (W // LANES), place % (W // LANES) * LANES
    end, near = ints[0][n], ints[2]
    slope, of_v = load(v, j), same(_ZERO)
    for t in range(n * rows, n * rows + rows):
        x, of_q, rest, form = load(a, t * W + j), same(_ZERO), same(_ZERO), near[(t * W + j) // LANES]
        if form == NEAR_BY:
            for s in range(end):
                at = (n * keys + s) * W + j
                c, d = _near_slope(x, load(tanhs, at), same(de[t * P + s]))
                of_v, of_q = of_v + c, of_q + d
                store(dk, at, load(dk, at) + slope * d)
            store(dq, t * W + j, slope * of_q)
        else:
            steep = slope * same(_FOUR)
            for s in range(end):
                at = (n * keys + s) * W + j
                c, d = _slope(x, load(factors, at), same(de[t * P + s]), form)
                rest, of_q = rest + c, of_q + d
                store(dk, at, load(dk, at) + steep * d)
            store(dq, t * W + j, steep * of_q)
            of_v = of_v + (same(sums[t]) - (rest + rest))
    store(dv, n * W + j, load(dv, n * W + j) + of_v)
