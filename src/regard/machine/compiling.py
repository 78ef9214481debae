"""How loops are compiled, by numba."""

from functools import cache, partial
from typing import Any

from numba import cfunc, njit, types
from numba.core.typing.templates import AbstractTemplate, infer_global
from numba.extending import lower_builtin

part: Any = partial(njit, error_model="numpy", no_cpython_wrapper=True, no_cfunc_wrapper=True, no_rewrites=True)
"""`@part()`: a function that loops call and nobody else, which is half of the compiling."""


@cache
def compiled(task: Any) -> int:
    """The address of `void task(int64)`, for `team.run`: compiled when first asked for, and kept on disk."""
    made: Any = cfunc("void(int64)", cache=True, error_model="numpy")(task)
    return int(made.address)


def instruction(typed: Any) -> Any:
    """numba's `intrinsic`, without `typed`'s first argument, but that one reads all of numba anew at every call."""
    known: dict[Any, Any] = {}

    class Typing(AbstractTemplate):
        key = typed

        def generic(self, args: Any, kws: Any) -> Any:
            if args not in known:
                known[args], code = typed(*args)
                lower_builtin(typed, *known[args].args)(code)
            return known[args]

    infer_global(typed, types.Function(Typing))
    return typed
