"""The additive score's loops, compiled by numba: no (queries, keys, hidden) tensor is ever built.

    tanh(q + k) = 1 − 2r,   r = 1 / (1 + e^{2q} e^{2k}),   tanh'(q + k) = 4r (1 − r)

The exponentials are made once per query and per key (`keys.py`), so a pair costs a product, a sum and a reciprocal
(`scores.py`), which the backward pass makes again (`gradients.py`); between the two passes stand the softmax and the
context (`softmax.py`). Which form a pair takes is told in `forms.py`, what the loops are told in `fields.py`.

Each task is what one thread does: it takes one place after the other until none is left, `place = take(data, TAKEN)`.
"""

from regard.kernels.additive_loops.fields import BLOCK as BLOCK
from regard.kernels.additive_loops.fields import NAMES as NAMES
from regard.kernels.additive_loops.fields import ROWS_AT_ONCE as ROWS_AT_ONCE
from regard.kernels.additive_loops.fields import STRIPS as STRIPS
from regard.kernels.additive_loops.fields import scratch as scratch
from regard.kernels.additive_loops.gradients import gradients as gradients
from regard.kernels.additive_loops.keys import prepare as prepare
from regard.kernels.additive_loops.scores import forward as forward
from regard.kernels.additive_loops.softmax import through_softmax as through_softmax
from regard.machine.compiling import compiled as compiled
