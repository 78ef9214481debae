"""A linear map asked once per time step, whose weight gradient is computed once for all steps.

In a loop over time, autograd adds a full weight-sized gradient at every step. Inside `unrolled()` a `StepLinear` keeps
each step's (input, output gradient) instead, and multiplies them in one product when the last one has arrived:
dW = Σ_t g_tᵀ x_t = [g_1; …; g_T]ᵀ [x_1; …; x_T]. The result is the same sum; its memory traffic is T times smaller.
"""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

_local = threading.local()


@contextmanager
def unrolled() -> Iterator[None]:
    """Within it, in this thread, every `StepLinear` gathers its steps for one weight gradient."""
    outer = getattr(_local, "gathering", None)
    _local.gathering = {}
    try:
        yield
    finally:
        _local.gathering = outer


class StepLinear(nn.Linear):
    """`torch.nn.Linear` that takes part in `unrolled()`; outside of it, exactly `torch.nn.Linear`."""

    def forward(self, input: Tensor) -> Tensor:
        """`input · Wᵀ + b`."""
        if torch.compiler.is_compiling() or not torch.is_grad_enabled() or not self.weight.requires_grad:
            return super().forward(input)
        gathering: dict[StepLinear, Any] | None = getattr(_local, "gathering", None)
        if gathering is None:
            return super().forward(input)
        if self not in gathering:
            steps: list[tuple[Tensor, Tensor]] = []
            gathering[self] = (*_Gather.apply(self.weight, self.bias, steps, _compute_dtype(input)), steps)
        weight, bias, steps = gathering[self]
        return _Step.apply(input.to(weight.dtype), weight, bias, steps)


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
        return (grads.mT @ inputs).to(weight_dtype), None if d_bias is None else d_bias.to(bias_dtype), None, None


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
