"""What transformers hands to an attention function, as the parts of our equation.

    e = cap * tanh(scaling * q . k / cap) + position_bias + mask,   α = softmax(e), beside sinks where there are any

Every argument is either one of these parts, known to change nothing, or refused by its name.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from regard.equation.looking import may_look
from regard.equation.mask import Mask
from regard.equation.masks import causal, dense
from regard.equation.normalisers import Normaliser, Softmax
from regard.equation.scores import Dot
from regard.integrations.transformers.masks import Asked, Standing, Told

WITHOUT_EFFECT = frozenset(
    {
        "cache_position",
        "deterministic",
        "logits_to_keep",
        "max_length_k",
        "max_length_q",
        "num_items_in_batch",
        "output_attentions",
        "output_hidden_states",
        "output_router_logits",
        "past_key_values",
        "position_ids",
        "return_dict",
        "use_cache",
    }
)
"""Arguments that their eager attention does not read either; their work is done before, or after."""


def equation(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    attention_mask: Any,
    *,
    causal_without_mask: bool,
    scaling: float | None = None,
    softcap: float | None = None,
    s_aux: Tensor | None = None,
    position_bias: Tensor | None = None,
    sliding_window: int | None = None,
    is_causal: bool | None = None,
    dropout: float = 0.0,
    **others: Any,
) -> dict[str, Any]:
    """The arguments of `attend` (all but q, k and v) that a call of an attention function means.

    causal_without_mask: whether a call without a mask is causal where `is_causal` (of the call, else of the module)
        says so, the first query on the first key, as their sdpa has it; their eager and flex have no such rule.
    Raises ValueError for an argument that may change the result and is not known here, naming it.
    """
    unknown = sorted(name for name, given in others.items() if _says_something(given) and name not in WITHOUT_EFFECT)
    if unknown:
        raise ValueError(
            f"attention was given {', '.join(unknown)}, which may change its result and which regard does not know; "
            f"load the model with attn_implementation='eager' or 'sdpa'"
        )
    Tq, Tk = query.shape[2], key.shape[2]
    mask, bias = _read(attention_mask, Tk)
    if attention_mask is None and sliding_window is not None and Tk > sliding_window:
        raise ValueError(
            f"attention was given sliding_window={sliding_window} for {Tk} keys and no mask, so the window would be "
            f"lost: the model must make its masks with transformers.masking_utils"
        )
    if attention_mask is None and causal_without_mask and Tq > 1:
        if is_causal is None:
            is_causal = getattr(module, "is_causal", True)
        if is_causal:
            mask = causal() if Tq == Tk else Standing(causal(), 0)
    if position_bias is not None:
        position_bias = position_bias[..., :Tk]
        bias = position_bias if bias is None else bias + position_bias
    return {
        "score": Dot(scaling, cap=softcap),
        "mask": mask,
        "bias": bias,
        "normalise": _normaliser(s_aux),
    }


def _normaliser(sinks: Tensor | None) -> Normaliser:
    return Softmax(None if sinks is None else sinks.reshape(-1))


def _says_something(given: Any) -> bool:
    return given is not None and given is not False


def _read(mask: Any, Tk: int) -> tuple[Mask | None, Tensor | None]:
    """Which pairs may attend, and what is added to the scores of those that may."""
    if mask is None:
        return None, None
    if isinstance(mask, Told):
        if mask.shape[3] == Tk:
            return mask.rule, None
        mask = mask.plain()
    if not isinstance(mask, Tensor):
        if (allows := getattr(mask, "mask_mod", None)) is None:
            raise ValueError(f"attention_mask: expected a tensor or a BlockMask, got {type(mask).__name__}")
        return Asked(allows), None
    if mask.ndim != 4:
        raise ValueError(
            f"attention_mask: expected (batch, heads or 1, queries or 1, keys), got {tuple(mask.shape)}: of fewer axes "
            f"it is not said what they mean"
        )
    mask = mask[..., :Tk]  # a cache of fixed size has a mask longer than the keys
    if mask.dtype == torch.bool:
        return dense(mask), None
    if not mask.is_floating_point():
        raise ValueError(f"attention_mask: expected bool, or numbers to be added to the scores, got {mask.dtype}")
    if mask.requires_grad:
        return None, mask
    hidden = hides(mask)
    added = mask.masked_fill(hidden, 0)
    nothing_added = may_look(added.device.type) and not added.any()
    return dense(~hidden), None if nothing_added else added


def hides(mask: Tensor) -> Tensor:
    """Where a mask of added numbers hides: -inf, or what transformers writes for it, the format's smallest number."""
    return mask <= torch.finfo(mask.dtype).min / 2
