"""A tile's way forward, from scores to context, and back, from the context's gradient to those of q, k and v.

S = scale Q Kᵀ;  P = softmax(S);  O = P V;   dV = Pᵀ g;  dP = g Vᵀ;  dS = P ∘ (dP − Σ P ∘ dP)
dQ = scale dS K;  dK = scale dSᵀ Q
"""

from typing import Any

import numpy as np

from regard.kernels.strips_loops.fields import (
    BANDED,
    BATCH,
    BATCH_ROWS,
    BLOCKS,
    CAP,
    CHUNK,
    COUNT,
    D_K,
    D_Q,
    D_V,
    GRADIENT,
    GROUP,
    HEAD,
    HEADS,
    HEIGHT,
    JOB,
    JOBS,
    K_BATCH,
    K_HEAD,
    K_PANELS,
    K_ROW,
    KEY_HEADS,
    KEYS,
    MEMBERS,
    MISSED,
    MOST_KEYS,
    MOST_QUERIES,
    OUT,
    PARTS,
    PLACES,
    Q_BATCH,
    Q_HEAD,
    Q_ROW,
    QUERIES,
    ROW,
    SCALE,
    SCRATCH,
    SIZE,
    SPAN,
    STARTS,
    TAKEN,
    TOGETHER,
    V_BATCH,
    V_HEAD,
    V_PANELS,
    V_ROW,
    VALUE_WIDTH,
    WIDTH,
    Address,
    K,
    Q,
    V,
    of_job,
)
from regard.kernels.strips_loops.panels import filled, pack_keys, pack_values, rows_of
from regard.kernels.strips_loops.softmax import bend, seen, through, unbend, weights
from regard.machine.addresses import integer, number, put_number, take
from regard.machine.compiling import part
from regard.machine.lanes import LANES, load, same, store
from regard.machine.products import product

_NUMBERS = len(JOB)
_of_job: Any = part()(of_job)
_ZERO = np.float32(0)


