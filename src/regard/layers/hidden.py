"""Before a projection: what nobody reads is made harmless, so that NaN beyond the padding reaches no gradient.

A weight matrix's gradient is gᵀ x: with g exactly 0 and x NaN it would be NaN.
"""

import torch
from torch import Tensor

from regard.equation.looking import may_look
from regard.equation.mask import Mask


def harmless(*tensors: Tensor) -> bool:
    """Whether one may look and sees nothing that could do harm: no NaN, no products of products that overflow."""
    return all(may_look(x.device.type) and _tame(x) for x in tensors)


def blank(x: Tensor, unread: Tensor) -> Tensor:
    """x (B, T, features) with zeros where `unread` (B or 1, T); x itself where its numbers do no harm."""
    return x if harmless(x) else torch.where(unread[..., None], 0, x)


def unread(mask: Mask, heads: int, batch: int, queries: int, keys: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """Which queries (B, Tq) may see nothing, and which keys (B, Tk) nobody may see, in no head."""
    mask.check(batch, heads, queries, keys)
    allowed = mask.dense(batch, heads, queries, keys, device).expand(-1, -1, queries, keys).any(1)
    return ~allowed.any(2), ~allowed.any(1)


def hides_whole_positions(mask: Mask, queries: int, keys: int) -> bool:
    """Whether a mask may leave a query without keys or a key without queries, as far as its structure tells."""
    s = mask.structure
    return not (s.exact and not s.lengths and s.block is None and queries == keys)


def _tame(x: Tensor) -> bool:
    norms = torch.linalg.vector_norm(x.detach(), dim=(-2, -1))  # of a slice, ten times as fast as one norm
    return bool((norms < torch.finfo(x.dtype).max ** 0.25).all())
