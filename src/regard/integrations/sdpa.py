"""A call of torch's `scaled_dot_product_attention` in the terms of `attend`.

What differs there: `is_causal` aligns the first query with the first key, a mask of numbers is added (−∞ hides), and
any number of axes may stand before the queries.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.attention.bias import CausalBias, CausalVariant

from regard.equation.biases import Bias, as_bias
from regard.equation.mask import Mask, Structure
from regard.equation.masks import causal, dense
from regard.equation.precision import autocast
from regard.equation.rules import Grid
from regard.equation.scores import Dot
from regard.observe.gradients import Context
from regard.observe.listening import claimed, no_numbers, report, unread, wanted


def told(function: Callable[..., Tensor], arguments: tuple[Any, ...], named: Mapping[str, Any]) -> Tensor:
    """Call it, and report the call."""
    with claimed():
        result = function(*arguments, **named)
    if wanted():
        tell(*arguments, **named, context=Context(result))
    return result


def tell(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    *others: Any,
    module: nn.Module | None = None,
    cross: bool | None = None,
    context: Context | None = None,
    **named: Any,
) -> None:
    """Report a call with these arguments, or say why it cannot be read.

    `module`, `cross` and `context` as in `listening.report`.
    """
    if why := no_numbers(query):
        unread(why, module)
        return
    if any(x.is_nested or x.layout != torch.strided for x in (query, key, value)):
        unread("it was called with nested or sparse tensors: pad them", module)
        return
    if cross is None and _one_memory(query, key):
        cross = False
    try:
        with torch.no_grad():
            terms = in_our_terms(query, key, value, *others, **named)
    except Exception as error:  # the model's call must not fail because somebody looks
        unread(f"{type(error).__name__}: {error}", module)
        return
    report(**terms, module=module, cross=cross, context=context)


def in_our_terms(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attn_mask: Tensor | None = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    scale: float | None = None,
    enable_gqa: bool = False,
) -> dict[str, Any]:
    """Arguments of `attend`, from those of `scaled_dot_product_attention`, for a call that torch has taken.

    (T, D) and (batch, T, D) have one head; of more axes the last before (T, D) is the heads, the others batch rows.
    """
    query, key, value, attn_mask = (_as_autocast(x) for x in (query, key, value, attn_mask))
    mask: Mask | None = None
    if isinstance(attn_mask, CausalBias):
        mask = causal() if attn_mask.variant == CausalVariant.LOWER_RIGHT else _FromTheFirst(query, key)
        attn_mask = None
    elif is_causal:
        mask = _FromTheFirst(query, key)
    parts = [query, key, value]
    if query.ndim < 4 and not enable_gqa:
        parts = [x.unsqueeze(-3) for x in parts]
        attn_mask = attn_mask.unsqueeze(-3) if attn_mask is not None and attn_mask.ndim > 2 else attn_mask
    rows = torch.broadcast_shapes(*(x.shape[:-3] for x in parts))
    key_heads = max(x.shape[-3] for x in parts[1:])
    heads = max(parts[0].shape[-3], key_heads)
    q, k, v = (_four(x, rows, n) for x, n in zip(parts, (heads, key_heads, key_heads), strict=True))
    bias: Bias | None = None
    if attn_mask is not None:
        attn_mask = attn_mask[(None,) * (len(rows) + 3 - attn_mask.ndim)]
        alike = math.prod(attn_mask.shape[:-3]) == 1
        hidden, bias = _mask_and_bias(_four(attn_mask, attn_mask.shape[:-3] if alike else rows, attn_mask.shape[-3]))
        mask = hidden if mask is None else mask & hidden
    return {"q": q, "k": k, "v": v, "score": Dot(scale), "mask": mask, "bias": bias}


class _FromTheFirst(Mask):
    """key <= row: causality counted from the first query and the first key."""

    def __init__(self, query: Tensor, key: Tensor) -> None:
        later = key.shape[-2] - query.shape[-2]  # how far our causality, counted from the last, reaches further
        self.key = ("from the first", later)
        self.structure = Structure(right=-later, exact=True)

    def at(self, grid: Grid) -> Tensor:
        return grid.key <= grid.row

    def __repr__(self) -> str:
        return "causal from the first key"


def _as_autocast(x: Any) -> Any:
    """A float32 tensor in the format in which torch will compute with it."""
    if isinstance(x, CausalBias) or not isinstance(x, Tensor) or x.dtype != torch.float32 or not autocast(x.device):
        return x
    return x.to(torch.get_autocast_dtype(x.device.type))


def _mask_and_bias(given: Tensor) -> tuple[Mask, Bias | None]:
    """A mask (four axes) of bools (True: may attend) or of numbers to be added, as ours."""
    if given.dtype == torch.bool:
        return dense(given), None
    allowed = given != -math.inf
    added = torch.where(allowed, given, 0.0)
    return dense(allowed), as_bias(added) if added.any() else None


def _four(x: Tensor, rows: Sequence[int], heads: int) -> Tensor:
    """(..., heads, T, D) as (batch, heads, T, D)."""
    return x.expand(*rows, heads, -1, -1).reshape(math.prod(rows), heads, *x.shape[-2:])


def _one_memory(a: Tensor, b: Tensor) -> bool:
    """Whether both are views of one tensor: projected together, they come of one sequence."""
    return a.untyped_storage().data_ptr() == b.untyped_storage().data_ptr()
