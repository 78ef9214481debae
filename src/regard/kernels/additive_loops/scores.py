"""Forward: a few rows' scores, and if they are fused their weights and contexts.

The scores need only the sum over the features, so there four share one reciprocal: v_1 / d_1 + v_2 / d_2 =
(v_1 d_2 + v_2 d_1) / (d_1 d_2), and the same once more. With d_1 / v_1 and v_1 d_2 in place of d_1 and d_2, which costs
a pair nothing, that numerator is v_1 d_2 + (v_1 v_2) (d_1 / v_1): 4.25 operations a feature.
"""

import numpy as np

from regard.kernels.additive_loops.fields import (
    BLOCK,
    CHUNK,
    FACTORS,
    FUSED,
    KEYS,
    MEMBERS,
    MIDDLES,
    PITCH,
    PLACES,
    ROWS,
    ROWS_AT_ONCE,
    SCRATCH,
    SPAN,
    SPREADS,
    TAKEN,
    TANHS,
    UNTIL,
    WIDTH,
    Address,
    E,
    K,
    Q,
    V,
)
from regard.kernels.additive_loops.forms import FAR, NEAR_BY, ONE, ZERO, factor, form_of, rise, tanh
from regard.kernels.additive_loops.softmax import context, softmax
from regard.machine.addresses import integer, number, power_of_two, put_integer, put_number, take
from regard.machine.compiling import part
from regard.machine.lanes import LANES, at_least, largest, load, reciprocal, same, store, total, totals, where_above

_SHRUNK = np.float32(2.0**-31)  # times a factor of a product of four
_UNIT = np.float32(-(2.0**30))  # the scores' while they are summed: -2 r / _UNIT = r / _SHRUNK
_TINY = np.float32(2.0**-40)  # of the largest v, beside which what is less is nothing
_LEAST = np.float32(1e-36)  # of the largest v, so that it can divide


def forward(data: Address) -> None:
    """Place (n, a few rows): scores `e`, or if `fused` their softmax in its place, and the context."""
    mine = integer(data, SCRATCH) + 4 * integer(data, SPAN) * take(data, MEMBERS)
    scale = _table(integer(data, V), integer(data, WIDTH), mine)
    groups = (integer(data, ROWS) + (ROWS_AT_ONCE - 1)) // ROWS_AT_ONCE
    place = take(data, TAKEN)
    while place < integer(data, PLACES):
        n, first = place // groups, place % groups * ROWS_AT_ONCE
        count = min(integer(data, ROWS) - first, ROWS_AT_ONCE)
        _score(data, mine, scale, n, first, count)
        if integer(data, FUSED):
            for i in range(first, first + count):
                softmax(data, n, i)
            context(data, n, first, count)
        place = take(data, TAKEN)


@part()
def _score(data: Address, mine: Address, scale: float, n: int, first: int, count: int) -> None:
    """A few rows' e = Σ_j v_j tanh_j, where not near as Σ_j v_j − 2 Σ_j v_j r_j."""
    rows, keys, W, P = integer(data, ROWS), integer(data, KEYS), integer(data, WIDTH), integer(data, PITCH)
    e, q, blocks = integer(data, E), integer(data, Q), W // BLOCK
    end = integer(integer(data, UNTIL), n)
    made = mine + 4 * (3 * W + LANES)
    scaled, constants = made + 4 * ROWS_AT_ONCE * W, made + 8 * ROWS_AT_ONCE * W
    sums = constants + 4 * ROWS_AT_ONCE * LANES
    rests = sums + 4 * ROWS_AT_ONCE * LANES * CHUNK
    forms = rests + 4 * LANES
    for r in range(count):
        _make_query(data, n, n * rows + first + r, mine, made + 4 * r * W, scaled + 4 * r * W, forms + 8 * r * blocks)
        put_number(rests, r, _sum_of_v(mine, W, forms + 8 * r * blocks, constants + 4 * r * LANES))
    for start in range(0, end, CHUNK):
        some = min(end - start, CHUNK)
        for r in range(count):
            constant = load(constants, r * LANES)
            for s in range(some):
                store(sums, (r * CHUNK + s) * LANES, constant)
        for block in range(blocks):
            at = (n * W + block * BLOCK) * keys + start * LANES
            r = 0
            while r < count:
                form, after = integer(forms, r * blocks + block), r + 1
                while after < count and integer(forms, after * blocks + block) == form:
                    after += 1
                x, into = made + 4 * (r * W + block * BLOCK), sums + 4 * r * CHUNK * LANES
                if form == FAR:
                    _far(integer(data, FACTORS) + 4 * at, keys, x, W, mine + 4 * block * BLOCK, into, some, after - r)
                elif form == NEAR_BY:
                    z, v = scaled + 4 * (r * W + block * BLOCK), mine + 4 * (2 * W + block * BLOCK)
                    _near(integer(data, TANHS) + 4 * at, keys, x, z, W, v, into, some, after - r)
                else:
                    k, v = integer(data, K) + 4 * ((n * keys + start) * W), mine + 4 * 2 * W
                    for one in range(r, after):
                        _plain(k, q + 4 * (n * rows + first + one) * W, W, block, v, into, some)
                        into += 4 * CHUNK * LANES
                r = after
        for r in range(count):
            at, rest, whole = (n * rows + first + r) * P + start, number(rests, r), some // LANES * LANES
            for s in range(0, whole, LANES):
                x = totals(sums, (r * CHUNK + s) * LANES) + same(rest)
                store(e, at + s, x * same(ONE / _UNIT) * same(scale))
            for s in range(whole, some):
                x = total(load(sums, (r * CHUNK + s) * LANES)) + rest
                put_number(e, at + s, x * (ONE / _UNIT) * scale)
    for r in range(count):
        for s in range(end, keys):  # nobody sees them
            put_number(e, (n * rows + first + r) * P + s, ZERO)


