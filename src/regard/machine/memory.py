"""Keep freed memory: glibc gives large blocks back to the system, and the page faults cost a fifth of the time.

For processes that are ours: a training run, the command line's translating, its workers.
"""

import ctypes

TRIM_THRESHOLD, TOP_PAD, MMAP_MAX = -1, -2, -4  # mallopt's parameters, from malloc.h


def keep_freed_memory() -> bool:
    """Tell glibc's malloc to keep what it has; False where there is no glibc."""
    try:
        mallopt = ctypes.CDLL("libc.so.6").mallopt
    except (OSError, AttributeError):
        return False
    settings = {MMAP_MAX: 0, TRIM_THRESHOLD: 2**31 - 1, TOP_PAD: 2**28}
    return all([mallopt(name, value) == 1 for name, value in settings.items()])  # noqa: C419 (each must be called)
