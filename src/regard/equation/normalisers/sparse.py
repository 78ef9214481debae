"""Sparsemax and α-entmax: weights that sum to 1 and are exactly 0 on keys that match too badly.

Both are p_i = max((α - 1) e_i - τ, 0) ** (1 / (α - 1)), where the threshold τ makes the row sum to 1. The gradient
needs p alone: with s_i = p_i ** (2 - α) where p_i > 0, and s_i = 0 elsewhere,

    dp_i / de_j = s_i (δ_ij - s_j / sum_k s_k)
"""

import torch
from torch import Tensor
from torch.autograd.function import FunctionCtx

from regard.equation.normalisers.normaliser import logarithm
from regard.equation.normalisers.rows import empty_rows
from regard.equation.precision import full


class Entmax:
    """weights = argmax over p on the simplex of p . e + H_α(p), H_α the Tsallis entropy; α above 1.

    α towards 1 tends to softmax, α = 2 is sparsemax; in between, the larger α, the fewer keys keep a weight. For
    α = 1.5 and 2 the threshold is exact, found by sorting; for others by bisection, to the last digits of the dtype.
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
        z = e.masked_fill(empty, 0)
        # The best key has p <= 1, so τ >= z_max - 1: what lies further below has weight 0, -inf as well.
        z = ((z - z.amax(-1, keepdim=True)) * (alpha - 1)).clamp(min=-1)
        tau = _EXACT.get(alpha, _bisect)(z, alpha)
        p = (z - tau).clamp(min=0) ** (1 / (alpha - 1))
        return (p / p.sum(-1, keepdim=True)).masked_fill(empty, 0)

    @staticmethod
    def setup_context(ctx: FunctionCtx, inputs: tuple[Tensor, float], output: Tensor) -> None:
        ctx.save_for_backward(output)
        ctx.alpha = inputs[1]  # type: ignore[attr-defined]

    @staticmethod
    def backward(ctx: FunctionCtx, gradient: Tensor) -> tuple[Tensor, None]:  # type: ignore[override]
        (p,) = ctx.saved_tensors  # type: ignore[attr-defined]
        seen = p > 0
        s = torch.where(seen, p, 1.0) ** (2 - ctx.alpha) * seen  # type: ignore[attr-defined]
        total = s.sum(-1, keepdim=True)
        mean = (s * gradient).sum(-1, keepdim=True) / total.masked_fill(total == 0, 1)
        return s * (gradient - mean), None


def _sparsemax(z: Tensor, alpha: float) -> Tensor:
    """τ for α = 2: of the n best keys, (their sum - 1) / n, for the largest n whose last key is above that."""
    ordered = z.sort(-1, descending=True).values
    n = torch.arange(1, z.shape[-1] + 1, device=z.device, dtype=z.dtype)
    over = ordered.cumsum(-1) - 1
    kept = (n * ordered > over).sum(-1, keepdim=True)
    return over.gather(-1, kept - 1) / kept


def _entmax15(z: Tensor, alpha: float) -> Tensor:
    """τ for α = 1.5, from sum of (z_i - τ)² = 1 over the n best keys, for the largest n whose last key is above it."""
    ordered = z.sort(-1, descending=True).values
    n = torch.arange(1, z.shape[-1] + 1, device=z.device, dtype=z.dtype)
    mean = ordered.cumsum(-1) / n
    spread = (ordered * ordered).cumsum(-1) - n * mean * mean  # sum of (z_i - mean)²
    tau = mean - ((1 - spread) / n).clamp(min=0).sqrt()
    kept = (tau <= ordered).sum(-1, keepdim=True)
    tau = tau.gather(-1, kept - 1)
    above = (z - tau).clamp(min=0)  # a Newton step gives back the digits that the sums of squares lost
    return tau + ((above * above).sum(-1, keepdim=True) - 1) / (2 * above.sum(-1, keepdim=True))


def _bisect(z: Tensor, alpha: float) -> Tensor:
    """τ for any α: between z_max - 1, where the sum is 1 or more, and z_max - n ** (1 - α), where it is 1 or less."""
    low = torch.full_like(z[..., :1], -1.0)
    width = 1 - z.shape[-1] ** (1 - alpha)
    for _ in range(56 if z.dtype == torch.float64 else 27):  # halvings that exhaust the dtype's digits
        width /= 2
        middle = low + width
        total = ((z - middle).clamp(min=0) ** (1 / (alpha - 1))).sum(-1, keepdim=True)
        low = torch.where(total >= 1, middle, low)
    return low


_EXACT = {1.5: _entmax15, 2.0: _sparsemax}
