"""Compiled loops from the side of who calls them: tried once before they are relied on, and given tensors as arrays.

Loops want numba, and numba a compiler that works; whoever has no such thing computes with PyTorch instead. The rule for
all: run the loops once, in the smallest case, and take whatever happens as the answer.
"""

from collections.abc import Callable
from functools import cache, wraps
from types import ModuleType
from typing import Any

import torch
from torch import Tensor


def tried(trial: Callable[[], ModuleType]) -> Callable[[], ModuleType | None]:
    """The loops that `trial` imports, runs once and returns, or None where they cannot run here; found out once."""

    @cache
    @wraps(trial)
    def loops() -> ModuleType | None:
        try:
            return trial()
        except Exception:  # whatever keeps a compiler from working must not keep a model from it
            return None

    return loops


def numbers(x: Tensor) -> Any:
    """All its numbers in a flat array, on the same memory where it is contiguous; bfloat16's as their bits."""
    x = x.detach().contiguous().view(-1)
    return (x.view(torch.uint16) if x.dtype == torch.bfloat16 else x).numpy()
