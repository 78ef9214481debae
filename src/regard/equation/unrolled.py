"""A loop over time that computes once, when the last step's gradient has arrived, what every step adds to.

In a loop autograd adds a full gradient of a weight or of a source at each step. Inside `unrolled()` whoever is asked at
every step may keep what the steps' gradients are made of, and make one gradient of it. Nothing else changes; a graph
built inside is differentiated once, not twice over (`create_graph`).
"""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from regard.machine import packed, rows

_local = threading.local()


@contextmanager
def unrolled() -> Iterator[None]:
    """Within it, in this thread, the steps of a loop are gathered."""
    outer = getattr(_local, "gathering", None)
    _local.gathering = {}
    try:
        yield
    finally:
        _local.gathering = outer


def gathering() -> dict[Any, Any] | None:
    """What this loop has gathered so far, by who gathers it; None outside of `unrolled()` or without gradient."""
    if torch.compiler.is_compiling() or not torch.is_grad_enabled():
        return None
    return getattr(_local, "gathering", None)


def linear(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """x Wᵀ + b; gathered, dW = Σ_t g_tᵀ x_t = [g_1; …; g_T]ᵀ [x_1; …; x_T], at a T-th of the memory traffic."""
    gathered = gathering()
    if gathered is None or not weight.requires_grad:
        return packed.linear(x, weight, bias)
    if id(weight) not in gathered:
        steps: list[tuple[Tensor, Tensor]] = []
        handed_out = _Gather.apply(weight, bias, steps, _compute_dtype(x))
        gathered[id(weight)] = (*handed_out, steps, weight)  # held, so that its id stays its own
    handed_weight, handed_bias, steps, _ = gathered[id(weight)]
    return _Step.apply(x.to(handed_weight.dtype), handed_weight, handed_bias, steps)


class _Gather(torch.autograd.Function):
    """Hands out the weights in the dtype of the computation; backward runs after all steps' and sums them at once."""

    @staticmethod
    def forward(ctx: Any, weight: Tensor, bias: Tensor | None, steps: list, dtype: torch.dtype) -> tuple:
        ctx.steps, ctx.dtypes = steps, (weight.dtype, None if bias is None else bias.dtype)
        ctx.set_materialize_grads(False)
        return weight.to(dtype, copy=True), None if bias is None else bias.to(dtype, copy=True)

    @staticmethod
    def backward(ctx: Any, *_: None) -> tuple:
        weight_dtype, bias_dtype = ctx.dtypes
        if not ctx.steps:
            return None, None, None, None
        inputs = torch.cat([x.flatten(0, -2) for x, _ in ctx.steps])
        grads = torch.cat([g.flatten(0, -2) for _, g in ctx.steps])
        ctx.steps.clear()
        d_bias = None if bias_dtype is None else grads.sum(0, dtype=torch.promote_types(bias_dtype, torch.float32))
        of_weight = rows.filled(grads).mT @ rows.filled(inputs)
        return of_weight.to(weight_dtype), None if d_bias is None else d_bias.to(bias_dtype), None, None


class _Step(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None, steps: list) -> Tensor:
        ctx.save_for_backward(x, weight)
        ctx.steps = steps
        return F.linear(x, weight, bias)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple:
        x, weight = ctx.saved_tensors
        ctx.steps.append((x, grad))
        return (grad @ weight if ctx.needs_input_grad[0] else None), None, None, None


def _compute_dtype(x: Tensor) -> torch.dtype:
    kind = x.device.type
    return torch.get_autocast_dtype(kind) if torch.is_autocast_enabled(kind) else x.dtype
