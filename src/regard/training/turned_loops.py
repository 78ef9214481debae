"""A matrix turned on its way to bfloat16 and back, compiled by numba: read once and written once.

bfloat16 comes and goes as its bits, which numba knows as uint16; all matrices are flat. Columns are a multiple of 16.
"""

from typing import Any

import numpy as np
from numba import njit, prange

from regard.machine.lanes import LANES, load, same, store, turn, widened
from regard.machine.threads import use_threads as use_threads

Array = np.ndarray
STRIP = 32  # rows: a line of 64 bytes in the turned matrix

_loop: Any = njit(parallel=True, nogil=True, error_model="numpy", cache=True)


@_loop
def halve(matrix: Array, rows: int, halves: Array, turned: Array) -> None:
    """halves = matrix, turned = matrixᵀ."""
    columns = matrix.shape[0] // rows
    one = same(np.float32(1))
    for strip in prange((rows + STRIP - 1) // STRIP):
        first, last = strip * STRIP, min(strip * STRIP + STRIP, rows)
        whole = last - (last - first) % LANES
        for i in range(first * columns, last * columns, LANES):
            store(halves, i, load(matrix, i))
        for j in range(0, columns, LANES):
            for i in range(first, whole, LANES):
                turn(matrix, i * columns + j, columns, turned, j * rows + i, rows, one)
        for i in range(whole, last):
            for j in range(columns):
                turned[j * rows + i] = halves[i * columns + j]


@_loop
def widen(turned: Array, rows: int, scale: float, matrix: Array) -> None:
    """matrix = scale * turnedᵀ."""
    columns = matrix.shape[0] // rows
    factor = same(np.float32(scale))
    for strip in prange((rows + STRIP - 1) // STRIP):
        first, last = strip * STRIP, min(strip * STRIP + STRIP, rows)
        whole = last - (last - first) % LANES
        for j in range(0, columns, LANES):
            for i in range(first, whole, LANES):
                turn(turned, j * rows + i, rows, matrix, i * columns + j, columns, factor)
        for i in range(whole, last):
            for j in range(columns):
                matrix[i * columns + j] = widened(turned[j * rows + i]) * np.float32(scale)
