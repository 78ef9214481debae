"""What ranks finished hypotheses: the formulas of `Decoding`, and how far an unfinished one could still get."""

import torch
from jaxtyping import Float, Int
from torch import Tensor

from regard.errors import UserError

UNREAD = 1e-6  # the least that a source word counts as read: its logarithm stays finite


def score(log_prob: float, words: int, length_penalty: float) -> float:
    """log p / n^α: `words` is n, the end included."""
    return log_prob / words**length_penalty


def best_to_come(log_prob: float, limit: int, length_penalty: float) -> float:
    """No output that begins with this hypothesis can score more, coverage included, at any length up to `limit`.

    log p only falls, n^α only grows, and a sum of logarithms of at most 1 is at most 0.
    """
    return min(log_prob, 0.0) / limit**length_penalty


def coverage(
    read: Float[Tensor, "batch beam source"], lengths: Int[Tensor, " batch"], weight: float
) -> Float[Tensor, "batch beam"]:
    """β Σ_s log min(max(read_s, 10⁻⁶), 1) over the sentence's own words; `read` is Σ_t α_t (Wu 2016, equation 14)."""
    within = torch.arange(read.shape[-1], device=read.device) < lengths[:, None, None]
    return weight * read.clamp(UNREAD, 1.0).log().masked_fill(~within, 0.0).sum(-1)


def attention_of(weights: Tensor | None) -> Tensor:
    """The weights of a step that needs them; UserError if the model has no attention."""
    if weights is None:
        raise UserError("coverage_penalty: it weighs attention, and this model has none; leave it 0")
    return weights
