"""The additive score's loops, compiled by numba: no (queries, keys, hidden) tensor is ever built.

    tanh(q + k) = 1 − 2r,   r = 1 / (1 + e^{2q} e^{2k}),   tanh'(q + k) = 4r (1 − r)

The exponentials are made once per query and per key, so a pair costs a product, a sum and a reciprocal, which the
backward pass makes again. The scores need only the sum over the features, so there four share one reciprocal:
v_1 / d_1 + v_2 / d_2 = (v_1 d_2 + v_2 d_1) / (d_1 d_2), and the same once more. With d_1 / v_1 and v_1 d_2 in place of
d_1 and d_2, which costs a pair nothing, that numerator is v_1 d_2 + (v_1 v_2) (d_1 / v_1): 4.25 operations a feature.

Features are taken in blocks of 64, each query's in one of three forms, by its range and the keys':

    far    as above, with m the keys' middle if they do not lie within ±LIMIT anyway, else 0. Four factors
           1 + e^{2(q + m)} e^{2(k − m)}, times 2^-31, have a normal product while |q + m| + |k − m| is at most REACH.
           If that is so, or if k − m lies within ±LIMIT and a query beyond is cut off: there tanh is 1 in float32.
    near   The keys lie within ±NEAR, and so does the query. Small sums would lose their digits to the 1 in 1 − 2r, so
           here tanh(q + k) = (tanh q + tanh k) / (1 + tanh q tanh k). Another query takes the far form.
    plain  The range is wider: an exponential for each pair.

Each function is what one thread does: it takes one place after the other until none is left. `data` is the address of
integers, sizes and addresses of arrays, which are named below. Arrays are in C order, float32 but for `seen` and
`allowed` (bytes) and `until`: queries (n, rows, W), keys (n, keys, W), but what is made of them (n, W / 16, keys, 16);
W is a multiple of 64 and what is beyond the hidden features 0; n counts batch rows times key heads, and a row is a
query of one head of the group.
"""

import numpy as np

