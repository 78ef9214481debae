"""From a tile's scores to its weights, and from the weights' gradients to the scores'; row by row, in place."""

from typing import Any

import numpy as np
from llvmlite import ir
from numba import types

from regard.kernels.strips_loops.fields import (
    ASKED,
    BANDED,
    HEIGHT,
    HIDDEN,
    KEYS,
    LEFT,
    LENGTHS,
    RIGHT,
    ROW,
    SHIFT,
    STARTS,
    Address,
)
from regard.machine.addresses import integer, put_number
from regard.machine.compiling import instruction, part
from regard.machine.lanes import LANES, at_least, exponential, largest, load, same, store, total, where_above

_ZERO, _ONE, _INFINITE = (np.float32(x) for x in (0, 1, np.inf))
_VANISHED = np.float32(-87)  # e to this is 0 beside 1
_LEAST = -np.float32(3e38)


@part()
def weights(data: Address, job: Address, b: int, e: Address, W: int) -> None:
    """The softmax of each row of e over the keys that it may see; 0 for the others, and where there are none."""
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
        _softmax(row, low, high, W)


@part()
def seen(data: Address, job: Address, b: int, W: int) -> int:
    """How many of a job's keys, in a band, the batch row has."""
    keys = integer(integer(data, LENGTHS), b) if integer(data, LENGTHS) else integer(data, KEYS)
    return max(min(keys - integer(integer(job, STARTS), 0), W), 0)


@part()
def _softmax(e: Address, low: int, high: int, W: int) -> None:
    """Of the numbers from low to high, all others are hidden."""
    begin, end = low // LANES * LANES, (high + (LANES - 1)) // LANES * LANES
    for s in range(0, begin, LANES):
        store(e, s, same(_ZERO))
    for s in range(end, W, LANES):
        store(e, s, same(_ZERO))
    for s in range(begin, low):
        put_number(e, s, -_INFINITE)
    for s in range(high, end):
        put_number(e, s, -_INFINITE)
    highest = same(_LEAST)  # where all is hidden, -inf less this stays -inf
    for s in range(begin, end, LANES):
        highest = at_least(highest, load(e, s))
    most, mass = same(largest(highest)), same(_ZERO)
    for s in range(begin, end, LANES):
        x = load(e, s) - most
        x = where_above(x, same(_VANISHED), exponential(at_least(x, same(_VANISHED))))
        mass = mass + x
        store(e, s, x)
    sum_of = total(mass)
    share = same(_ZERO) if sum_of == 0 else same(_ONE / sum_of)
    for s in range(begin, end, LANES):
        store(e, s, load(e, s) * share)


@part()
def through(p: Address, d: Address, height: int, W: int) -> None:
    """d = p (d - Σ p d): from the gradient of the weights p to that of the scores."""
    for at in range(0, height * W, W):
        mean = same(_ZERO)
        for s in range(at, at + W, LANES):
            mean = mean + load(p, s) * load(d, s)
        mean = same(total(mean))
        for s in range(at, at + W, LANES):
            store(d, s, load(p, s) * (load(d, s) - mean))


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
