"""What a model answers to one decoding step."""

from typing import Any, NamedTuple

from jaxtyping import Float
from torch import Tensor


class Next(NamedTuple):
    """log p(next word), the state after it, and where each hypothesis looked (None without attention, or unasked).

    A word that may not come (padding, a begin mark) has log-probability −inf.
    """

    log_probs: Float[Tensor, "batch beam vocabulary"]
    state: Any  # as the model's `start` gives
    weights: Float[Tensor, "batch beam source"] | None
