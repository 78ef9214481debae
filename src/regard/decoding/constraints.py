"""What an output must begin with and what it must not repeat: words that may not come get −∞ before the choice.

Blocking takes words away; it does not raise the others: a hypothesis keeps the model's own log p.
"""

from collections.abc import Sequence

import torch
from jaxtyping import Float, Int
from torch import Tensor

from regard.data.batches import pad
from regard.data.tokenizer import BOS, PAD


class Constraints:
    """The prefixes of a batch's sentences, and the length of the n-grams that come once.

    Where a prefix repeats itself the prefix wins; what it holds counts for what comes after.
    """

    def __init__(self, prefixes: Sequence[Sequence[int]] | None, no_repeat: int, device: torch.device):
        self.no_repeat = no_repeat
        self.forced = pad(prefixes or []).to(device)  # PAD where a sentence is free

    def restrict(
        self,
        logits: Float[Tensor, "batch beam vocabulary"],
        rows: Int[Tensor, " batch"],
        said: Int[Tensor, "batch beam words"] | None,
        step: int,
    ) -> None:
        """Write −∞ over what may not come at this step, in place; padding and begin marks never may.

        `said` are the words before; they are asked for only where `no_repeat` is set.
        """
        forced = self.forced[rows, step] if step < self.forced.shape[1] else None
        before = logits.clone() if forced is not None else logits
        logits[..., [PAD, BOS]] = -torch.inf
        if self.no_repeat and said is not None and said.shape[-1] >= self.no_repeat:
            _block(logits, said, self.no_repeat)
        if forced is not None:
            _force(logits, before, forced)


def _block(logits: Tensor, said: Tensor, n: int) -> None:
    """Every word that would complete an n-gram said before."""
    grams = said.unfold(-1, n, 1)  # (batch, beam, places, n)
    begun = said[..., None, said.shape[-1] - n + 1 :]  # the n − 1 words before the next
    again = (grams[..., :-1] == begun).all(-1)
    logits.scatter_(-1, torch.where(again, grams[..., -1], PAD), -torch.inf)  # PAD is blocked anyhow


def _force(logits: Tensor, before: Tensor, forced: Tensor) -> None:
    """Nothing but the forced word, with the logit it had before blocking, where there is one."""
    bound = (forced != PAD).nonzero().flatten()
    words = forced[bound, None, None].expand(-1, logits.shape[1], 1)
    alone = torch.full_like(logits[bound], -torch.inf)
    logits[bound] = alone.scatter(-1, words, before[bound].gather(-1, words))
