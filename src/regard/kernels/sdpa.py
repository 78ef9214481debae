"""Everything that reduces to PyTorch's `scaled_dot_product_attention`: dot-product scores, any mask, any added bias.

What it is told apart from: causality is a flag only where every query has its own key (with fewer queries than keys
SDPA aligns the first query with the first key, we the last with the last); other masks become bool tensors, biases
additive ones. On CPU its fused path wants Dv = D and contiguous features, so those are padded and copied.
"""

import math
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from regard.equation.biases import Bias
from regard.equation.mask import Mask
from regard.equation.normalisers import Normaliser
from regard.equation.precision import no_autocast
from regard.equation.prepare import Keys, ready
from regard.equation.scores import Dot, Score
from regard.kernels.kernel import Compute, Kernel
from regard.kernels.problem import Problem


class Sdpa(Kernel):
    """`torch.nn.functional.scaled_dot_product_attention`."""

    name = "sdpa"

    def refusals(self, problem: Problem) -> list[str]:
        """See `Kernel.refusals`."""
        reasons = []
        if problem.weights:
            reasons.append("it does not return weights")
        if not problem.is_dot:
            reasons.append(f"the score {problem.score} is not a dot product")
        if not problem.softmax:
            reasons.append(f"it normalises by softmax only, not by {problem.normalise}")
        if problem.after:
            reasons.append("it takes no factor on the weights")
        if problem.empty:
            reasons.append("a size is 0")
        return reasons

    def flops(self, problem: Problem) -> int:
        """Forward: seen pairs * 2 (D + Dv), half of the pairs where causal; backward 2.5 times that (it recomputes)."""
        pairs = problem.pairs // 2 if _causal_flag(problem) else problem.pairs
        return int(pairs * 2 * (problem.D + problem.Dv) * (3.5 if problem.grad else 1))

    def bytes(self, problem: Problem) -> int:
        """Inputs and context once, a mask or bias once in full; backward two and a half times that.

        With dropout or a learned bias PyTorch's CPU path is not fused: scores and weights are written and read too.
        """
        numbers = 0
        if problem.bias or _needs_tensor(problem):
            numbers += problem.pairs * (problem.dtype.itemsize if problem.bias else 1)
        if problem.dropout or problem.bias_grad:
            numbers += 4 * problem.pairs * problem.dtype.itemsize
        return int((problem.io_bytes + numbers) * (3.5 if problem.grad else 1))

    def bind(self, problem: Problem) -> Compute:
        """See `Kernel.bind`."""
        causal, masked, grouped = _causal_flag(problem), _needs_tensor(problem), problem.Hk != problem.H
        plain = problem.score_key == Dot.key and not (masked or problem.bias or problem.autocast or grouped)

        def bare(q: Tensor, k: Tensor | Keys, v: Tensor, score: Score, *rest: Any) -> Tensor:
            k = k.k if isinstance(k, Keys) else k
            return F.scaled_dot_product_attention(
                _packed(q), _packed(k), _packed(v), None, rest[-1], causal, scale=score.factor(problem.D)
            )

        def general(
            q: Tensor,
            k: Tensor | Keys,
            v: Tensor,
            score: Score,
            mask: Mask | None,
            bias: Bias | None,
            normaliser: Normaliser,
            after: Bias | None,
            dropout: float,
        ) -> Tensor:
            size = (*q.shape[:3], v.shape[2], q.device)
            allowed = mask.dense(*size) if mask is not None and masked else None
            q, k, values = ready(q, k, v, score, allowed)
            with no_autocast(q.device):
                q, k, values = _alike(q, k, values)
                added = allowed
                if bias is not None:
                    added = bias.dense(*size).to(torch.promote_types(q.dtype, torch.float32))
                    if allowed is not None:
                        added = torch.where(allowed, added, -math.inf)
                width = max(problem.D, problem.Dv)
                context = F.scaled_dot_product_attention(
                    _padded(q, width),
                    _padded(k, width),
                    _padded(values, width),
                    added,
                    dropout,
                    causal,
                    scale=score.factor(problem.D),
                    enable_gqa=grouped,
                )
                if problem.Dv < width:
                    context = context[..., : problem.Dv]
                return context if context.dtype == v.dtype else context.to(v.dtype)

        return bare if plain and problem.Dv == problem.D else general


def _causal_flag(problem: Problem) -> bool:
    """Whether the mask is causality with a key for every query, and no more: SDPA's own flag (not beside a bias)."""
    s = problem.structure
    if s is None or problem.bias or not s.exact or s.lengths or s.block is not None or problem.Tq != problem.Tk:
        return False
    return s.right == 0 and (s.left is None or s.left >= problem.Tk - 1)


def _needs_tensor(problem: Problem) -> bool:
    """Whether the mask hides something that the causal flag does not say."""
    s = problem.structure
    if s is None or _causal_flag(problem):
        return False
    sees_all_before = s.left is None or s.left >= problem.Tk - 1
    sees_all_after = s.right is None or s.right >= problem.Tq - 1
    return not (s.exact and not s.lengths and s.block is None and sees_all_before and sees_all_after)


def _packed(x: Tensor) -> Tensor:
    """Features next to each other in memory, as the fused path wants them."""
    return x if x.stride(-1) == 1 else x.contiguous()


def _padded(x: Tensor, width: int) -> Tensor:
    """Zero features up to `width`: they add nothing to a dot product."""
    return _packed(x) if x.shape[-1] == width else F.pad(x, (0, width - x.shape[-1]))


def _alike(q: Tensor, k: Tensor, v: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """All three in the widest of their dtypes."""
    if q.dtype == k.dtype == v.dtype:
        return q, k, v
    dtype = torch.promote_types(torch.promote_types(q.dtype, k.dtype), v.dtype)
    return q.to(dtype), k.to(dtype), v.to(dtype)
