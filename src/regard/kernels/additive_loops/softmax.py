"""From scores to weights and contexts, and back: a few rows at a time, which share what is loaded of the values."""

import numpy as np

from regard.kernels.additive_loops.fields import (
    ALLOWED,
    CONTEXT,
    DC,
    DE,
    DV,
    GROUP,
    KEY_HEADS,
    KEYS,
    MASKED,
    OF_BATCH,
    OF_HEAD,
    OF_STEP,
    PITCH,
    PLACES,
    ROWS,
    ROWS_AT_ONCE,
    STEPS,
    TAKEN,
    UNTIL,
    VALUES,
    Address,
    E,
)
from regard.kernels.additive_loops.forms import INFINITE, ONE, ZERO
from regard.machine.addresses import byte, integer, number, put_number, take
from regard.machine.compiling import part
from regard.machine.lanes import LANES, at_least, exponential, largest, load, same, store, total, where_above

_VANISHED = np.float32(-87)  # e to this is 0 beside 1


@part()
def softmax(data: Address, n: int, i: int) -> None:
    """Softmax of a row of e, in place; all 0 where nothing is allowed."""
    rows, keys, P, e = integer(data, ROWS), integer(data, KEYS), integer(data, PITCH), integer(data, E)
    at = (n * rows + i) * P
    if integer(data, MASKED):
        head = n % integer(data, KEY_HEADS) * integer(data, GROUP) + i // integer(data, STEPS)
        first = n // integer(data, KEY_HEADS) * integer(data, OF_BATCH) + head * integer(data, OF_HEAD)
        first += i % integer(data, STEPS) * integer(data, OF_STEP)
        for s in range(keys):
            if not byte(integer(data, ALLOWED), first + s):
                put_number(e, at + s, -INFINITE)
    for s in range(keys, P):
        put_number(e, at + s, -INFINITE)
    high = same(-INFINITE)
    for s in range(at, at + P, LANES):
        high = at_least(high, load(e, s))
    most = max(largest(high), -np.float32(3e38))  # all -inf: e - most stays -inf
    mass = same(ZERO)
    for s in range(at, at + P, LANES):
        x = load(e, s) - same(most)
        x = where_above(x, same(_VANISHED), exponential(at_least(x, same(_VANISHED))))
        mass = mass + x
        store(e, s, x)
    sum_of = total(mass)
    share = same(ZERO) if sum_of == 0 else same(ONE / sum_of)
    for s in range(at, at + P, LANES):
        store(e, s, load(e, s) * share)


@part()
def context(data: Address, n: int, first: int, count: int) -> None:
    """A few rows' Σ_s α_s values_s."""
    keys, P, Dv = integer(data, KEYS), integer(data, PITCH), integer(data, DV)
    row, end = n * integer(data, ROWS) + first, integer(integer(data, UNTIL), n)
    e, into = integer(data, E) + 4 * row * P, integer(data, CONTEXT) + 4 * row * Dv
    values = integer(data, VALUES) + 4 * n * keys * Dv
    if count == ROWS_AT_ONCE:
        _four_contexts(e, P, values, Dv, end, into)
    else:
        for r in range(count):
            _one_context(e + 4 * r * P, values, Dv, end, into + 4 * r * Dv)


@part()
def _one_context(e: Address, values: Address, Dv: int, end: int, context: Address) -> None:
    """Four keys at a time, from the first feature to the last: as memory likes it, which is what this waits for."""
    for j in range(0, Dv, LANES):
        store(context, j, same(ZERO))
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
        c_1 = c_2 = c_3 = c_4 = d_1 = d_2 = d_3 = d_4 = same(ZERO)
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


def through_softmax(data: Address) -> None:
    """Place (n, a few rows): de_s = α_s (g_s − Σ α g), with g_s = dc · values_s; α stands in `e`."""
    groups = (integer(data, ROWS) + (ROWS_AT_ONCE - 1)) // ROWS_AT_ONCE
    place = take(data, TAKEN)
    while place < integer(data, PLACES):
        _through_softmax(data, place // groups, place % groups * ROWS_AT_ONCE)
        place = take(data, TAKEN)


@part()
def _through_softmax(data: Address, n: int, first: int) -> None:
    """Of a few rows."""
    keys, P, Dv = integer(data, KEYS), integer(data, PITCH), integer(data, DV)
    row, end = n * integer(data, ROWS) + first, integer(integer(data, UNTIL), n)
    e, de = integer(data, E) + 4 * row * P, integer(data, DE) + 4 * row * P
    dc, values = integer(data, DC) + 4 * row * Dv, integer(data, VALUES) + 4 * n * keys * Dv
    count = min(integer(data, ROWS) - first, ROWS_AT_ONCE)
    for s in range(0, count * P, LANES):
        store(de, s, same(ZERO))
    if count == ROWS_AT_ONCE:
        _four_products(dc, values, Dv, end, de, P)
    else:
        for r in range(count):
            _products(dc + 4 * r * Dv, values, Dv, end, de + 4 * r * P)
    for at in range(0, count * P, P):
        mean = same(ZERO)
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
        g_1 = g_2 = same(ZERO)
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
        g_1 = g_2 = g_3 = g_4 = h_1 = h_2 = h_3 = h_4 = same(ZERO)
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
