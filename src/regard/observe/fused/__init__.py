"""Statistics of the softmax of dot products on a CPU, fused: scores meet what is taken of them in the cache.

The loops stand in `fused_loops/` and want numba (`pip install 'regard[fast]'`); without it `plain.py` computes the
same. Here a call is made ready for them and what they found is taken up (`sweep.py`), the keys that a query may see are
told by bounds as far as bounds go (`visible.py`), and mass and map are added up over threads (`sums.py`). What is left
to `plain.py`, at its pace, `limits.py` tells.
"""

from regard.observe.fused.limits import refusals as refusals
from regard.observe.fused.sweep import statistics as statistics
