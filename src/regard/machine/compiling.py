"""How loops are compiled, by numba."""

from functools import cache, partial
from typing import Any

from numba import cfunc, njit

part: Any = partial(njit, error_model="numpy", no_cpython_wrapper=True, no_cfunc_wrapper=True)
"""`@part()`: a function that loops call and nobody else, which is half of the compiling."""


@cache
def compiled(task: Any) -> int:
    """The address of `void task(int64)`, for `team.run`: compiled when first asked for, and kept on disk."""
    made: Any = cfunc("void(int64)", cache=True, error_model="numpy")(task)
    return int(made.address)
