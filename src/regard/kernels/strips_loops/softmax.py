"""From a tile's scores to its weights, and from the weights' gradients to the scores', in place."""

from typing import Any

import numpy as np
from llvmlite import ir
from numba import types

from regard.kernels.strips_loops.fields import (
    ASKED,
    BANDED,
    CAP,
    HEIGHT,
    HIDDEN,
    KEYS,
    LEFT,
    LENGTHS,
    RIGHT,
    ROW,
    SHIFT,
    SINKS,
    STARTS,
    Address,
)
from regard.machine.addresses import integer, number, put_number
from regard.machine.compiling import instruction, part
from regard.machine.lanes import (
    LANES,
    Lanes,
    at_least,
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

_ZERO, _ONE, _TWO, _INFINITE = (np.float32(x) for x in (0, 1, 2, np.inf))
_VANISHED = np.float32(-87)  # e to this is 0 beside 1
_LEAST = np.float32(-3e38)
_SATURATED = np.float32(20)  # tanh is 1 from here


@part()
def weights(data: Address, job: Address, b: int, h: int, e: Address, W: int, missed: Address) -> None:
    """The softmax of each row of e over the keys that it may see; 0 for the others, and where there are none.

    missed: what the sink takes of each row, where there is one.
    """
    sink = number(integer(data, SINKS), h) if integer(data, SINKS) else _LEAST
    first = integer(job, ROW) + integer(data, SHIFT) - integer(integer(job, STARTS), 0)
    for i in range(integer(job, HEIGHT)):
        row, low, high = e + 4 * i * W, 0, W
        if integer(data, BANDED):
            low = min(max(first + i - integer(data, LEFT), 0), W)
            high = max(min(first + i + integer(data, RIGHT) + 1, seen(data, job, b, W)), low)
        elif integer(job, HIDDEN):
            at = i * integer(job, ASKED)
            for s in range(0, integer(job, ASKED), LANES):
                store(row, s, _shown(integer(job, HIDDEN), at + s, load(row, s)))
        put_number(missed, i, _softmax(row, low, high, W, sink))


@part()
def seen(data: Address, job: Address, b: int, W: int) -> int:
    """How many of a job's keys, in a band, the batch row has."""
    keys = integer(integer(data, LENGTHS), b) if integer(data, LENGTHS) else integer(data, KEYS)
    return max(min(keys - integer(integer(job, STARTS), 0), W), 0)


@part()
def _softmax(e: Address, low: int, high: int, W: int, sink: float) -> Any:
    """Of the numbers from low to high, all others are hidden; returns the sink's share."""
    begin, end = low // LANES * LANES, (high + (LANES - 1)) // LANES * LANES
    for s in range(0, begin, LANES):
        store(e, s, same(_ZERO))
    for s in range(end, W, LANES):
        store(e, s, same(_ZERO))
    for s in range(begin, low):
        put_number(e, s, -_INFINITE)
    for s in range(high, end):
        put_number(e, s, -_INFINITE)
    highest = same(sink)  # a number: where all is hidden, -inf less this stays -inf
    for s in range(begin, end, LANES):
        highest = at_least(highest, load(e, s))
    most, mass = same(largest(highest)), same(_ZERO)
    for s in range(begin, end, LANES):
        x = _power(load(e, s) - most)
        mass = mass + x
        store(e, s, x)
    of_sink = largest(_power(same(sink) - most)) if sink > _LEAST else _ZERO
    sum_of = total(mass) + of_sink
    share = _ZERO if sum_of == 0 else _ONE / sum_of
    for s in range(begin, end, LANES):
        store(e, s, load(e, s) * same(share))
    return of_sink * share


@part()
def _power(x: Lanes) -> Lanes:
    """e^x, for x up to 0."""
    return where_above(x, same(_VANISHED), exponential(at_least(x, same(_VANISHED))))


@part()
def through(p: Address, d: Address, height: int, W: int, missed: Address) -> Any:
    """d = p (d − Σ p d): from the gradient of the weights p to that of the scores; returns Σ missed Σ p d."""
    of_sink = _ZERO
    for i in range(height):
        at = i * W
        mean = same(_ZERO)
        for s in range(at, at + W, LANES):
            mean = mean + load(p, s) * load(d, s)
        mean_of = total(mean)
        of_sink += number(missed, i) * mean_of
        for s in range(at, at + W, LANES):
            store(d, s, load(p, s) * (load(d, s) - same(mean_of)))
    return of_sink


@part()
def bend(data: Address, e: Address, tangents: Address, count: int) -> None:
    """e = cap · t with t = tanh e, which stays in `tangents`."""
    cap = same(number(integer(data, CAP), 0))
    for s in range(0, count, LANES):
        x = within(load(e, s), same(_SATURATED))
        x = exponential_minus_one(x + x)
        t = x * reciprocal(x + same(_TWO))
        store(tangents, s, t)
        store(e, s, cap * t)


@part()
def unbend(data: Address, d: Address, tangents: Address, count: int) -> None:
    """d = cap · d (1 − t²): from the gradient of what was bent to that of what bent it."""
    cap = same(number(integer(data, CAP), 0))
    for s in range(0, count, LANES):
        t = load(tangents, s)
        store(d, s, cap * load(d, s) * (same(_ONE) - t * t))


@instruction
def _shown(hidden: Any, index: Any, x: Any) -> Any:
    """x where the byte of sixteen is 0, -inf where not."""

    def code(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        hidden, index, x = arguments
        kind = ir.VectorType(ir.IntType(8), LANES)
        place = builder.gep(builder.inttoptr(hidden, ir.IntType(8).as_pointer()), [index])
        found = builder.load(builder.bitcast(place, kind.as_pointer()), align=1)
        is_seen = builder.icmp_unsigned("==", found, ir.Constant(kind, [ir.Constant(ir.IntType(8), 0)] * LANES))
        nothing = ir.Constant(x.type, [ir.Constant(ir.FloatType(), float("-inf"))] * LANES)
        return builder.select(is_seen, x, nothing)

    return x(types.int64, types.int64, x), code
