"""The loss of a large vocabulary and its gradient, row by row, compiled by numba: a row of scores stays in the cache.

Scores are bfloat16, which numba does not know: they come as the upper halves of float32's bits. e^x = 2^n 2^d with n
whole and |d| ≤ ½, 2^d by its series.
"""

from typing import Any

import numpy as np
from llvmlite import ir
from numba import njit, prange, types
from numba.extending import intrinsic

from regard.machine.lanes import widened
from regard.machine.threads import use_threads as use_threads

Array = np.ndarray
Number = Any  # a float32, in numba's hands
_LOG2E = np.float32(1 / np.log(2))
_LEAST = np.float32(-126)  # of n: 2^n stays a number that is not tiny
_ROUND = np.float32(3 * 2**22)  # added to a number, its whole part stands in the lowest bits
_ONE = np.float32(1)
_C1, _C2, _C3, _C4, _C5, _C6 = (np.float32(np.log(2) ** i / f) for i, f in enumerate((1, 2, 6, 24, 120, 720), 1))
_SUMS = {"contract", "reassoc"}  # sums in any order, as vectors want it; NaN and infinity keep their meaning


@intrinsic
def _bits(context, x):  # type: ignore[no-untyped-def]
    """The bits of a float32."""

    def code(context, builder, signature, arguments):  # type: ignore[no-untyped-def]
        return builder.bitcast(arguments[0], ir.IntType(32))

    return types.uint32(types.float32), code


@intrinsic
def _number(context, bits):  # type: ignore[no-untyped-def]
    """The float32 of these bits."""

    def code(context, builder, signature, arguments):  # type: ignore[no-untyped-def]
        return builder.bitcast(arguments[0], ir.FloatType())

    return types.float32(types.uint32), code


@njit(fastmath={"contract"}, error_model="numpy", cache=True)  # reassociated, adding and taking away _ROUND is nothing
def _exp(x: Number) -> Number:
    """e^x for x ≤ 0, at least 2^−126; NaN stays NaN."""
    y = x * _LOG2E
    y = _LEAST if y < _LEAST else y
    z = y + _ROUND
    d = y - (z - _ROUND)
    p = _ONE + d * (_C1 + d * (_C2 + d * (_C3 + d * (_C4 + d * (_C5 + d * _C6)))))
    return p * _number(np.uint32((_bits(z) + np.uint32(127)) << np.uint32(23)))  # type: ignore[call-arg]


@njit(error_model="numpy", cache=True)
def _most(row: Array) -> Number:
    """The largest, as integers of the same order, whose maximum compiles to vectors; of NaN, any number will do."""
    most = np.int32(-(2**31))
    for j in range(row.shape[0]):
        bits = np.int32(_bits(row[j]))  # type: ignore[call-arg]
        most = max(most, np.int32(bits ^ ((bits >> np.int32(31)) & np.int32(0x7FFFFFFF))))
    return _number(np.uint32(most ^ ((most >> np.int32(31)) & np.int32(0x7FFFFFFF))))  # type: ignore[call-arg]


@njit(fastmath=_SUMS, error_model="numpy", cache=True)
def _row(halves: Array, bias: Array, target: int, smoothing: Number, row: Array, d_bias: Array) -> Number:
    """One row's loss; its gradient takes the place of its scores, and is added to the bias'."""
    words = bias.shape[0]
    total, added = np.float32(0), np.float32(0)
    for j in range(words):
        row[j] = widened(halves[j]) + bias[j]
    most = _most(row)
    for j in range(words):
        added += row[j]
    at_target = row[target]
    for j in range(words):
        row[j] = _exp(row[j] - most)
        total += row[j]
    share, of_all = _ONE / total, smoothing / np.float32(words)
    for j in range(words):
        row[j] = row[j] * share - of_all
    row[target] -= _ONE - smoothing
    for j in range(words):
        d_bias[j] += row[j]
        bits: Any = _bits(row[j])  # type: ignore[call-arg]
        halves[j] = (bits + np.uint32(0x7FFF) + ((bits >> np.uint32(16)) & np.uint32(1))) >> np.uint32(16)
    mean = added / np.float32(words)
    return np.log(total) + most - (_ONE - smoothing) * at_target - smoothing * mean


@njit(parallel=True, nogil=True, error_model="numpy", cache=True)
def losses(halves: Array, bias: Array, targets: Array, padding: int, smoothing: float, d_bias: Array) -> Array:
    """Each row's loss, 0 where its target is padding; `halves` become gradients, d_bias one row a block of rows."""
    found = np.zeros(halves.shape[0], np.float32)
    part = np.float32(smoothing)
    blocks = d_bias.shape[0]
    size = (halves.shape[0] + blocks - 1) // blocks
    for block in prange(blocks):
        row = np.empty(bias.shape[0], np.float32)
        for i in range(block * size, min((block + 1) * size, halves.shape[0])):
            if targets[i] == padding:
                halves[i] = 0
            else:
                found[i] = _row(halves[i], bias, targets[i], part, row, d_bias[block])
    return found