def forward(data: Address) -> None:
    """Place (b, a head of keys, part): the contexts of its jobs."""
    mine = integer(data, SCRATCH) + 4 * integer(data, SPAN) * take(data, MEMBERS)
    parts, group, heads = integer(data, PARTS), integer(data, GROUP), integer(data, KEY_HEADS)
    place = take(data, TAKEN)
    while place < integer(data, PLACES):
        n, its = place // parts, place % parts
        k_panels = _of_all(data, K_PANELS, n, integer(data, WIDTH))
        for number_of in range(_jobs(data, its)):
            job = _job(data, its, number_of)
            if integer(data, BANDED) and number_of % TOGETHER == 0:
                begin, end = _keys_of(data, its, number_of)
                k_panels = _own(data, mine) - 4 * begin * integer(data, WIDTH)
                pack_keys(data, n, begin, end, _own(data, mine))
            for h in range(n % heads * group, (n % heads + 1) * group):
                if _is_for(job, n // heads, h):
                    _forward(data, mine, job, n, h, k_panels)
        place = take(data, TAKEN)


def backward(data: Address) -> None:
    """Place (b, a head of keys, part): the gradients of its jobs, those of keys and values added to the part's own."""
    mine = integer(data, SCRATCH) + 4 * integer(data, SPAN) * take(data, MEMBERS)
    parts, group, heads = integer(data, PARTS), integer(data, GROUP), integer(data, KEY_HEADS)
    place = take(data, TAKEN)
    while place < integer(data, PLACES):
        n, its = place // parts, place % parts
        k_panels = _of_all(data, K_PANELS, n, integer(data, WIDTH))
        v_panels = _of_all(data, V_PANELS, n, integer(data, VALUE_WIDTH))
        for number_of in range(_jobs(data, its)):
            job = _job(data, its, number_of)
            if integer(data, BANDED) and number_of % TOGETHER == 0:
                begin, end = _keys_of(data, its, number_of)
                of_values = _own(data, mine) + 4 * (end - begin) * integer(data, WIDTH)
                k_panels = _own(data, mine) - 4 * begin * integer(data, WIDTH)
                v_panels = of_values - 4 * begin * integer(data, VALUE_WIDTH)
                pack_keys(data, n, begin, end, _own(data, mine))
                pack_values(data, n, begin, end, of_values)
            for h in range(n % heads * group, (n % heads + 1) * group):
                if _is_for(job, n // heads, h):
                    _backward(data, mine, job, n, its, h, k_panels, v_panels)
        place = take(data, TAKEN)


@part()
def _jobs(data: Address, its: int) -> int:
    """How many a part has."""
    if integer(data, BANDED):
        return _first(data, its + 1) - _first(data, its)
    return (integer(data, COUNT) - its + (integer(data, PARTS) - 1)) // integer(data, PARTS)


@part()
def _job(data: Address, its: int, number_of: int) -> Address:
    """A part's job: neighbours in a band, and elsewhere every `parts`-th, as heads may follow each other there."""
    at = _first(data, its) + number_of if integer(data, BANDED) else its + number_of * integer(data, PARTS)
    return integer(data, JOBS) + 8 * _NUMBERS * at


@part()
def _first(data: Address, its: int) -> int:
    return integer(data, COUNT) * its // integer(data, PARTS)


@part()
def _keys_of(data: Address, its: int, number_of: int) -> tuple[int, int]:
    """The first key of some neighbouring jobs in a band, and behind the last."""
    first = _job(data, its, number_of)
    last = _job(data, its, min(number_of + TOGETHER, _jobs(data, its)) - 1)
    begin = integer(integer(first, STARTS), 0)
    return begin, max(begin, integer(integer(last, STARTS), 0) + integer(last, SIZE))


@part()
def _of_all(data: Address, panels: int, n: int, D: int) -> Address:
    """A head's panels among all heads'."""
    return integer(data, panels) + 4 * n * filled(integer(data, KEYS)) * D


@part()
def _own(data: Address, mine: Address) -> Address:
    """Where a thread has panels of its own: behind what a job wants."""
    return mine + 4 * _of_job(integer(data, MOST_QUERIES), integer(data, MOST_KEYS), integer(data, WIDTH))


@part()
def _is_for(job: Address, b: int, h: int) -> bool:
    batch, head = integer(job, BATCH), integer(job, HEAD)
    return (batch < 0 or batch == b) and (head < 0 or head == h)


@part()
def _forward(data: Address, mine: Address, job: Address, n: int, h: int, k_panels: Address) -> None:
    """O of one tile and head."""
    b, Dv = n // integer(data, KEY_HEADS), integer(data, VALUE_WIDTH)
    W, height = _width(data, job, b), integer(job, HEIGHT)
    out = integer(data, OUT) + 4 * _row_of(data, job, b, h) * Dv
    if W == 0:
        _clear(out, height * Dv)
        return
    e = mine + 4 * integer(data, MOST_QUERIES) * integer(data, WIDTH)
    missed = e + 4 * integer(data, MOST_QUERIES) * integer(data, MOST_KEYS)
    _weights(data, mine, job, n, h, e, W, e, missed, k_panels)
    _add_up(data, job, e, W, rows_of(data, n, V, V_BATCH, V_HEAD), integer(data, V_ROW), out, Dv)


@part()
def _backward(
    data: Address, mine: Address, job: Address, n: int, its: int, h: int, k_panels: Address, v_panels: Address
) -> None:
    """dQ of one tile and head, and what it adds to dK and dV."""
    b, D, Dv = n // integer(data, KEY_HEADS), integer(data, WIDTH), integer(data, VALUE_WIDTH)
    W, height, keys = _width(data, job, b), integer(job, HEIGHT), integer(data, KEYS)
    row = _row_of(data, job, b, h)
    dq, g = integer(data, D_Q) + 4 * row * D, integer(data, GRADIENT) + 4 * row * Dv
    if W == 0:
        _clear(dq, height * D)
        return
    e, room = mine + 4 * integer(data, MOST_QUERIES) * D, 4 * integer(data, MOST_QUERIES) * integer(data, MOST_KEYS)
    d, tangents, missed = e + room, e + 2 * room, e + 3 * room
    at = (its * (integer(data, PLACES) // integer(data, PARTS)) + n) * keys
    _weights(data, mine, job, n, h, e, W, tangents, missed, k_panels)
    _spread(data, job, e, W, g, integer(data, D_V) + 4 * at * Dv, Dv)
    _compare(job, g, Dv, v_panels, d, W)
    of_sink = through(e, d, height, W, missed)
    if integer(data, MISSED):
        at_sink = (job - integer(data, JOBS)) // (8 * _NUMBERS) * integer(data, BATCH_ROWS) + b
        put_number(integer(data, MISSED), at_sink * integer(data, HEADS) + h, of_sink)
    if integer(data, CAP):
        unbend(data, d, tangents, height * W)
    _spread(data, job, d, W, mine, integer(data, D_K) + 4 * at * D, D)
    _add_up(data, job, d, W, rows_of(data, n, K, K_BATCH, K_HEAD), integer(data, K_ROW), dq, D)
    scale = same(number(integer(data, SCALE), 0))
    for j in range(0, height * D, LANES):
        store(dq, j, load(dq, j) * scale)


@part()
def _weights(
    data: Address,
    mine: Address,
    job: Address,
    n: int,
    h: int,
    e: Address,
    W: int,
    tangents: Address,
    missed: Address,
    k_panels: Address,
) -> None:
    """P of one tile and head, with its queries times the scale in `mine`."""
    D, b, scale = integer(data, WIDTH), n // integer(data, KEY_HEADS), same(number(integer(data, SCALE), 0))
    q = integer(data, Q) + 4 * (b * integer(data, Q_BATCH) + h * integer(data, Q_HEAD))
    for i in range(integer(job, HEIGHT)):
        row = (integer(job, ROW) + i) * integer(data, Q_ROW)
        for j in range(0, D, LANES):
            store(mine, i * D + j, load(q, row + j) * scale)
    _compare(job, mine, D, k_panels, e, W)
    if integer(data, CAP):
        bend(data, e, tangents, integer(job, HEIGHT) * W)
    weights(data, job, b, h, e, W, missed)


@part()
def _compare(job: Address, x: Address, D: int, panels: Address, into: Address, W: int) -> None:
    """x (height, D) by each key of the job."""
    starts, size, height, at = integer(job, STARTS), integer(job, SIZE), integer(job, HEIGHT), 0
    while at < W:
        key, some = integer(starts, at // size) + at % size, min(CHUNK, size - at % size, W - at)
        product(x, D, 1, panels + 4 * key * D, LANES, D * LANES, D, into + 4 * at, W, height, some // LANES, 0)
        at += some


@part()
def _add_up(data: Address, job: Address, x: Address, W: int, y: Address, y_row: int, into: Address, D: int) -> None:
    """into (height, D) = x (height, W) by the rows y of the job's keys."""
    starts, size, height = integer(job, STARTS), integer(job, SIZE), integer(job, HEIGHT)
    at, adds = 0, 0
    while at < W:
        key, some = integer(starts, at // size) + at % size, min(CHUNK, size - at % size, W - at)
        there = min(some, integer(data, KEYS) - key)
        if there > 0:
            product(x + 4 * at, W, 1, y + 4 * key * y_row, y_row, LANES, there, into, D, height, D // LANES, adds)
            adds = 1
        at += some


@part()
def _spread(data: Address, job: Address, x: Address, W: int, y: Address, into: Address, D: int) -> None:
    """The rows `into` of the job's keys grow by xᵀ y, x (height, W) and y (height, D)."""
    starts, size, height, at = integer(job, STARTS), integer(job, SIZE), integer(job, HEIGHT), 0
    while at < W:
        key, some = integer(starts, at // size) + at % size, min(CHUNK, size - at % size, W - at)
        there = min(some, integer(data, KEYS) - key)
        product(x + 4 * at, 1, W, y, D, LANES, height, into + 4 * key * D, D, there, D // LANES, 1)
        at += some


@part()
def _width(data: Address, job: Address, b: int) -> int:
    """The keys that a job asks in a batch row, a multiple of 16."""
    W = integer(job, BLOCKS) * integer(job, SIZE)
    return filled(seen(data, job, b, W)) if integer(data, BANDED) else W


@part()
def _row_of(data: Address, job: Address, b: int, h: int) -> int:
    """Where a job's first query stands among all."""
    return (b * integer(data, HEADS) + h) * integer(data, QUERIES) + integer(job, ROW)


@part()
def _clear(x: Address, count: int) -> None:
    for j in range(0, count, LANES):
        store(x, j, same(_ZERO))
