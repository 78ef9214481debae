"""Runs a compiled function in PyTorch's threads.

A function is an address and takes one, `void f(int64)`; every thread calls it with the same, and they share the work
out among themselves. PyTorch's own OpenMP starts them: its threads are there already, and wait for work, so this costs
a few microseconds. Where it is not found, threads of Python do it: a call through ctypes lets the others run.
"""

import ctypes
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from typing import Any

_TASK = ctypes.CFUNCTYPE(None, ctypes.c_int64)


def run(task: int, data: int, threads: int) -> None:
    """Call the function at `task` with `data` in so many threads, this one among them, and wait for all."""
    if threads == 1:
        _callable(task)(data)
    elif (parallel := _openmp()) is not None:
        parallel(task, data, threads, 0)
    else:
        others = [_pool().submit(_callable(task), data) for _ in range(threads - 1)]
        _callable(task)(data)
        for other in others:
            other.result()


@cache
def _callable(task: int) -> Callable[[int], None]:
    return _TASK(task)


@cache
def _openmp() -> Any:
    """`GOMP_parallel` of the OpenMP that is loaded, or None."""
    for library in (None, "libgomp.so.1"):
        try:
            parallel = ctypes.CDLL(library).GOMP_parallel
        except (AttributeError, OSError, TypeError):  # TypeError: Windows knows no library without a name
            continue
        parallel.argtypes = (ctypes.c_void_p, ctypes.c_void_p, ctypes.c_uint, ctypes.c_uint)
        parallel.restype = None
        return parallel
    return None


@cache
def _pool() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(thread_name_prefix="regard")
