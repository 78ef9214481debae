"""In which form tanh(q + k) is computed: of each query, for each block of 64 features, by its range and the keys'.

    far    r = 1 / (1 + e^{2(q + m)} e^{2(k − m)}), with m the keys' middle if they do not lie within ±LIMIT anyway,
           else 0. Four factors 1 + e^{2(q + m)} e^{2(k − m)}, times 2^-31, have a normal product while |q + m| +
           |k − m| is at most REACH. If that is so, or if k − m lies within ±LIMIT and a query beyond is cut off: there
           tanh is 1 in float32.
    near   The keys lie within ±NEAR, and so does the query. Small sums would lose their digits to the 1 in 1 − 2r, so
           here tanh(q + k) = (tanh q + tanh k) / (1 + tanh q tanh k). Another query takes the far form.
    plain  The range is wider: an exponential for each pair.

The far form's derivative is 4r (1 − r), with r (1 − r) = r² e^{2(q + k)}.
"""

import numpy as np

from regard.kernels.additive_loops.fields import BLOCK, Address
from regard.machine.compiling import part
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
    within,
)

FAR, NEAR_BY, PLAIN = range(3)
NEAR, LIMIT, WIDEST, REACH = np.float32(2), np.float32(6), np.float32(15), np.float32(21.5)
ZERO, ONE, TWO, FOUR = (np.float32(x) for x in (0, 1, 2, 4))
INFINITE = np.float32(np.inf)
_SATURATED = np.float32(20)  # tanh is 1 from here


@part()
def form_of(q: Address, middles: Address, spread: float) -> int:
    """The form of a block of one query's."""
    if not spread <= WIDEST:
        return PLAIN
    most = same(ZERO)
    for j in range(0, BLOCK, LANES):
        x = load(q, j) + load(middles, j)
        most = at_least(most, at_least(x, same(ZERO) - x))
    farthest = largest(most)
    if spread <= NEAR and farthest <= NEAR:
        return NEAR_BY
    return FAR if spread <= LIMIT or farthest + spread <= REACH else PLAIN


@part()
def tanh(x: Lanes) -> Lanes:
    """tanh x, with all its digits where x is small."""
    y = exponential_minus_one(x + x)
    return y * reciprocal(y + same(TWO))


@part()
def factor(x: Lanes, spread: float) -> Lanes:
    """e^{2x} of a query, in the far form."""
    x = within(x, same(REACH - spread))
    return exponential(x + x)


@part()
def rise(q: Lanes, k: Lanes) -> Lanes:
    """e^{2(q + k)}, in the plain form."""
    x = within(q + k, same(_SATURATED))
    return exponential(x + x)
