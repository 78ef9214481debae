"""Checks the annotated shapes of a function at each call, and only them.

beartype is strict about everything else too (protocols, `Self`); here it is asked about arrays alone.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, get_args

from beartype import beartype
from jaxtyping import AbstractArray


def check(function: Callable[..., Any]) -> Callable[..., Any]:
    """The type checker for jaxtyping's import hook: beartype on the annotations that name an array's axes."""
    hints = getattr(function, "__annotations__", None)
    if hints is None or isinstance(function, type):
        return function
    kept = {name: hint for name, hint in hints.items() if names_axes(hint)}
    if not kept:
        return function
    function.__annotations__ = kept
    return beartype(function)


def names_axes(hint: object) -> bool:
    """Whether an annotation is, or has among its parts, an array with named axes."""
    if isinstance(hint, type) and issubclass(hint, AbstractArray):
        return True
    return any(names_axes(part) for part in get_args(hint))
