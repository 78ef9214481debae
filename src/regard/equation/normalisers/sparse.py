"""Sparsemax and α-entmax: weights that sum to 1 and are exactly 0 on keys that match too badly.

Both are p_i = max((α - 1) e_i - τ, 0) ** (1 / (α - 1)), where the threshold τ makes the row sum to 1. The gradient
needs p alone: with s_i = p_i ** (2 - α) where p_i > 0, and s_i = 0 elsewhere,

    dp_i / de_j = s_i (δ_ij - s_j / sum_k s_k)
"""

import math

import torch
from torch import Tensor
from torch.autograd.function import FunctionCtx

from regard.equation.looking import may_look
from regard.equation.normalisers.normaliser import logarithm
from regard.equation.normalisers.rows import empty_rows
from regard.equation.precision import full


class Entmax:
    """weights = argmax over p on the simplex of p . e + H_α(p), H_α the Tsallis entropy; α above 1.

    α towards 1 tends to softmax, α = 2 is sparsemax; in between, the larger α, the fewer keys keep a weight. For
    α up to 2 Newton's method finds the threshold, above that bisection, to the last digits of the dtype.
    Source: Peters, Niculae and Martins 2019 (arXiv 1905.05702).
    """

    def __init__(self, alpha: float = 1.5) -> None:
        if not isinstance(alpha, (int, float)) or not 1 < alpha < float("inf"):
            raise ValueError(f"Entmax: alpha must be a number above 1 (towards 1 it is softmax), got {alpha!r}")
        self.alpha = float(alpha)
        self.name = f"entmax({self.alpha!r})"

    def weights(self, e: Tensor) -> Tensor:
        """See `Normaliser.weights`."""
        return _Entmax.apply(full(e), self.alpha)

    def log_prob(self, e: Tensor) -> Tensor:
        """See `Normaliser.log_prob`."""
        return logarithm(self.weights(e))

    def __repr__(self) -> str:
        return f"Entmax({self.alpha:g})"


class Sparsemax(Entmax):
    """weights = the point of the simplex nearest to e: max(e_i - τ, 0), with τ such that they sum to 1.

    Source: Martins and Astudillo 2016 (arXiv 1602.02068).
    """

    def __init__(self) -> None:
        super().__init__(2.0)
        self.name = "sparsemax"

    def __repr__(self) -> str:
        return "Sparsemax()"


class _Entmax(torch.autograd.Function):
    """The weights, with their gradient from the weights alone: differentiating the search for τ would be wrong."""

    generate_vmap_rule = True

    @staticmethod
    def forward(e: Tensor, alpha: float) -> Tensor:
        if not e.shape[-1]:
            return e.clone()
        empty = empty_rows(e)
        best = e.amax(-1, keepdim=True).masked_fill(empty, 0)
        # The best key is at z = 0 and has p <= 1, so τ >= -1: what lies further below has weight 0, -inf as well.
        z = (e - best).mul_(alpha - 1).clamp_(min=-1)
        p = _power((z - _threshold(z, alpha)).relu_(), 1 / (alpha - 1))
        return p.div_(p.sum(-1, keepdim=True).masked_fill(empty, math.inf))

    @staticmethod
    def setup_context(ctx: FunctionCtx, inputs: tuple[Tensor, float], output: Tensor) -> None:
        ctx.save_for_backward(output)
        ctx.alpha = inputs[1]  # type: ignore[attr-defined]

    @staticmethod
    def backward(ctx: FunctionCtx, gradient: Tensor) -> tuple[Tensor, None]:  # type: ignore[override]
        (p,) = ctx.saved_tensors  # type: ignore[attr-defined]
        s = _slope(p, ctx.alpha)  # type: ignore[attr-defined]
        total = s.sum(-1, keepdim=True)
        mean = (s * gradient).sum(-1, keepdim=True) / total.masked_fill(total == 0, 1)
        return (gradient - mean) * s, None


def _slope(p: Tensor, alpha: float) -> Tensor:
    """p ** (2 - α) where p > 0, and 0 elsewhere."""
    if alpha < 2 and not torch.is_grad_enabled():
        return _power(p, 2 - alpha)
    seen = p > 0  # of what is 0 no gradient of the gradient exists
    return torch.where(seen, p, 1.0) ** (2 - alpha) * seen


def _power(x: Tensor, exponent: float) -> Tensor:
    """x ** exponent, of x >= 0 and an exponent above 0, by the shortest way."""
    if exponent == 2:
        return x * x
    return x if exponent == 1 else x.sqrt() if exponent == 0.5 else x**exponent


def _threshold(z: Tensor, alpha: float) -> Tensor:
    """τ (..., 1), of z = (α - 1) (e - e_max), so that it lies between -1 and 0; what is below -1 is -1.

    Counted from the best key, τ has all its digits where many keys share the weight, and it is near 0.
    """
    return _newton(z, alpha) if alpha <= 2 else _bisect(z, alpha)


def _newton(z: Tensor, alpha: float) -> Tensor:
    """τ for α up to 2, where f(τ) = sum of (z_i - τ) ** (1 / (α - 1)) - 1 falls and is convex: from -1 it climbs.

    No step overshoots. For α = 2 the lines are straight and their end is exact; for α = 1.5 each step doubles the
    digits. That takes some ten passes over the row, and no sorting.
    """
    power, eps = 1 / (alpha - 1), torch.finfo(z.dtype).eps
    enough = math.sqrt(eps) / 32 if power >= 2 else 16 * eps  # how far from 1 a sum may be before the last step
    above, tau = z + 1, torch.full_like(z[..., :1], -1)
    for _ in range(_most_steps(z)):
        total, slope = _sums(above, power)
        beyond = total - 1
        step = (beyond / (slope.clamp(min=1) * power)).clamp_(min=0)  # 1 or more it is, but in an empty row
        tau += step
        if may_look(z.device.type) and not (beyond > enough).any():
            break
        above = (z - tau).relu_()
    return tau


def _sums(above: Tensor, power: float) -> tuple[Tensor, Tensor]:
    """The sums of above ** power and of above ** (power - 1), over the keys that are above at all."""
    if power == 1:
        return above.sum(-1, keepdim=True), above.sign().sum(-1, keepdim=True)
    if power == 2:
        return torch.linalg.vector_norm(above, dim=-1, keepdim=True) ** 2, above.sum(-1, keepdim=True)
    lower = above ** (power - 1)
    return (lower * above).sum(-1, keepdim=True), lower.sum(-1, keepdim=True)


def _most_steps(z: Tensor) -> int:
    """A step shrinks f or its slope by half, so f times slope, at most the number of keys squared, by four."""
    return math.ceil(math.log2(max(z.shape[-1], 2)) - math.log2(torch.finfo(z.dtype).eps) / 2)


def _bisect(z: Tensor, alpha: float) -> Tensor:
    """τ for any α: between -1, where the sum is 1 or more, and -n ** (1 - α), where it is 1 or less."""
    low = torch.full_like(z[..., :1], -1)
    width = 1 - z.shape[-1] ** (1 - alpha)
    for _ in range(56 if z.dtype == torch.float64 else 27):  # halvings that exhaust the dtype's digits
        width /= 2
        middle = low + width
        total = ((z - middle).clamp(min=0) ** (1 / (alpha - 1))).sum(-1, keepdim=True)
        low = torch.where(total >= 1, middle, low)
    return low
