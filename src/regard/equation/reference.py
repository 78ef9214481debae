"""The equation, computed plainly: the oracle for every kernel, and the kernel for every case that has no faster one.

e_i = score(q, k_i) + bias_i        only over the i that the mask admits
α   = normalise(e) * after
c   = sum_i dropout(α)_i v_i
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from regard.equation.biases import Bias
from regard.equation.mask import Mask
from regard.equation.noise import dropped
from regard.equation.normalisers import Normaliser, Softmax, log_sum_exp
from regard.equation.precision import full, no_autocast
from regard.equation.prepare import Keys, ready
from regard.equation.scores import Dot, Score

_DOT = Dot()
_SOFTMAX = Softmax()


@dataclass(frozen=True, slots=True)
class Attended:
    """What a query found, with the weights it used; everything is differentiable, and taken before dropout."""

    context: Tensor
    """(B, H, Tq, Dv), in the dtype of the values."""
    weights: Tensor
    """α (B, H, Tq, Tk), the factor `after` included: what multiplies the values. At least float32."""
    scores: Tensor
    """e (B, H, Tq, Tk), bias included, -inf where the mask hides. At least float32."""
    normaliser: Normaliser

    @property
    def lse(self) -> Tensor:
        """log sum_i exp(e_i) (B, H, Tq), natural logarithm; -inf for a query that may attend to nothing.

        The keys' alone: a sink, where there is one, is not among them.
        """
        return log_sum_exp(self.scores)

    @property
    def log_prob(self) -> Tensor:
        """log normalise(e) (B, H, Tq, Tk), natural logarithm, before `after`; -inf where the weight is 0.

        Where weights are drawn ("sample", "gumbel"), it is the logarithm of each key's chance, log softmax(e).
        """
        return self.normaliser.log_prob(self.scores)


def reference(
    q: Tensor,
    k: Tensor | Keys,
    v: Tensor,
    *,
    score: Score = _DOT,
    mask: Mask | None = None,
    bias: Bias | None = None,
    normaliser: Normaliser = _SOFTMAX,
    after: Bias | None = None,
    dropout: float = 0.0,
) -> Attended:
    """Compute attention as the equation says; arguments as in `regard.attend`, already checked."""
    size = (*q.shape[:3], v.shape[2], q.device)
    allowed = None if mask is None else mask.dense(*size)
    q, k, values = ready(q, k, v, score, allowed)
    with no_autocast(q.device):
        heads = q.shape[1]
        e = score.compare(q, per_query_head(k, heads))
        values = full(per_query_head(values, heads))
        return from_scores(e, values, size, allowed, bias, normaliser, after, dropout, v.dtype)


def from_scores(
    e: Tensor,
    values: Tensor,
    size: tuple,
    allowed: Tensor | None,
    bias: Bias | None,
    normaliser: Normaliser,
    after: Bias | None,
    dropout: float,
    dtype: torch.dtype,
    add_up: Callable[[Tensor, Tensor], Tensor] = torch.matmul,
) -> Attended:
    """What follows the scores e (B, H, Tq, Tk); `add_up` is the product of weights and values (B, H, Tk, Dv).

    `size` is what `Rule.dense` takes: of a part of the grid, with the part.
    """
    e = biased(e, size, allowed, bias)
    weights = normaliser.weights(e)
    if after is not None:
        weights = weights * after.dense(*size).to(e.dtype)
    kept = dropped(weights, dropout) if dropout else weights
    return Attended(add_up(kept, values).to(dtype), weights, e, normaliser)


def biased(e: Tensor, size: tuple, allowed: Tensor | None, bias: Bias | None) -> Tensor:
    """The scores with their bias, -inf where the mask hides."""
    if bias is not None:
        e = e + bias.dense(*size).to(e.dtype)
    return e if allowed is None else torch.where(allowed, e, -math.inf)


def per_query_head(x: Tensor, heads: int) -> Tensor:
    """Grouped keys or values (B, Hk, ...) repeated so that every query head has its own."""
    return x if x.shape[1] == heads else x.repeat_interleave(heads // x.shape[1], 1)
