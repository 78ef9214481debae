"""What a model answers to one decoding step."""

from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor


class Next(NamedTuple):
    """What the next word could be, the state after it, and where each hypothesis looked.

    Logits, because a search needs the probabilities of few words: log p(w) = logit_w − log Σ_v exp logit_v. They are
    made when they are asked for, of all sentences or of some, which then fit into the processor's cache.
    """

    readout: Float[Tensor, "batch beam readout"]
    output: Callable[[Tensor], Tensor]  # logits, the asker's to write over, of the readouts of any sentences
    state: Any  # as the model's `start` gives
    weights: Float[Tensor, "batch beam source"] | None  # None without attention, or unasked

    @property
    def logits(self) -> Float[Tensor, "batch beam vocabulary"]:
        """Of all sentences, made anew."""
        return self.output(self.readout)

    @property
    def log_probs(self) -> Float[Tensor, "batch beam vocabulary"]:
        """log p of every word, in at least float32."""
        logits = self.logits
        return torch.log_softmax(logits, -1, dtype=torch.promote_types(logits.dtype, torch.float32))
