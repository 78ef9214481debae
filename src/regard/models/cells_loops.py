"""A GRU's step without gradient in one loop, compiled by numba: each number is read once and written once.

Arrays are flat and C order, float32, or bfloat16's bits in uint16; H is a multiple of 16. The equations are those of
`GRUCell`.
"""

from functools import partial
from typing import Any

import numpy as np
from numba import njit, prange

from regard.kernels.lanes import LANES, exponential, exponential_minus_one, load, reciprocal, same, store, within
from regard.machine.threads import use_threads as use_threads

Array = np.ndarray
Lanes = Any  # sixteen numbers, in numba's hands
_FAR, _SATURATED = np.float32(80), np.float32(20)  # where σ is 0 or 1, and tanh ±1
_ZERO, _ONE, _TWO = np.float32(0), np.float32(1), np.float32(2)
_part: Any = partial(njit, error_model="numpy", no_cpython_wrapper=True, no_cfunc_wrapper=True)


@_part()
def _sigmoid(x: Lanes) -> Lanes:
    return reciprocal(exponential(same(_ZERO) - within(x, same(_FAR))) + same(_ONE))


@_part()
def _tanh(x: Lanes) -> Lanes:
    x = within(x, same(_SATURATED))
    y = exponential_minus_one(x + x)
    return y * reciprocal(y + same(_TWO))


@njit(parallel=True, error_model="numpy", cache=True)
def gru(known: Array, fed: Array, recurrent: Array, h: Array, new: Array, feeds: bool) -> None:
    """new (rows, H) from W x + b, in two parts where it `feeds`, W_h h + b_h (rows, 3 H each) and h (rows, H)."""
    rows = new.shape[0]
    H = new.shape[1]
    flat = new.reshape(-1)
    for row in prange(rows):
        at, of_h = row * 3 * H, row * H
        for j in range(0, H, LANES):
            x_r, x_z, x_n = load(known, at + j), load(known, at + H + j), load(known, at + 2 * H + j)
            if feeds:
                x_r, x_z = x_r + load(fed, at + j), x_z + load(fed, at + H + j)
                x_n = x_n + load(fed, at + 2 * H + j)
            r, z = _sigmoid(x_r + load(recurrent, at + j)), _sigmoid(x_z + load(recurrent, at + H + j))
            n = _tanh(x_n + r * load(recurrent, at + 2 * H + j))
            store(flat, of_h + j, n + z * (load(h, of_h + j) - n))