from regard.machine.addresses import byte, integer, number, power_of_two, put_integer, put_number, take
from regard.machine.compiling import compiled as compiled
from regard.machine.compiling import part
from regard.machine.lanes import (
    LANES,
    Lanes,
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

STRIPS = 4  # whose features share a reciprocal
BLOCK = STRIPS * LANES
ROWS_AT_ONCE = 4  # which share what is loaded of keys and values
CHUNK = 64  # keys, whose sums stay in the first cache

Address = int
NAMES = (
    *("taken", "members", "places", "scratch", "span"),  # span: a thread's floats of scratch
    *("rows", "keys", "W", "P", "Dv"),  # P: a row of e, de
    *("masked", "key_heads", "group", "steps", "of_batch", "of_head", "of_step"),  # the mask and its strides
    *("fused", "adds", "strips"),  # softmax and context too; dk and dv grow; strips of a place
    *("k", "seen", "factors", "tanhs", "middles", "spreads", "until"),
    *("q", "v", "e", "allowed", "values", "context"),
    *("de", "dc", "dq", "dk", "dv"),
)
(
    TAKEN,
    MEMBERS,
    PLACES,
    SCRATCH,
    SPAN,
    ROWS,
    KEYS,
    WIDTH,
    PITCH,
    DV,
    MASKED,
    KEY_HEADS,
    GROUP,
    STEPS,
    OF_BATCH,
    OF_HEAD,
    OF_STEP,
    FUSED,
    ADDS,
    AT_ONCE,
    K,
    SEEN,
    FACTORS,
    TANHS,
    MIDDLES,
    SPREADS,
    UNTIL,
    Q,
    V,
    E,
    ALLOWED,
    VALUES,
    CONTEXT,
    DE,
    DC,
    D_Q,
    D_K,
    D_V,
) = range(len(NAMES))

FAR, NEAR_BY, PLAIN = range(3)
NEAR, LIMIT, WIDEST, REACH = np.float32(2), np.float32(6), np.float32(15), np.float32(21.5)
_SATURATED = np.float32(20)  # tanh is 1 from here
_VANISHED = np.float32(-87)  # e to this is 0 beside 1
_ZERO, _QUARTER, _HALF, _ONE, _TWO, _FOUR = (np.float32(x) for x in (0, 0.25, 0.5, 1, 2, 4))
_INFINITE = np.float32(np.inf)
_SHRUNK = np.float32(2.0**-31)  # times a factor of a product of four
_UNIT = np.float32(-(2.0**30))  # the scores' while they are summed: -2 r / _UNIT = r / _SHRUNK
_TINY = np.float32(2.0**-40)  # of the largest v, beside which what is less is nothing
_LEAST = np.float32(1e-36)  # of the largest v, so that it can divide


def prepare(data: Address) -> None:
    """Place (n, block): of the keys `factors`, `tanhs`, `middles`, `spreads`, and where they end, `until`."""
    blocks = integer(data, WIDTH) // BLOCK
    place = take(data, TAKEN)
    while place < integer(data, PLACES):
        _prepare(data, place // blocks, place % blocks)
        place = take(data, TAKEN)


def forward(data: Address) -> None:
    """Place (n, a few rows): scores `e`, or if `fused` their softmax in its place, and the context."""
    mine = integer(data, SCRATCH) + 4 * integer(data, SPAN) * take(data, MEMBERS)
    scale = _table(integer(data, V), integer(data, WIDTH), mine)
    groups = (integer(data, ROWS) + (ROWS_AT_ONCE - 1)) // ROWS_AT_ONCE
    place = take(data, TAKEN)
    while place < integer(data, PLACES):
        _score(data, mine, scale, place // groups, place % groups * ROWS_AT_ONCE)
        place = take(data, TAKEN)


def through_softmax(data: Address) -> None:
    """Place (n, a few rows): de_s = α_s (g_s − Σ α g), with g_s = dc · values_s; α stands in `e`."""
    groups = (integer(data, ROWS) + (ROWS_AT_ONCE - 1)) // ROWS_AT_ONCE
    place = take(data, TAKEN)
    while place < integer(data, PLACES):
        _through_softmax(data, place // groups, place % groups * ROWS_AT_ONCE)
        place = take(data, TAKEN)


def gradients(data: Address) -> None:
    """Place (n, `strips` strips): of all its pairs, from `de`, dq, dk and dv (n, W)."""
    mine = integer(data, SCRATCH) + 4 * integer(data, SPAN) * take(data, MEMBERS)
    strips = integer(data, AT_ONCE)
    groups = integer(data, WIDTH) // LANES // strips
    place = take(data, TAKEN)
    while place < integer(data, PLACES):
        _gradients(data, mine, place // groups, place % groups * strips, strips)
        place = take(data, TAKEN)


def scratch(W: int) -> int:
    """Floats that a thread needs."""
    return 3 * W + 2 * LANES + ROWS_AT_ONCE * (2 * W + LANES * (1 + CHUNK) + LANES * (W // BLOCK))


@part()
def _prepare(data: Address, n: int, block: int) -> None:
    """Keys that are not seen count as 0; from until[n] on there are only such."""
    keys, W, k, seen = integer(data, KEYS), integer(data, WIDTH), integer(data, K), integer(data, SEEN)
    end = keys
    if seen:
        while end and not byte(seen, n * keys + end - 1):
            end -= 1
    if block == 0:
        put_integer(integer(data, UNTIL), n, end)
    spread = _ZERO
    for j in range(block * BLOCK, block * BLOCK + BLOCK, LANES):
        low, high = same(_INFINITE), same(-_INFINITE)
        for s in range(end):
            if not seen or byte(seen, n * keys + s):
                x = load(k, (n * keys + s) * W + j)
                low, high = at_most(low, x), at_least(high, x)
        far = at_least(high, same(_ZERO) - low)
        middle = where_above(far, same(LIMIT), (high + low) * same(_HALF))
        store(integer(data, MIDDLES), n * W + j, middle)
        spread = max(spread, largest(at_least(high - middle, middle - low)))
        if largest(far) == _INFINITE:
            spread = _INFINITE
    put_number(integer(data, SPREADS), n * (W // BLOCK) + block, spread)
    if spread > WIDEST:
        return
    for j in range(block * BLOCK, block * BLOCK + BLOCK, LANES):
        middle, at = load(integer(data, MIDDLES), n * W + j), (n * W + j) * keys
        for s in range(keys):
            x = same(_ZERO)
            if not seen or byte(seen, n * keys + s):
                x = load(k, (n * keys + s) * W + j) - middle
            store(integer(data, FACTORS), at + s * LANES, exponential(x + x))
            if spread <= NEAR:
                store(integer(data, TANHS), at + s * LANES, _tanh(x))


@part()
def _tanh(x: Lanes) -> Lanes:
    y = exponential_minus_one(x + x)
    return y * reciprocal(y + same(_TWO))


@part()
def _rise(q: Lanes, k: Lanes) -> Lanes:
    """e^{2(q + k)}, in the plain form."""
    x = within(q + k, same(_SATURATED))
    return exponential(x + x)


@part()
def _factor(x: Lanes, spread: float) -> Lanes:
    """e^{2x} of a query, in the far form."""
    x = within(x, same(REACH - spread))
    return exponential(x + x)


@part()
def _form(q: Address, middles: Address, spread: float) -> int:
    """The form of a block of one query's."""
    if not spread <= WIDEST:
        return PLAIN
    most = same(_ZERO)
    for j in range(0, BLOCK, LANES):
        x = load(q, j) + load(middles, j)
        most = at_least(most, at_least(x, same(_ZERO) - x))
    farthest = largest(most)
    if spread <= NEAR and farthest <= NEAR:
        return NEAR_BY
    return FAR if spread <= LIMIT or farthest + spread <= REACH else PLAIN


@part()
def _table(v: Address, W: int, table: Address) -> float:
    """What the scores ask of v, by the scale: of two strips 2^-31 / v_1 and 2^-31 v_1; v_1 v_2; v_1 and v_2 in _UNIT.

    Beside v_1 v_2 stands by how much what stands for v_1 + v_2 is more, for all pairs alike.
    """
    high = same(_LEAST)
    for j in range(0, W, LANES):
        x = load(v, j)
        high = at_least(high, at_least(x, same(_ZERO) - x))
    scale = power_of_two(largest(high))
    for j in range(0, W, 2 * LANES):
        x, y = load(v, j) * same(_ONE / scale), load(v, j + LANES) * same(_ONE / scale)
        store(table, 2 * W + j, x * same(_UNIT))
        store(table, 2 * W + j + LANES, y * same(_UNIT))
        little = same(_TINY) - at_least(x, same(_ZERO) - x)
        x = x + where_above(little, same(_ZERO), same(_TINY + _TINY))  # it divides
        over, w = reciprocal(x), x * y
        store(table, j, over * same(_SHRUNK))
        store(table, j + LANES, x * same(_SHRUNK))
        store(table, W + j, w)
        missed = same(_ONE) - x * over
        store(table, W + j + LANES, ((x + y) * missed - (y - w * over)) * same(_UNIT))
    return scale


@part()
def _score(data: Address, mine: Address, scale: float, n: int, first: int) -> None:
    """A few rows' e = Σ_j v_j tanh_j, where not near as Σ_j v_j − 2 Σ_j v_j r_j."""
    rows, keys, W, P = integer(data, ROWS), integer(data, KEYS), integer(data, WIDTH), integer(data, PITCH)
    e, q, blocks = integer(data, E), integer(data, Q), W // BLOCK
    count, end = min(rows - first, ROWS_AT_ONCE), integer(integer(data, UNTIL), n)
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
            at = (n * rows + first + r) * P + start
            for s in range(some):
                x = total(load(sums, (r * CHUNK + s) * LANES)) + number(rests, r)
                put_number(e, at + s, x * (_ONE / _UNIT) * scale)
    for r in range(count):
        for s in range(end, keys):  # nobody sees them
            put_number(e, (n * rows + first + r) * P + s, _ZERO)
    if integer(data, FUSED):
        for r in range(count):
            _softmax(data, n, first + r)
        _context(data, n, first, count)


@part()
def _sum_of_v(table: Address, W: int, forms: Address, into: Address) -> float:
    """Σ_j v_j over what is not near, where all keys' scores begin: sixteen parts, and what rounding took of them."""
    most = rest = same(_ZERO)
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
def _make_query(
    data: Address, n: int, row: int, table: Address, made: Address, scaled: Address, forms: Address
) -> None:
    """What the forms want of a query: e^{2q} with what the table has of v, or tanh q and v tanh q."""
    W, q, middles = integer(data, WIDTH), integer(data, Q), integer(data, MIDDLES)
    for block in range(W // BLOCK):
        j = block * BLOCK
        spread = number(integer(data, SPREADS), n * (W // BLOCK) + block)
        form = _form(q + 4 * (row * W + j), middles + 4 * (n * W + j), spread)
        put_integer(forms, block, form)
        for j in range(block * BLOCK, block * BLOCK + BLOCK, LANES):
            x = load(q, row * W + j) + load(middles, n * W + j)
            if form == NEAR_BY:
                x = _tanh(x)
                store(made, j, x)
                store(scaled, j, x * load(table, 2 * W + j))
            elif form == FAR:
                store(made, j, _factor(x, spread) * load(table, j))


@part()
def _far(y: Address, keys: int, x: Address, W: int, table: Address, sums: Address, some: int, count: int) -> None:
    """Adds to the sums of `count` rows and `some` keys a block's Σ v r, in the far form."""
    c_1, c_2, c_3, c_4 = load(table, 0), load(table, LANES), load(table, 2 * LANES), load(table, 3 * LANES)
    w_1, w_2 = load(table, W), load(table, W + 2 * LANES)
    for s in range(0, some * LANES, LANES):
        y_1, y_2 = load(y, s), load(y, keys * LANES + s)
        y_3, y_4 = load(y, 2 * keys * LANES + s), load(y, 3 * keys * LANES + s)
        for r in range(count):
            d_1, d_2 = y_1 * load(x, r * W) + c_1, y_2 * load(x, r * W + LANES) + c_2
            d_3, d_4 = y_3 * load(x, r * W + 2 * LANES) + c_3, y_4 * load(x, r * W + 3 * LANES) + c_4
            d_12, d_34 = d_1 * d_2, d_3 * d_4
            v = (w_1 * d_1 + d_2) * d_34 + (w_2 * d_3 + d_4) * d_12
            at = r * CHUNK * LANES + s
            store(sums, at, v * reciprocal(d_12 * d_34) + load(sums, at))


@part()
def _near(
    y: Address, keys: int, x: Address, z: Address, W: int, v: Address, sums: Address, some: int, count: int
) -> None:
    """The same with Σ v tanh, in the near form."""
    v_1, v_2, v_3, v_4 = load(v, 0), load(v, LANES), load(v, 2 * LANES), load(v, 3 * LANES)
    one = same(_ONE)
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
            r = reciprocal(_rise(load(q, j), load(k, s * W + j)) + same(_ONE))
            of_key = of_key - load(v, j) * (r + r)
        store(sums, s * LANES, of_key)


@part()
def _softmax(data: Address, n: int, i: int) -> None:
    """Softmax of a row of e, in place; all 0 where nothing is allowed."""
    rows, keys, P, e = integer(data, ROWS), integer(data, KEYS), integer(data, PITCH), integer(data, E)
    at = (n * rows + i) * P
    if integer(data, MASKED):
        head = n % integer(data, KEY_HEADS) * integer(data, GROUP) + i // integer(data, STEPS)
        first = n // integer(data, KEY_HEADS) * integer(data, OF_BATCH) + head * integer(data, OF_HEAD)
        first += i % integer(data, STEPS) * integer(data, OF_STEP)
        for s in range(keys):
            if not byte(integer(data, ALLOWED), first + s):
                put_number(e, at + s, -_INFINITE)
    for s in range(keys, P):
        put_number(e, at + s, -_INFINITE)
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


@part()
def _context(data: Address, n: int, first: int, count: int) -> None:
    """A few rows' Σ_s α_s values_s."""
    keys, P, Dv = integer(data, KEYS), integer(data, PITCH), integer(data, DV)
    row, end = n * integer(data, ROWS) + first, integer(integer(data, UNTIL), n)
    e, context = integer(data, E) + 4 * row * P, integer(data, CONTEXT) + 4 * row * Dv
    values = integer(data, VALUES) + 4 * n * keys * Dv
    if count == ROWS_AT_ONCE:
        _four_contexts(e, P, values, Dv, end, context)
    else:
        for r in range(count):
            _one_context(e + 4 * r * P, values, Dv, end, context + 4 * r * Dv)


@part()
def _one_context(e: Address, values: Address, Dv: int, end: int, context: Address) -> None:
    """Four keys at a time, from the first feature to the last: as memory likes it, which is what this waits for."""
    for j in range(0, Dv, LANES):
        store(context, j, same(_ZERO))
    whole = end - end % 4
    for s in range(0, whole, 4):
        a_1, a_2, a_3, a_4 = same(number(e, s)), same(number(e, s + 1)), same(number(e, s + 2)), same(number(e, s + 3))
        for j in range(s * Dv, s * Dv + Dv, LANES):
            c = load(context, j - s * Dv) + a_1 * load(values, j) + a_2 * load(values, Dv + j)
            store(context, j - s * Dv, c + a_3 * load(values, 2 * Dv + j) + a_4 * load(values, 3 * Dv + j))
    for s in range(whole, end):
        a = same(number(e, s))
        for j in range(0, Dv, LANES):
            store(context, j, load(context, j) + a * load(values, s * Dv + j))


@part()
def _four_contexts(e: Address, P: int, values: Address, Dv: int, end: int, context: Address) -> None:
    """Two strips of each at a time; where their number is odd, the last one twice."""
    for j in range(0, Dv, 2 * LANES):
        k = min(j + LANES, Dv - LANES)
        c_1 = c_2 = c_3 = c_4 = d_1 = d_2 = d_3 = d_4 = same(_ZERO)
        for s in range(end):
            x, y = load(values, s * Dv + j), load(values, s * Dv + k)
            a_1, a_2 = same(number(e, s)), same(number(e, P + s))
            a_3, a_4 = same(number(e, 2 * P + s)), same(number(e, 3 * P + s))
            c_1, c_2, c_3, c_4 = c_1 + a_1 * x, c_2 + a_2 * x, c_3 + a_3 * x, c_4 + a_4 * x
            d_1, d_2, d_3, d_4 = d_1 + a_1 * y, d_2 + a_2 * y, d_3 + a_3 * y, d_4 + a_4 * y
        store(context, j, c_1)
        store(context, k, d_1)
        store(context, Dv + j, c_2)
        store(context, Dv + k, d_2)
        store(context, 2 * Dv + j, c_3)
        store(context, 2 * Dv + k, d_3)
        store(context, 3 * Dv + j, c_4)
        store(context, 3 * Dv + k, d_4)


@part()
def _through_softmax(data: Address, n: int, first: int) -> None:
    """Of a few rows."""
    keys, P, Dv = integer(data, KEYS), integer(data, PITCH), integer(data, DV)
    row, end = n * integer(data, ROWS) + first, integer(integer(data, UNTIL), n)
    e, de = integer(data, E) + 4 * row * P, integer(data, DE) + 4 * row * P
    dc, values = integer(data, DC) + 4 * row * Dv, integer(data, VALUES) + 4 * n * keys * Dv
    count = min(integer(data, ROWS) - first, ROWS_AT_ONCE)
    for s in range(0, count * P, LANES):
        store(de, s, same(_ZERO))
    if count == ROWS_AT_ONCE:
        _four_products(dc, values, Dv, end, de, P)
    else:
        for r in range(count):
            _products(dc + 4 * r * Dv, values, Dv, end, de + 4 * r * P)
    for at in range(0, count * P, P):
        mean = same(_ZERO)
        for s in range(at, at + P, LANES):
            mean = mean + load(e, s) * load(de, s)
        mean = same(total(mean))
        for s in range(at, at + P, LANES):
            store(de, s, load(e, s) * (load(de, s) - mean))


@part()
def _products(dc: Address, values: Address, Dv: int, end: int, g: Address) -> None:
    """g_s = dc · values_s, two at a time; where their number is odd, the last one twice."""
    for s in range(0, end, 2):
        one, other = s * Dv, min(s + 1, end - 1) * Dv
        g_1 = g_2 = same(_ZERO)
        for j in range(0, Dv, LANES):
            x = load(dc, j)
            g_1, g_2 = g_1 + x * load(values, one + j), g_2 + x * load(values, other + j)
        put_number(g, min(s + 1, end - 1), total(g_2))
        put_number(g, s, total(g_1))


@part()
def _four_products(dc: Address, values: Address, Dv: int, end: int, g: Address, P: int) -> None:
    """The same of four rows."""
    for s in range(0, end, 2):
        one, other = s * Dv, min(s + 1, end - 1) * Dv
        g_1 = g_2 = g_3 = g_4 = h_1 = h_2 = h_3 = h_4 = same(_ZERO)
        for j in range(0, Dv, LANES):
            x, y = load(values, one + j), load(values, other + j)
            d_1, d_2, d_3, d_4 = load(dc, j), load(dc, Dv + j), load(dc, 2 * Dv + j), load(dc, 3 * Dv + j)
            g_1, g_2, g_3, g_4 = g_1 + x * d_1, g_2 + x * d_2, g_3 + x * d_3, g_4 + x * d_4
            h_1, h_2, h_3, h_4 = h_1 + y * d_1, h_2 + y * d_2, h_3 + y * d_3, h_4 + y * d_4
        k = min(s + 1, end - 1)
        put_number(g, k, total(h_1))
        put_number(g, P + k, total(h_2))
        put_number(g, 2 * P + k, total(h_3))
        put_number(g, 3 * P + k, total(h_4))
        put_number(g, s, total(g_1))
        put_number(g, P + s, total(g_2))
        put_number(g, 2 * P + s, total(g_3))
        put_number(g, 3 * P + s, total(g_4))


@part()
def _gradients(data: Address, mine: Address, n: int, strip: int, strips: int) -> None:
    """All pairs of one n and some strips of a block, a chunk of keys at a time, whose dk is summed in scratch."""
    rows, keys, W = integer(data, ROWS), integer(data, KEYS), integer(data, WIDTH)
    dk, dv, v, end = integer(data, D_K), integer(data, D_V), integer(data, V), integer(integer(data, UNTIL), n)
    of_v = mine + 4 * CHUNK * strips * LANES
    for j in range(0, strips * LANES, LANES):
        store(of_v, j, load(dv, n * W + strip * LANES + j) if integer(data, ADDS) else same(_ZERO))
    for start in range(0, max(end, 1), CHUNK):
        some = min(end - start, CHUNK)
        for s in range(0, some * strips * LANES, LANES):
            store(mine, s, same(_ZERO))
        for t in range(rows):
            _row_gradients(data, mine, of_v, n, t, strip, strips, start, some)
        for s in range(some):
            for j in range(0, strips * LANES, LANES):
                at = (n * keys + start + s) * W + strip * LANES + j
                d = load(v, strip * LANES + j) * same(_FOUR) * load(mine, j * some + s * LANES)
                store(dk, at, load(dk, at) + d if integer(data, ADDS) else d)
    for j in range(strip * LANES, (strip + strips) * LANES, LANES):
        store(dv, n * W + j, load(of_v, j - strip * LANES))
        if not integer(data, ADDS):
            for s in range(end, keys):
                store(dk, (n * keys + s) * W + j, same(_ZERO))


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
    form = _form(q + 4 * block * BLOCK, middles + 4 * block * BLOCK, spread)
    mass = _ZERO
    if form != NEAR_BY and not integer(data, FUSED):  # a softmax passes none on
        for s in range(some):
            mass += number(de, s)
    for i in range(strips):
        j = (strip + i) * LANES
        at, x, into = (n * W + j) * keys + start * LANES, load(q, j) + load(middles, j), sums + 4 * i * some * LANES
        if form == FAR:
            rest, of_q = _far_gradients(integer(data, FACTORS) + 4 * at, _factor(x, spread), de, into, some)
        elif form == NEAR_BY:
            rest, of_q = _near_gradients(integer(data, TANHS) + 4 * at, _tanh(x), de, into, some)
        else:
            k = integer(data, K) + 4 * ((n * keys + start) * W + j)
            rest, of_q = _plain_gradients(k, W, load(q, j), de, into, some)
        store(of_v, i * LANES, load(of_v, i * LANES) + (same(mass) - (rest + rest)))
        of_q = of_q * (load(integer(data, V), j) * same(_FOUR))
        if start:
            of_q = of_q + load(dq, j)
        store(dq, j, of_q)


@part()
def _near_gradients(y: Address, x: Lanes, de: Address, sums: Address, some: int) -> tuple:
    """−Σ_s de tanh / 2, and Σ_s de tanh' / 4, of a row."""
    rest, of_q, two = same(_ZERO), same(_ZERO), same(_TWO)
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
    rest, of_q, one = same(_ZERO), same(_ZERO), same(_ONE)
    for s in range(some):
        rise, g = x * load(y, s * LANES), same(number(de, s))
        r = reciprocal(rise + one)
        d = rise * r * r  # 1 − r would lose its digits where r is near 1
        rest, of_q = g * r + rest, g * d + of_q
        store(sums, s * LANES, g * d + load(sums, s * LANES))
    return rest, of_q


@part()
def _plain_gradients(k: Address, W: int, q: Lanes, de: Address, sums: Address, some: int) -> tuple:
    """The same in the plain form."""
    rest, of_q, one = same(_ZERO), same(_ZERO), same(_ONE)
    for s in range(some):
        rise, g = _rise(q, load(k, s * W)), same(number(de, s))
        r = reciprocal(rise + one)
        d = rise * r * r
        rest, of_q = g * r + rest, g * d + of_q
        store(sums, s * LANES, g * d + load(sums, s * LANES))
    return rest, of_q
