"""The statistics' loops, compiled by numba: scores, weights and what is taken of them, while they lie in the cache.

A strip of queries meets the keys tile by tile (`sweep.py`): a tile's scores are made (`scores.py`), and what is known
of each row grows (`rows.py`). What needs the row's final sum, mass and map, waits until the strip is through: then its
unnormalised weights are read once more, each tile's with one factor a row (`sums.py`). Exponentials and tanh are made
in `powers.py`; what `sweep` reads and fills, and what a thread keeps meanwhile, is told in `fields.py`.
"""

from regard.machine.threads import use_threads as use_threads
from regard.observe.fused_loops.fields import PANEL as PANEL
from regard.observe.fused_loops.fields import Equation as Equation
from regard.observe.fused_loops.fields import OfKeys as OfKeys
from regard.observe.fused_loops.fields import OfQueries as OfQueries
from regard.observe.fused_loops.fields import Shown as Shown
from regard.observe.fused_loops.fields import Span as Span
from regard.observe.fused_loops.sweep import sweep as sweep
