"""Scaled dot products over part of the keys, tile by tile, compiled by numba: scores never leave a core's own cache.

A job is a tile of neighbouring queries and the keys that it is given. One thread takes it from the scores to the
context, or to the gradients (`tiles.py`), by small matrix products (`machine.products`) with the softmax between them
(`softmax.py`). Keys and values are put in order for it beforehand (`panels.py`). What the loops are told stands in
`fields.py`.

Each task is what one thread does: it takes one place after the other until none is left, `place = take(data, TAKEN)`.
A place is a head of keys of a batch row, with every `parts`-th job: only its own thread adds to the gradients of its
keys, so that they come out the same each time.
"""

from regard.kernels.strips_loops.fields import JOB as JOB
from regard.kernels.strips_loops.fields import NAMES as NAMES
from regard.kernels.strips_loops.fields import scratch as scratch
from regard.kernels.strips_loops.panels import pack as pack
from regard.kernels.strips_loops.tiles import backward as backward
from regard.kernels.strips_loops.tiles import forward as forward
from regard.machine.compiling import compiled as compiled
from regard.machine.lanes import LANES as LANES
