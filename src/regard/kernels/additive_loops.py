"""The additive score's two loops, compiled by numba: no (queries, keys, hidden) tensor is ever built.

For each pair x = q + k, tanh |x| = 1 − 2r and tanh' x = 4r(1 − r), r = 1/(1 + e^{2|x|}); e^y = 2^n 2^d with n whole and
|d| ≤ ½, 2^d by its series. A pair and feature costs a dozen multiply-adds and a division, in registers; the backward
pass computes it again.
"""

from typing import Any

import numpy as np
from llvmlite import ir
from numba import config, njit, prange, set_num_threads, types
from numba.extending import intrinsic

settings: Any = config  # a module that makes its names when it runs
if settings.THREADING_LAYER == "default":  # the one that PyTorch uses too, and that takes concurrent calls
    settings.THREADING_LAYER = "omp"

Array = np.ndarray
Number = Any  # a float32, in numba's hands
_TWO_LOG2E = np.float32(2 / np.log(2))
_MOST = np.float32(126)  # of n: 2^n stays a number
_ROUND = np.float32(3 * 2**22)  # added to a number, its whole part stands in the lowest bits
_ONE, _TWO, _FOUR = np.float32(1), np.float32(2), np.float32(4)
_C1, _C2, _C3, _C4, _C5, _C6 = (np.float32(np.log(2) ** i / f) for i, f in enumerate((1, 2, 6, 24, 120, 720), 1))
_SUMS = {"contract", "reassoc"}  # sums in any order, as vectors want it; NaN and infinity keep their meaning


@intrinsic
def _power_of_two(context, z):  # type: ignore[no-untyped-def]
    """2^n for z = _ROUND + n: its lowest bits, with the exponent's bias, moved to where the exponent stands."""

    def code(context, builder, signature, arguments):  # type: ignore[no-untyped-def]
        bits = builder.bitcast(arguments[0], ir.IntType(32))
        bits = builder.shl(builder.add(bits, ir.Constant(bits.type, 127)), ir.Constant(bits.type, 23))
        return builder.bitcast(bits, ir.FloatType())

    return types.float32(types.float32), code


@njit(fastmath={"contract"}, error_model="numpy", cache=True)  # reassociated, adding and taking away _ROUND is nothing
def _rest(x: Number) -> Number:
    """r = 1 / (1 + e^{2|x|}), at most ½; NaN stays NaN."""
    y = abs(x) * _TWO_LOG2E
    y = _MOST if y > _MOST else y
    z = y + _ROUND
    d = y - (z - _ROUND)
    p = _ONE + d * (_C1 + d * (_C2 + d * (_C3 + d * (_C4 + d * (_C5 + d * _C6)))))
    return _ONE / (_ONE + p * _power_of_two(z))  # type: ignore[call-arg]


@njit(error_model="numpy", cache=True)
def _tanh(x: Number, r: Number) -> Number:
    return _ONE - _TWO * r if x > 0 else _TWO * r - _ONE


@njit(fastmath=_SUMS, error_model="numpy", cache=True)
def _score(q: Array, k: Array, v: Array) -> Number:
    """v · tanh(q + k)."""
    e = np.float32(0)
    for j in range(v.shape[0]):
        e += v[j] * _tanh(q[j] + k[j], _rest(q[j] + k[j]))
    return e


@njit(fastmath=_SUMS, error_model="numpy", cache=True)
def _add_gradients(g: Number, q: Array, k: Array, v: Array, dq: Array, dk: Array, dv: Array) -> None:
    """Adds what the gradient g of one score gives to each."""
    for j in range(v.shape[0]):
        x = q[j] + k[j]
        r = _rest(x)
        d = g * v[j] * (_FOUR * r * (_ONE - r))
        dq[j] += d
        dk[j] += d
        dv[j] += g * _tanh(x, r)


def use_threads(number: int) -> None:
    """Compute with so many threads, or with as many as there are."""
    set_num_threads(min(number, settings.NUMBA_NUM_THREADS))


@njit(parallel=True, error_model="numpy", cache=True)
def scores(q: Array, k: Array, v: Array, e: Array) -> None:
    """e[n, t, s] = v · tanh(q[n, t] + k[n, s]); float32, C order."""
    queries, keys = q.shape[1], k.shape[1]
    for row in prange(q.shape[0] * queries):
        n, t = row // queries, row % queries
        for s in range(keys):
            e[n, t, s] = _score(q[n, t], k[n, s], v)


@njit(parallel=True, error_model="numpy", cache=True)
def add_gradients(de: Array, q: Array, k: Array, v: Array, dq: Array, dk: Array, dv: Array) -> None:
    """Adds to dq, dk and dv (n, hidden), given the scores' gradient; n by n, so that no two threads add to one."""
    queries, keys = q.shape[1], k.shape[1]
    for n in prange(q.shape[0]):
        for t in range(queries):
            for s in range(keys):
                if de[n, t, s] != 0:  # a hidden key's
                    _add_gradients(de[n, t, s], q[n, t], k[n, s], v, dq[n, t], dk[n, s], dv[n])