@part()
def _table(v: Address, W: int, table: Address) -> float:
    """What the scores ask of v, by the scale: of two strips 2^-31 / v_1 and 2^-31 v_1; v_1 v_2; v_1 and v_2 in _UNIT.

    Beside v_1 v_2 stands by how much what stands for v_1 + v_2 is more, for all pairs alike.
    """
    high = same(_LEAST)
    for j in range(0, W, LANES):
        x = load(v, j)
        high = at_least(high, at_least(x, same(ZERO) - x))
    scale = power_of_two(largest(high))
    for j in range(0, W, 2 * LANES):
        x, y = load(v, j) * same(ONE / scale), load(v, j + LANES) * same(ONE / scale)
        store(table, 2 * W + j, x * same(_UNIT))
        store(table, 2 * W + j + LANES, y * same(_UNIT))
        little = same(_TINY) - at_least(x, same(ZERO) - x)
        x = x + where_above(little, same(ZERO), same(_TINY + _TINY))  # it divides
        over, w = reciprocal(x), x * y
        store(table, j, over * same(_SHRUNK))
        store(table, j + LANES, x * same(_SHRUNK))
        store(table, W + j, w)
        missed = same(ONE) - x * over
        store(table, W + j + LANES, ((x + y) * missed - (y - w * over)) * same(_UNIT))
    return scale


