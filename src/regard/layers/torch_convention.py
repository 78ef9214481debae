"""Masks made for torch's attention layers, turned into regard's. THEIRS HIDES WHERE TRUE; OURS ADMITS WHERE TRUE."""

__all__ = ["torch_masks"]

import math
from typing import Any

import torch
from torch import Tensor

from regard.equation.biases import Bias, as_bias
from regard.equation.mask import Mask
from regard.equation.masks import dense


def torch_masks(
    attn_mask: Tensor | None = None, key_padding_mask: Tensor | None = None, *, heads: int = 1
) -> dict[str, Any]:
    """`mask=` and `bias=` for a layer here, from the masks of `nn.MultiheadAttention` and `nn.Transformer`.

        layer(x, **torch_masks(attn_mask, key_padding_mask, heads=8))

    **In their bool masks True means hidden, in ours True means may attend; this inverts.** Their masks of numbers are
    added to the scores: −∞ hides, anything else is a bias, with its gradient.

    Args:
        attn_mask: (Tq, Tk), or (B · heads, Tq, Tk) with a row of heads after the other.
        key_padding_mask: (B, Tk).
        heads: How many a mask of three axes was made for.

    Raises:
        ValueError: Other shapes.
    """
    given: list[Tensor] = []
    if attn_mask is not None:
        if attn_mask.dim() == 3 and attn_mask.shape[0] % heads == 0:
            given.append(attn_mask.unflatten(0, (-1, heads)))
        elif attn_mask.dim() == 2:
            given.append(attn_mask[None, None])
        else:
            raise ValueError(
                f"attn_mask: expected (queries, keys) or (batch · {heads} heads, queries, keys), got shape "
                f"{tuple(attn_mask.shape)}"
            )
    if key_padding_mask is not None:
        if key_padding_mask.dim() != 2:
            raise ValueError(f"key_padding_mask: expected (batch, keys), got shape {tuple(key_padding_mask.shape)}")
        given.append(key_padding_mask[:, None, None])
    mask: Mask | None = None
    bias: Bias | None = None
    for one in given:
        allowed = dense(~one if one.dtype == torch.bool else one.detach() != -math.inf)
        mask = allowed if mask is None else mask & allowed
        if one.dtype != torch.bool:
            added = as_bias(torch.where(one == -math.inf, 0.0, one))
            bias = added if bias is None else bias + added
    return {"mask": mask, "bias": bias}
