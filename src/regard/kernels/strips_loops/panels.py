"""Keys and values as small products want them where features are summed: sixteen side by side."""

import numpy as np

from regard.kernels.strips_loops.fields import (
    K_BATCH,
    K_HEAD,
    K_PANELS,
    K_ROW,
    KEY_HEADS,
    KEYS,
    PLACES,
    TAKEN,
    V_BATCH,
    V_HEAD,
    V_PANELS,
    V_ROW,
    VALUE_WIDTH,
    WIDTH,
    Address,
    K,
    V,
)
from regard.machine.addresses import integer, number, put_number, take
from regard.machine.compiling import part
from regard.machine.lanes import LANES, same, turn

_ZERO, _ONE = np.float32(0), np.float32(1)


def pack(data: Address) -> None:
    """Place (b, a head of keys): `k_panels`, and `v_panels` where they are wanted."""
    place = take(data, TAKEN)
    while place < integer(data, PLACES):
        k, v = rows_of(data, place, K, K_BATCH, K_HEAD), rows_of(data, place, V, V_BATCH, V_HEAD)
        _pack(data, k, integer(data, K_ROW), integer(data, K_PANELS), place, integer(data, WIDTH))
        if integer(data, V_PANELS):
            _pack(data, v, integer(data, V_ROW), integer(data, V_PANELS), place, integer(data, VALUE_WIDTH))
        place = take(data, TAKEN)


@part()
def rows_of(data: Address, n: int, x: int, batch: int, head: int) -> Address:
    """Where the rows of a head of k or v begin."""
    b, h = n // integer(data, KEY_HEADS), n % integer(data, KEY_HEADS)
    return integer(data, x) + 4 * (b * integer(data, batch) + h * integer(data, head))


@part()
def _pack(data: Address, x: Address, row: int, panels: Address, n: int, D: int) -> None:
    keys = integer(data, KEYS)
    into = panels + 4 * n * ((keys + (LANES - 1)) // LANES) * LANES * D
    for key in range(0, keys, LANES):
        if key + LANES <= keys:
            for d in range(0, D, LANES):
                turn(x, key * row + d, row, into, key * D + d * LANES, LANES, same(_ONE))
        else:
            for d in range(D):
                for lane in range(LANES):
                    at = key * D + d * LANES + lane
                    put_number(into, at, number(x, (key + lane) * row + d) if key + lane < keys else _ZERO)
