"""PyTorch and the loops that numba compiles compute with one number of threads: PyTorch's. Loops import this first.

Both stand on OpenMP. When numba starts its threads, at the first loop, it tells OpenMP to take every core, and so
PyTorch too, whatever it was told before: two processes that were given a core each then wait for each other at every
product. Therefore they are started here, and PyTorch's number is put back.
"""

from typing import Any

import torch
from numba import config, set_num_threads

_settings: Any = config  # a module that makes its names when it runs
if _settings.THREADING_LAYER == "default":  # the one that PyTorch uses too, and that takes concurrent calls
    _settings.THREADING_LAYER = "omp"


def use_threads() -> int:
    """Let this thread's loops run in as many threads as PyTorch, or as there are for them; says how many."""
    number = min(torch.get_num_threads(), _settings.NUMBA_NUM_THREADS)
    set_num_threads(number)
    return number


def _start() -> None:
    """Start numba's threads as no loop would."""
    before = torch.get_num_threads()
    use_threads()
    torch.set_num_threads(before)


_start()
