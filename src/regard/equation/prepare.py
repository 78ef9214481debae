"""Before the scores: keys projected once, and what no query may see made harmless (0 * NaN is NaN).

A decoder asks the same keys at every step. `score.prepare(k, v, mask)` does once what would otherwise be done at each
step, and `Keys` carries it.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

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


def ready(
    q: Tensor, k: Tensor | Keys, v: Tensor, score: "Score", allowed: Tensor | None
) -> tuple[Tensor, Tensor, Tensor]:
    """Queries and keys as `score.compare` takes them, and values; with zeros where nothing attends.

    Keys prepared with a mask are trusted to be harmless already, and so are their values.
    """
    if isinstance(k, Keys) and k.mask is not None:
        if v is not k.values and allowed is not None:
            v = hide_keys(v, allowed)
        return score.query(q), k.k, v
    if allowed is not None:
        q, v = hide_queries(q, allowed), hide_keys(v, allowed)
    if isinstance(k, Keys):
        return score.query(q), k.k if allowed is None else hide_keys(k.k, allowed), v
    return score.query(q), score.project(k if allowed is None else hide_keys(k, allowed)), v


def hide_keys(x: Tensor, allowed: Tensor) -> Tensor:
    """Zeros in the rows of x (B, Hk, Tk, .) that no query may see, for `allowed` as from `Mask.dense`."""
    seen = allowed if allowed.shape[2] == 1 else allowed.any(2, keepdim=True)
    if seen.shape[1] not in (1, x.shape[1]):
        seen = seen.unflatten(1, (x.shape[1], -1)).any(2)
    return torch.where(seen.mT, x, 0)


def hide_queries(q: Tensor, allowed: Tensor) -> Tensor:
    """Zeros in the rows of q (B, H, Tq, D) that may attend to nothing."""
    return torch.where(allowed.any(3, keepdim=True), q, 0)
