"""Penalties on attention weights: numbers to add to a loss."""

__all__ = ["doubly_stochastic"]

import torch
from jaxtyping import Float, Int
from torch import Tensor

from regard.equation.reference import Attended


def doubly_stochastic(
    found: Attended, lengths: Int[Tensor, " batch"] | None = None, *, strength: float = 1.0
) -> Float[Tensor, "batch heads"]:
    """Asks that each position be looked at as much as any other in the course of all steps: λ Σ_s (1 − Σ_t α_t(s))².

    Softmax makes Σ_s α_t(s) = 1 at each step t; this pulls Σ_t α_t(s) towards 1 for each position s.

    Args:
        found: What `attended` or `attend_with_weights` gave, over all steps t at once.
        lengths: How many steps of each batch row count, where the others are padding.
        strength: λ.

    Returns:
        The penalty of each batch row and head, summed over the positions that some step that counts may see. Add its
        mean to the loss.

    Source: Xu 2015 (arXiv 1502.03044), section 4.2.1.
    """
    weights, seen = found.weights, found.scores > -torch.inf
    if lengths is not None:
        steps = torch.arange(weights.shape[2], device=weights.device) < lengths.to(weights.device)[:, None]
        weights = torch.where(steps[:, None, :, None], weights, 0)
        seen = seen & steps[:, None, :, None]
    missing = torch.where(seen.any(2), 1 - weights.sum(2), 0)
    return strength * missing.square().sum(-1)
