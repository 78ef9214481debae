"""What the pages' checks share: comparing two computations, and oracles that need not be installed."""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Callable, Iterable, Sequence
from importlib import import_module
from types import ModuleType
from typing import Any

import torch
from torch import Tensor

KERAS_BAR = 1e-5  # Keras on PyTorch multiplies float64 matrices in float32


def difference(
    ours: Callable[..., Any], theirs: Callable[..., Any], inputs: Sequence[Tensor], parameters: Iterable[Tensor] = ()
) -> float:
    """The largest absolute difference of two computations, in results and in gradients, in float64.

    Gradients are those of a random weighting of all results, by the inputs and the parameters (which both use).
    """
    parameters = list(parameters)
    mine, other = (_results(compute, inputs, parameters) for compute in (ours, theirs))
    return largest(mine, other)


def largest(mine: Iterable[Tensor], other: Iterable[Tensor]) -> float:
    """The largest absolute difference of tensors one by one; infinite where one is not a number or shapes differ."""
    worst = 0.0
    for a, b in zip(mine, other, strict=True):
        if a.shape != b.shape:
            return float("inf")
        apart = (a.detach().double() - b.detach().double()).abs()
        worst = max(worst, float(apart.max()) if apart.numel() and apart.isfinite().all() else 0.0)
        if not apart.isfinite().all():
            return float("inf")
    return worst


def _results(compute: Callable[..., Any], inputs: Sequence[Tensor], parameters: list[Tensor]) -> list[Tensor]:
    leaves = [x.detach().double().requires_grad_() if x.is_floating_point() else x for x in inputs]
    found = compute(*leaves)
    found = [found] if isinstance(found, Tensor) else list(found)
    draws = torch.Generator().manual_seed(1)
    total = sum((x * torch.randn(x.shape, generator=draws, dtype=torch.float64)).sum() for x in found)
    wanted = [x for x in [*leaves, *parameters] if x.requires_grad]
    gradients = torch.autograd.grad(total, wanted, allow_unused=True)
    return [*found, *(torch.zeros_like(x) if g is None else g for x, g in zip(wanted, gradients, strict=True))]


def keras() -> ModuleType | None:
    """Keras computing with PyTorch, or None where it is not to be had; its settings stay out of the user's home."""
    if "keras" not in sys.modules:
        os.environ.setdefault("KERAS_BACKEND", "torch")
        os.environ.setdefault("KERAS_HOME", tempfile.mkdtemp(prefix="regard-keras-"))
    found = installed("keras")
    return found if found is not None and found.backend.backend() == "torch" else None


def installed(name: str) -> ModuleType | None:
    """The module, or None where it or something that it needs is missing."""
    try:
        return import_module(name)
    except ImportError:
        return None
