"""Backward: of all pairs of a few strips of features, from the scores' gradient those of queries, keys and v."""

import numpy as np

from regard.kernels.additive_loops.fields import (
    ADDS,
    AT_ONCE,
    BLOCK,
    CHUNK,
    D_K,
    D_Q,
    D_V,
    DE,
    FACTORS,
    FUSED,
    KEYS,
    MEMBERS,
    MIDDLES,
    PITCH,
    PLACES,
    ROWS,
    SCRATCH,
    SPAN,
    SPREADS,
    STRIPS,
    TAKEN,
    TANHS,
    UNTIL,
    WIDTH,
    Address,
    K,
    Q,
    V,
)
from regard.kernels.additive_loops.forms import FAR, FOUR, NEAR_BY, ONE, TWO, ZERO, factor, form_of, rise, tanh
from regard.machine.addresses import integer, number, take
from regard.machine.compiling import part
from regard.machine.lanes import LANES, Lanes, load, reciprocal, same, store

_QUARTER = np.float32(0.25)


def gradients(data: Address) -> None:
    """Place (n, `strips` strips): of all its pairs, from `de`, dq, dk and dv (n, W)."""
    mine = integer(data, SCRATCH) + 4 * integer(data, SPAN) * take(data, MEMBERS)
    strips = integer(data, AT_ONCE)
    groups = integer(data, WIDTH) // LANES // strips
    place = take(data, TAKEN)
    while place < integer(data, PLACES):
        _gradients(data, mine, place // groups, place % groups * strips, strips)
        place = take(data, TAKEN)


@part()
def _gradients(data: Address, mine: Address, n: int, strip: int, strips: int) -> None:
    """All pairs of one n and some strips of a block, a chunk of keys at a time, whose dk is summed in scratch."""
    rows, keys, W = integer(data, ROWS), integer(data, KEYS), integer(data, WIDTH)
    dk, dv, v, end = integer(data, D_K), integer(data, D_V), integer(data, V), integer(integer(data, UNTIL), n)
    of_v = mine + 4 * CHUNK * strips * LANES
    for j in range(0, strips * LANES, LANES):
        store(of_v, j, load(dv, n * W + strip * LANES + j) if integer(data, ADDS) else same(ZERO))
    for start in range(0, max(end, 1), CHUNK):
        some = min(end - start, CHUNK)
        for s in range(0, some * strips * LANES, LANES):
            store(mine, s, same(ZERO))
        for t in range(rows):
            _row_gradients(data, mine, of_v, n, t, strip, strips, start, some)
        for s in range(some):
            for j in range(0, strips * LANES, LANES):
                at = (n * keys + start + s) * W + strip * LANES + j
                d = load(v, strip * LANES + j) * same(FOUR) * load(mine, j * some + s * LANES)
                store(dk, at, load(dk, at) + d if integer(data, ADDS) else d)
    for j in range(strip * LANES, (strip + strips) * LANES, LANES):
        store(dv, n * W + j, load(of_v, j - strip * LANES))
        if not integer(data, ADDS):
            for s in range(end, keys):
                store(dk, (n * keys + s) * W + j, same(ZERO))


@part()
def _row_gradients(
    data: Address, sums: Address, of_v: Address, n: int, t: int, strip: int, strips: int, start: int, some: int
) -> None:
    """Of one row and a chunk: dq, and what is added to the keys' sums, Σ de r (1 − r), and to dv."""
    keys, W, P = integer(data, KEYS), integer(data, WIDTH), integer(data, PITCH)
    row, block = n * integer(data, ROWS) + t, strip // STRIPS
    q, middles = integer(data, Q) + 4 * row * W, integer(data, MIDDLES) + 4 * n * W
    dq, de = integer(data, D_Q) + 4 * row * W, integer(data, DE) + 4 * (row * P + start)
    spread = number(integer(data, SPREADS), n * (W // BLOCK) + block)
    form = form_of(q + 4 * block * BLOCK, middles + 4 * block * BLOCK, spread)
    mass = ZERO
    if form != NEAR_BY and not integer(data, FUSED):  # a softmax passes none on
        for s in range(some):
            mass += number(de, s)
    for i in range(strips):
        j = (strip + i) * LANES
        at, x, into = (n * W + j) * keys + start * LANES, load(q, j) + load(middles, j), sums + 4 * i * some * LANES
        if form == FAR:
            rest, of_q = _far_gradients(integer(data, FACTORS) + 4 * at, factor(x, spread), de, into, some)
        elif form == NEAR_BY:
            rest, of_q = _near_gradients(integer(data, TANHS) + 4 * at, tanh(x), de, into, some)
        else:
            k = integer(data, K) + 4 * ((n * keys + start) * W + j)
            rest, of_q = _plain_gradients(k, W, load(q, j), de, into, some)
        store(of_v, i * LANES, load(of_v, i * LANES) + (same(mass) - (rest + rest)))
        of_q = of_q * (load(integer(data, V), j) * same(FOUR))
        if start:
            of_q = of_q + load(dq, j)
        store(dq, j, of_q)


@part()
def _near_gradients(y: Address, x: Lanes, de: Address, sums: Address, some: int) -> tuple:
    """−Σ_s de tanh / 2, and Σ_s de tanh' / 4, of a row."""
    rest, of_q, two = same(ZERO), same(ZERO), same(TWO)
    for s in range(some):
        b, g = load(y, s * LANES), same(number(de, s))
        u = (x + b) * reciprocal(x * b * two + two)
        d = g * (same(_QUARTER) - u * u)
        rest, of_q = rest - g * u, of_q + d
        store(sums, s * LANES, load(sums, s * LANES) + d)
    return rest, of_q


@part()
def _far_gradients(y: Address, x: Lanes, de: Address, sums: Address, some: int) -> tuple:
    """Σ_s de r and Σ_s de r (1 − r) of a row."""
    rest = of_q = same(ZERO)
    for s in range(some):
        rest, of_q = _with_pair(x * load(y, s * LANES), same(number(de, s)), rest, of_q, sums, s * LANES)
    return rest, of_q


@part()
def _plain_gradients(k: Address, W: int, q: Lanes, de: Address, sums: Address, some: int) -> tuple:
    """The same in the plain form."""
    rest = of_q = same(ZERO)
    for s in range(some):
        rest, of_q = _with_pair(rise(q, load(k, s * W)), same(number(de, s)), rest, of_q, sums, s * LANES)
    return rest, of_q


@part()
def _with_pair(grown: Lanes, g: Lanes, rest: Lanes, of_q: Lanes, sums: Address, at: int) -> tuple:
    """The two sums with one pair more, whose e^{2(q + k)} and de these are; the key's is in `sums`."""
    r = reciprocal(grown + same(ONE))
    d = grown * r * r  # 1 − r would lose its digits where r is near 1
    store(sums, at, g * d + load(sums, at))
    return g * r + rest, g * d + of_q
