"""Keys and values as small products want them where features are summed: sixteen side by side.

Blocks may want any key, so all are put so, once. In a band some neighbouring jobs want neighbouring keys: a thread puts
those in order in its own cache, and nothing as long as the keys is written.
"""

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
    keys = filled(integer(data, KEYS))
    place = take(data, TAKEN)
    while place < integer(data, PLACES):
        pack_keys(data, place, 0, keys, integer(data, K_PANELS) + 4 * place * keys * integer(data, WIDTH))
        if integer(data, V_PANELS):
            into = integer(data, V_PANELS) + 4 * place * keys * integer(data, VALUE_WIDTH)
            pack_values(data, place, 0, keys, into)
        place = take(data, TAKEN)


@part()
def pack_keys(data: Address, n: int, begin: int, end: int, into: Address) -> None:
    """A head's keys from begin to end, multiples of 16."""
    x, row = rows_of(data, n, K, K_BATCH, K_HEAD), integer(data, K_ROW)
    _pack(x, row, into, integer(data, WIDTH), begin, end, integer(data, KEYS))


@part()
def pack_values(data: Address, n: int, begin: int, end: int, into: Address) -> None:
    """A head's values likewise."""
    x, row = rows_of(data, n, V, V_BATCH, V_HEAD), integer(data, V_ROW)
    _pack(x, row, into, integer(data, VALUE_WIDTH), begin, end, integer(data, KEYS))


@part()
def rows_of(data: Address, n: int, x: int, batch: int, head: int) -> Address:
    """Where the rows of a head of k or v begin."""
    b, h = n // integer(data, KEY_HEADS), n % integer(data, KEY_HEADS)
    return integer(data, x) + 4 * (b * integer(data, batch) + h * integer(data, head))


@part()
def _pack(x: Address, row: int, into: Address, D: int, begin: int, end: int, keys: int) -> None:
    for key in range(begin, end, LANES):
        at = (key - begin) * D
        if key + LANES <= keys:
            for d in range(0, D, LANES):
                turn(x, key * row + d, row, into, at + d * LANES, LANES, same(_ONE))
        else:
            for d in range(D):
                for lane in range(LANES):
                    there = number(x, (key + lane) * row + d) if key + lane < keys else _ZERO
                    put_number(into, at + d * LANES + lane, there)


@part()
def filled(keys: int) -> int:
    """Up to a multiple of 16."""
    return (keys + (LANES - 1)) // LANES * LANES