@part()
def _make_query(
    data: Address, n: int, row: int, table: Address, made: Address, scaled: Address, forms: Address
) -> None:
    """What the forms want of a query: e^{2q} with what the table has of v, or tanh q and v tanh q."""
    W, q, middles = integer(data, WIDTH), integer(data, Q), integer(data, MIDDLES)
    for block in range(W // BLOCK):
        j = block * BLOCK
        spread = number(integer(data, SPREADS), n * (W // BLOCK) + block)
        form = form_of(q + 4 * (row * W + j), middles + 4 * (n * W + j), spread)
        put_integer(forms, block, form)
        for j in range(block * BLOCK, block * BLOCK + BLOCK, LANES):
            x = load(q, row * W + j) + load(middles, n * W + j)
            if form == NEAR_BY:
                x = tanh(x)
                store(made, j, x)
                store(scaled, j, x * load(table, 2 * W + j))
            elif form == FAR:
                store(made, j, factor(x, spread) * load(table, j))


@part()
def _sum_of_v(table: Address, W: int, forms: Address, into: Address) -> float:
    """Σ_j v_j over what is not near, where all keys' scores begin: sixteen parts, and what rounding took of them."""
    most = rest = same(ZERO)
    for j in range(0, W, LANES):
        form = integer(forms, j // BLOCK)
        if form != NEAR_BY:
            x = load(table, 2 * W + j)
            both = most + x
            of_x = both - most
            rest = rest + ((most - (both - of_x)) + (x - of_x))
            most = both
        if form == FAR and j % (2 * LANES):
            rest = rest + load(table, W + j)
    store(into, 0, most)
    return total(rest)


@part()
def _far(y: Address, keys: int, x: Address, W: int, table: Address, sums: Address, some: int, count: int) -> None:
    """Adds to the sums of `count` rows and `some` keys a block's Σ v r, in the far form.

    Here and below each load stands by itself: handed over in a tuple, its product is rounded before it is added, and
    the error grows by a sixth.
    """
    for r in range(0, count - 1, 2):
        _two_far(y, keys, x + 4 * r * W, W, table, sums + 4 * r * CHUNK * LANES, some)
    if count % 2:
        _one_far(y, keys, x + 4 * (count - 1) * W, W, table, sums + 4 * (count - 1) * CHUNK * LANES, some)


@part()
def _two_far(y: Address, keys: int, x: Address, W: int, table: Address, sums: Address, some: int) -> None:
    """Of two rows, whose numbers stay in registers."""
    c_1, c_2, c_3, c_4 = load(table, 0), load(table, LANES), load(table, 2 * LANES), load(table, 3 * LANES)
    w_1, w_2 = load(table, W), load(table, W + 2 * LANES)
    a_1, a_2, a_3, a_4 = load(x, 0), load(x, LANES), load(x, 2 * LANES), load(x, 3 * LANES)
    b_1, b_2, b_3, b_4 = load(x, W), load(x, W + LANES), load(x, W + 2 * LANES), load(x, W + 3 * LANES)
    for s in range(0, some * LANES, LANES):
        y_1, y_2 = load(y, s), load(y, keys * LANES + s)
        y_3, y_4 = load(y, 2 * keys * LANES + s), load(y, 3 * keys * LANES + s)
        d_1, d_2, d_3, d_4 = y_1 * a_1 + c_1, y_2 * a_2 + c_2, y_3 * a_3 + c_3, y_4 * a_4 + c_4
        e_1, e_2, e_3, e_4 = y_1 * b_1 + c_1, y_2 * b_2 + c_2, y_3 * b_3 + c_3, y_4 * b_4 + c_4
        d_12, d_34, e_12, e_34 = d_1 * d_2, d_3 * d_4, e_1 * e_2, e_3 * e_4
        v = (w_1 * d_1 + d_2) * d_34 + (w_2 * d_3 + d_4) * d_12
        z = (w_1 * e_1 + e_2) * e_34 + (w_2 * e_3 + e_4) * e_12
        store(sums, s, v * reciprocal(d_12 * d_34) + load(sums, s))
        at = CHUNK * LANES + s
        store(sums, at, z * reciprocal(e_12 * e_34) + load(sums, at))


@part()
def _one_far(y: Address, keys: int, x: Address, W: int, table: Address, sums: Address, some: int) -> None:
    c_1, c_2, c_3, c_4 = load(table, 0), load(table, LANES), load(table, 2 * LANES), load(table, 3 * LANES)
    w_1, w_2 = load(table, W), load(table, W + 2 * LANES)
    x_1, x_2, x_3, x_4 = load(x, 0), load(x, LANES), load(x, 2 * LANES), load(x, 3 * LANES)
    for s in range(0, some * LANES, LANES):
        d_1, d_2 = load(y, s) * x_1 + c_1, load(y, keys * LANES + s) * x_2 + c_2
        d_3, d_4 = load(y, 2 * keys * LANES + s) * x_3 + c_3, load(y, 3 * keys * LANES + s) * x_4 + c_4
        d_12, d_34 = d_1 * d_2, d_3 * d_4
        v = (w_1 * d_1 + d_2) * d_34 + (w_2 * d_3 + d_4) * d_12
        store(sums, s, v * reciprocal(d_12 * d_34) + load(sums, s))


@part()
def _near(
    y: Address, keys: int, x: Address, z: Address, W: int, v: Address, sums: Address, some: int, count: int
) -> None:
    """The same with Σ v tanh, in the near form."""
    v_1, v_2, v_3, v_4 = load(v, 0), load(v, LANES), load(v, 2 * LANES), load(v, 3 * LANES)
    one = same(ONE)
    for s in range(0, some * LANES, LANES):
        y_1, y_2 = load(y, s), load(y, keys * LANES + s)
        y_3, y_4 = load(y, 2 * keys * LANES + s), load(y, 3 * keys * LANES + s)
        for r in range(count):
            d_1, d_2 = y_1 * load(x, r * W) + one, y_2 * load(x, r * W + LANES) + one
            d_3, d_4 = y_3 * load(x, r * W + 2 * LANES) + one, y_4 * load(x, r * W + 3 * LANES) + one
            z_1, z_2 = v_1 * y_1 + load(z, r * W), v_2 * y_2 + load(z, r * W + LANES)
            z_3, z_4 = v_3 * y_3 + load(z, r * W + 2 * LANES), v_4 * y_4 + load(z, r * W + 3 * LANES)
            d_12, d_34 = d_1 * d_2, d_3 * d_4
            t = (z_1 * d_2 + z_2 * d_1) * d_34 + (z_3 * d_4 + z_4 * d_3) * d_12
            at = r * CHUNK * LANES + s
            store(sums, at, t * reciprocal(d_12 * d_34) + load(sums, at))


@part()
def _plain(k: Address, q: Address, W: int, block: int, v: Address, sums: Address, some: int) -> None:
    """The same of one row with −2 Σ v r, in the plain form."""
    for s in range(some):
        of_key = load(sums, s * LANES)
        for j in range(block * BLOCK, block * BLOCK + BLOCK, LANES):
            r = reciprocal(rise(load(q, j), load(k, s * W + j)) + same(ONE))
            of_key = of_key - load(v, j) * (r + r)
        store(sums, s * LANES, of_key)
