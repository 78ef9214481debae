"""What a model answers to one decoding step."""

from typing import Any, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor


class Next(NamedTuple):
    """What the next word could be, the state after it, and where each hypothesis looked.

    Logits, because a search needs the probabilities of few words: log p(w) = logit_w − log Σ_v exp logit_v.
    """

    logits: Float[Tensor, "batch beam vocabulary"]
    state: Any  # as the model's `start` gives
    weights: Float[Tensor, "batch beam source"] | None  # None without attention, or unasked

    @property
    def log_probs(self) -> Float[Tensor, "batch beam vocabulary"]:
        """log p of every word, in at least float32."""
        return torch.log_softmax(self.logits, -1, dtype=torch.promote_types(self.logits.dtype, torch.float32))
