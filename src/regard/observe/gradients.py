"""Gradient × attention of a call that was watched: it is known as soon as a loss has come back to the call's context.

A hook on the context waits for the gradient and changes nothing of it. What the loss owes to the weights in other ways
than through the context (a penalty on the weights themselves) is not in it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from regard.equation.normalisers import Gumbel, Sample
from regard.kernels.problem import Call
from regard.observe.choosing import of_heads, picked
from regard.observe.record import Observe, Products
from regard.observe.statistics import statistics


class Context(NamedTuple):
    """What a call gave to its model: the tensor that the loss comes back to."""

    tensor: Tensor
    """(batch axes, H, Tq, Dv), batch axes and heads as the model has them; or (B, Tq, H, Dv)."""
    heads_last: bool = False
    """Whether it is the second."""

    def arranged(self, gradient: Tensor, call: Call) -> Tensor:
        """The context's gradient as (B, H, Tq, Dv)."""
        gradient = gradient.detach()
        if self.heads_last:
            return gradient.transpose(1, 2)
        return gradient.reshape(*call.q.shape[:3], gradient.shape[-1])


def awaits(
    call: Call,
    context: Context | None,
    request: Observe,
    heads: Sequence[int] | None,
    take: Callable[[Products], None],
    fail: Callable[[str], None],
) -> None:
    """Give `take` the products of these heads each time a loss comes back to the context; `fail` hears why not."""
    if context is None:
        return fail("torch computes the context elsewhere when it returns weights: call it with need_weights=False")
    if not context.tensor.requires_grad:
        return fail("no loss can come back to it: call the model with gradients enabled, and not in a checkpoint")
    if isinstance(call.normaliser, Gumbel | Sample):
        return fail("its weights are drawn, and would be drawn anew")
    wanted = Observe(topk=request.topk, map=request.map, gradient=True)

    def came_back(gradient: Tensor) -> None:
        try:
            with torch._C.DisableTorchFunction():
                of_context = context.arranged(gradient, call)
                cut, to_pick = (call, None) if heads is None else of_heads(call, heads)  # here, so that no copy waits
                if heads is not None and to_pick is None:
                    of_context = of_context[:, list(heads)]
                products = picked(statistics(cut, wanted, of_context), to_pick).gradient
        except Exception as error:  # the model's backward pass must not fail because somebody looks
            return fail(f"{type(error).__name__}: {error}")
        assert products is not None
        return take(products)

    context.tensor.register_hook(came_back)
