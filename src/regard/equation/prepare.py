"""Before the scores: keys projected once, and what no query may see made harmless (0 * NaN is NaN).

A decoder asks the same keys at every step. `score.prepare(k, v, mask)` does once what would otherwise be done at each
step, and `Keys` carries it.
"""

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from regard.equation.looking import may_look
from regard.equation.mask import Mask

if TYPE_CHECKING:
    from regard.equation.scores import Score


@dataclass(frozen=True, slots=True)
class Keys:
    """Keys as a score wants them, ready to be asked many times: `attend(q, keys, keys.values, score=keys.score)`.

    To keep some batch rows only, index `k`, `values` and the mask's tensor and make new `Keys` of them.
    """

    k: Tensor
    """(B, Hk, Tk, .): prepared."""
    score: "Score"
    values: Tensor | None = None
    """(B, Hk, Tk, Dv): with zeros where the mask hides."""
    mask: Mask | None = None
    """Always in force when these keys are asked, beside any other mask."""
    made: dict[str, Any] = field(default_factory=dict, compare=False, repr=False)
    """What a kernel, by its name, made of these keys and finds again when they are next asked."""


def ready(
    q: Tensor, k: Tensor | Keys, v: Tensor, score: "Score", allowed: Tensor | None
) -> tuple[Tensor, Tensor, Tensor]:
    """Queries and keys as `score.compare` takes them, and values; with zeros where nothing attends.

    Keys prepared with a mask are trusted to be harmless already, and so are their values; a query may be hidden yet.
    """
    if isinstance(k, Keys):
        keys = k.k
        if allowed is not None and k.mask is None:
            q, keys, v = _hide(allowed, q, keys, v)
        elif allowed is not None:
            if allowed.shape[2] > 1:
                q = hide_queries(allowed, q)
            if v is not k.values:
                (v,) = hide_keys(allowed, v)
        return score.query(q), keys, v
    if allowed is not None:
        q, k, v = _hide(allowed, q, k, v)
    return score.query(q), score.project(k), v


def is_harmless(*tensors: Tensor) -> bool:
    """Whether a weight of exactly 0 undoes whatever these hold, so that nothing need be hidden."""
    return may_look(tensors[0].device.type) and all(_is_tame(x) for x in tensors)


def hide_queries(allowed: Tensor, q: Tensor) -> Tensor:
    """Queries (B, H, Tq, .) made harmless in the rows that see no key; `allowed` as from `Mask.dense`."""
    return _harmless(any_of(allowed, 3), q)[0]


def _hide(allowed: Tensor, q: Tensor, k: Tensor, v: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """All three made harmless in the rows that attend to nothing, or that nothing attends to."""
    if allowed.shape[2] == 1 and may_look(allowed.device.type) and allowed.all():
        return q, k, v
    q = hide_queries(allowed, q)
    k, v = hide_keys(allowed, k, v)
    return q, k, v


def hide_keys(allowed: Tensor, *tensors: Tensor) -> tuple[Tensor, ...]:
    """Keys, values (B, Hk, Tk, .) made harmless in the rows that no query may see; `allowed` as from `Mask.dense`."""
    seen = any_of(allowed, 2)
    key_heads = tensors[0].shape[1]
    if seen.shape[1] not in (1, key_heads):
        seen = seen.unflatten(1, (key_heads, -1)).any(2)
    return _harmless(seen.mT, *tensors)


def _harmless(used: Tensor, *tensors: Tensor) -> tuple[Tensor, ...]:
    """The tensors with zeros in the rows that are not used; themselves where all are, or where those rows are tame.

    A weight of exactly 0 makes a tame number as harmless as a zero, without the copy.
    """
    if not may_look(used.device.type):
        return tuple(torch.where(used, x, 0) for x in tensors)
    if used.all():
        return tensors
    first = int(used.view(torch.uint8).amin((0, 1, 3)).argmin())  # before it every row is used
    return tuple(x if _is_tame(x[:, :, first:]) else torch.where(used, x, 0) for x in tensors)


def _is_tame(x: Tensor) -> bool:
    """Whether the norms are finite: no NaN, and nothing so large that its product with a sane query overflows."""
    norms = torch.linalg.vector_norm(x.detach(), dim=(-2, -1))  # of a slice, ten times as fast as one norm
    return math.isfinite(norms.sum().item())


def any_of(allowed: Tensor, dim: int) -> Tensor:
    """allowed.any(dim, keepdim=True); as numbers it is a hundred times faster."""
    if allowed.shape[dim] == 1:
        return allowed
    if not allowed.shape[dim]:
        return allowed.any(dim, keepdim=True)
    return allowed.view(torch.uint8).amax(dim, keepdim=True).view(torch.bool)
