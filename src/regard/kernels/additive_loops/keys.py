"""What is made of the keys, once: the factors e^{2(k − m)} and tanh (k − m), and what tells the form of a block."""

import numpy as np

from regard.kernels.additive_loops.fields import (
    BLOCK,
    FACTORS,
    KEYS,
    MIDDLES,
    PLACES,
    SEEN,
    SPREADS,
    TAKEN,
    TANHS,
    UNTIL,
    WIDTH,
    Address,
    K,
)
from regard.kernels.additive_loops.forms import INFINITE, LIMIT, NEAR, WIDEST, ZERO, tanh
from regard.machine.addresses import byte, integer, put_integer, put_number, take
from regard.machine.compiling import part
from regard.machine.lanes import LANES, at_least, at_most, exponential, largest, load, same, store, where_above

_HALF = np.float32(0.5)


def prepare(data: Address) -> None:
    """Place (n, block): of the keys `factors`, `tanhs`, `middles`, `spreads`, and where they end, `until`."""
    blocks = integer(data, WIDTH) // BLOCK
    place = take(data, TAKEN)
    while place < integer(data, PLACES):
        _prepare(data, place // blocks, place % blocks)
        place = take(data, TAKEN)


@part()
def _prepare(data: Address, n: int, block: int) -> None:
    """Keys that are not seen count as 0; from until[n] on there are only such."""
    keys, W, k, seen = integer(data, KEYS), integer(data, WIDTH), integer(data, K), integer(data, SEEN)
    end = keys
    if seen:
        while end and not byte(seen, n * keys + end - 1):
            end -= 1
    if block == 0:
        put_integer(integer(data, UNTIL), n, end)
    spread = ZERO
    for j in range(block * BLOCK, block * BLOCK + BLOCK, LANES):
        low, high = same(INFINITE), same(-INFINITE)
        for s in range(end):
            if not seen or byte(seen, n * keys + s):
                x = load(k, (n * keys + s) * W + j)
                low, high = at_most(low, x), at_least(high, x)
        far = at_least(high, same(ZERO) - low)
        middle = where_above(far, same(LIMIT), (high + low) * same(_HALF))
        store(integer(data, MIDDLES), n * W + j, middle)
        spread = max(spread, largest(at_least(high - middle, middle - low)))
        if largest(far) == INFINITE:
            spread = INFINITE
    put_number(integer(data, SPREADS), n * (W // BLOCK) + block, spread)
    if spread > WIDEST:
        return
    for j in range(block * BLOCK, block * BLOCK + BLOCK, LANES):
        middle, at = load(integer(data, MIDDLES), n * W + j), (n * W + j) * keys
        for s in range(keys):
            x = same(ZERO)
            if not seen or byte(seen, n * keys + s):
                x = load(k, (n * keys + s) * W + j) - middle
            store(integer(data, FACTORS), at + s * LANES, exponential(x + x))
            if spread <= NEAR:
                store(integer(data, TANHS), at + s * LANES, tanh(x))
