"""A GRU's step and its gradient, each in one loop compiled by numba: every number is read once and written once.

Arrays are flat and C order, float32, or bfloat16's bits in uint16; H is a multiple of 16. The equations are those of
`GRUCell`.
"""

from typing import Any

import numpy as np
from numba import njit, prange

from regard.machine.compiling import part
from regard.machine.lanes import LANES, exponential, exponential_minus_one, load, reciprocal, same, store, within
from regard.machine.threads import use_threads as use_threads

Array = np.ndarray
Lanes = Any  # sixteen numbers, in numba's hands
_FAR, _SATURATED = np.float32(80), np.float32(20)  # where σ is 0 or 1, and tanh ±1
_ZERO, _ONE, _TWO = np.float32(0), np.float32(1), np.float32(2)


@part()
def _sigmoid(x: Lanes) -> Lanes:
    return reciprocal(exponential(same(_ZERO) - within(x, same(_FAR))) + same(_ONE))


@part()
def _tanh(x: Lanes) -> Lanes:
    x = within(x, same(_SATURATED))
    y = exponential_minus_one(x + x)
    return y * reciprocal(y + same(_TWO))


@njit(parallel=True, nogil=True, error_model="numpy", cache=True)
def gru(
    known: Array, apart: int, fed: Array, recurrent: Array, h: Array, new: Array, kept: Array, sizes: tuple
) -> None:
    """new (rows, H) from W x + b, in two parts where `fed` is there, W_h h + b_h (rows, 3 H each) and h (rows, H).

    The rows of `known` are `apart`. sizes: rows, H. Where `kept` (rows, 4 H) is there, r, z, n and W_hn h + b_hn go
    into it.
    """
    rows, H = sizes
    feeds, keeps = fed.shape[0] > 0, kept.shape[0] > 0
    for row in prange(rows):
        here, at, of_h, to = row * apart, row * 3 * H, row * H, row * 4 * H
        for j in range(0, H, LANES):
            x_r, x_z, x_n = load(known, here + j), load(known, here + H + j), load(known, here + 2 * H + j)
            if feeds:
                x_r, x_z = x_r + load(fed, at + j), x_z + load(fed, at + H + j)
                x_n = x_n + load(fed, at + 2 * H + j)
            r, z = _sigmoid(x_r + load(recurrent, at + j)), _sigmoid(x_z + load(recurrent, at + H + j))
            h_n = load(recurrent, at + 2 * H + j)
            n = _tanh(x_n + r * h_n)
            store(new, of_h + j, n + z * (load(h, of_h + j) - n))
            if keeps:
                store(kept, to + j, r)
                store(kept, to + H + j, z)
                store(kept, to + 2 * H + j, n)
                store(kept, to + 3 * H + j, h_n)


@njit(parallel=True, nogil=True, error_model="numpy", cache=True)
def gru_back(d: Array, kept: Array, h: Array, of_input: Array, of_recurrent: Array, of_h: Array, sizes: tuple) -> None:
    """The gradients of W x + b, of W_h h + b_h (rows, 3 H each) and of h (rows, H) beside z, from that of new."""
    rows, H = sizes
    for row in prange(rows):
        at, of_row, to = row * 3 * H, row * H, row * 4 * H
        for j in range(0, H, LANES):
            r, z, n = load(kept, to + j), load(kept, to + H + j), load(kept, to + 2 * H + j)
            grad, one = load(d, of_row + j), same(_ONE)
            of_n = grad * (one - z) * (one - n * n)
            of_r = of_n * load(kept, to + 3 * H + j) * r * (one - r)
            of_z = grad * (load(h, of_row + j) - n) * z * (one - z)
            store(of_h, of_row + j, grad * z)
            store(of_input, at + j, of_r)
            store(of_recurrent, at + j, of_r)
            store(of_input, at + H + j, of_z)
            store(of_recurrent, at + H + j, of_z)
            store(of_input, at + 2 * H + j, of_n)
            store(of_recurrent, at + 2 * H + j, of_n * r)
