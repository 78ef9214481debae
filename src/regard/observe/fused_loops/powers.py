"""e^x of weights, which are at most 1, and the tanh of a cap, a number at a time; the compiler makes vectors of it.

Both stand on 2^y = 2^n 2^d, with y = n + d, n whole and |d| <= 1/2. `machine.lanes` has an e^x too, of sixteen numbers
whatever their sign; this one's y is never above 0 and has a floor, so it is done in fewer steps.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from regard.machine.compiling import part
from regard.observe.fused_loops.fields import ONE, TWO, ZERO, Array, Number

_intrinsic: Any = intrinsic  # takes the function's first argument away
_LOG2E = np.float32(1 / np.log(2))
_LEAST = np.float32(-126)  # of n: below it 2^n is no normal number, and as a weight nothing
_ROUND = np.float32(3 * 2**22)  # added to a number, its whole part stands in the lowest bits
_NEAR = np.float32(0.55)  # of tanh: e^{-2x} is 1/3 there


def _fitted(function: Callable[[Array], Array], terms: int, low: float, high: float) -> Array:
    """The coefficients, from the first, of a polynomial that errs almost as little as any of so many terms."""
    points = np.polynomial.Chebyshev.interpolate(function, terms - 1, domain=[low, high])
    return points.convert(kind=np.polynomial.Polynomial).coef.astype(np.float32)


_C1, _C2, _C3, _C4, _C5, _C6 = _fitted(lambda d: np.expm1(d * np.log(2)) / d, 6, -0.5, 0.5)  # 2^d - 1 = d (C1 + ...)
_R0, _R1, _R2, _R3, _R4 = _fitted(lambda z: (np.tanh(np.sqrt(z)) / np.sqrt(z) - 1) / z, 5, 0, float(_NEAR) ** 2)


@_intrinsic
def _power_of_two(typing: Any, z: Any) -> Any:
    """2^n for z = _ROUND + n: its lowest bits, with the exponent's bias, moved to where the exponent stands."""

    def code(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        bits = builder.bitcast(arguments[0], ir.IntType(32))
        bits = builder.shl(builder.add(bits, ir.Constant(bits.type, 127)), ir.Constant(bits.type, 23))
        return builder.bitcast(bits, ir.FloatType())

    return types.float32(types.float32), code


@part(fastmath={"contract"})  # reassociated, adding and taking away _ROUND is nothing
def _powers(y: Number) -> tuple[Number, Number]:
    """2^n and 2^d - 1, for y from _LEAST to 0; NaN stays NaN."""
    z = y + _ROUND
    d = y - (z - _ROUND)
    return _power_of_two(z), d * (_C1 + d * (_C2 + d * (_C3 + d * (_C4 + d * (_C5 + d * _C6)))))


@part(fastmath={"contract"})
def exponential(x: Number) -> Number:
    """e^x for x <= 0; 0 below 2^-126; NaN stays NaN."""
    y = x * _LOG2E
    small = y < _LEAST
    whole, rest = _powers(_LEAST if small else y)
    return ZERO if small else whole * (ONE + rest)


@part(fastmath={"contract"})
def bend(x: Array, cap: Number) -> None:
    """Replaces x by cap · tanh(x): near 0 by a + a³ R(a²), a = |x|, and elsewhere by 1 - 2 p / (1 + p), p = e^{-2a}."""
    for j in range(x.shape[0]):
        a = abs(x[j])
        y = -TWO * _LOG2E * a
        whole, rest = _powers(_LEAST if y < _LEAST else y)
        p = whole + whole * rest
        far = ONE - TWO * p / (ONE + p)
        z = a * a
        near = a + a * z * (_R0 + z * (_R1 + z * (_R2 + z * (_R3 + z * _R4))))
        bent = cap * (near if a < _NEAR else far)
        x[j] = bent if x[j] > ZERO else -bent
