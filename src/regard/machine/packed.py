"""Products by a weight that stays as it is, in bfloat16: the weight is put once in the order the processor wants.

oneDNN multiplies bfloat16 by blocks, and puts the weight in their order at every product; a decoder's steps, each a few
rows by the same weights, did little else. What is kept is kept while somebody promises that weights stay: whether one
has changed cannot be told, as PyTorch's fused optimizers count no version.

The operators are PyTorch's own for its compiler, without a promise to stay: where one is missing, products are plain.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import cache

import torch
from jaxtyping import Float
from torch import Tensor

from regard.machine import rows

LEAST = 2**17  # numbers of a weight, from which its order costs more than finding what is kept
ROWS = 128  # oneDNN takes milliseconds to get ready for each size: rows are filled up, so that few sizes come

_kept: ContextVar[dict[int, tuple[Tensor, Tensor]] | None] = ContextVar("kept", default=None)  # id: weight, in order


@contextmanager
def weights_stay() -> Iterator[None]:
    """A promise: no weight is written to while this lasts, in this thread's products."""
    before = _kept.set({})
    try:
        yield
    finally:
        _kept.reset(before)


def linear(
    x: Float[Tensor, "*batch features"], weight: Float[Tensor, "out features"], bias: Tensor | None = None
) -> Float[Tensor, "*batch out"]:
    """x Wᵀ + b, as `torch.nn.functional.linear`; by a W put in order, under autocast to bfloat16 where weights stay.

    A row's numbers are then its own: they do not depend on the rows beside it, nor on how many there are.
    """
    if not _pays(x, weight):
        return rows.linear(x, weight, bias)
    count = x.shape[:-1].numel()
    filled = ROWS // 2 if count <= ROWS // 2 else -(-count // ROWS) * ROWS
    x_rows = x.new_empty(filled, x.shape[-1], dtype=torch.bfloat16)
    x_rows[:count] = x.reshape(count, -1)
    x_rows[count:] = 0  # it is cut off again, but oneDNN multiplies a row's numbers together with the next row's
    with torch.autocast("cpu", enabled=False):
        bias = None if bias is None else bias.bfloat16()
        y = torch.ops.mkldnn._linear_pointwise(x_rows, _of(weight), bias, "none", [], "")
    return y[:count].view(*x.shape[:-1], -1)


def _pays(x: Tensor, weight: Tensor) -> bool:
    return (
        not torch.compiler.is_compiling()
        and _kept.get() is not None
        and not torch.is_grad_enabled()
        and x.device.type == "cpu"
        and torch.is_autocast_enabled("cpu")
        and torch.get_autocast_dtype("cpu") == torch.bfloat16
        and weight.numel() >= LEAST
        and x.numel() > 0
        and not weight.is_inference()
        and _can_reorder()
    )


@cache
def _can_reorder() -> bool:
    found = all(hasattr(torch.ops.mkldnn, name) for name in ("_linear_pointwise", "_reorder_linear_weight"))
    supported = getattr(torch.ops.mkldnn, "_is_mkldnn_bf16_supported", None)
    return found and supported is not None and supported()


def _of(weight: Tensor) -> Tensor:
    kept = _kept.get()
    assert kept is not None
    if id(weight) not in kept:  # which holds it, so that its id stays its own
        kept[id(weight)] = weight, torch.ops.mkldnn._reorder_linear_weight(weight.detach().bfloat16(), None)
    return kept[id(weight)][1]
