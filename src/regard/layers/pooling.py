"""Attention that nobody asks: a learned vector looks for what matters, and a sequence becomes one vector."""

__all__ = ["AttentionPooling"]

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from regard.attend import attend, attend_with_weights
from regard.equation.reference import Attended
from regard.equation.scores import Additive
from regard.layers.padding import Within, hidden, keys_within, sequence, within


class AttentionPooling(nn.Module):
    """e_s = uᵀ tanh(W h_s + b), α = softmax(e), c = Σ_s α_s h_s: a sequence as one vector.

    This is additive attention whose query has no features: u alone asks, and learns what is worth looking at.
    `features` is the size of h_s, `hidden` that of u; `bias` adds b. A sequence with nothing in it becomes 0.
    Source: Yang 2016 (www.aclweb.org/anthology/N16-1174).
    """

    def __init__(self, features: int, hidden: int, *, bias: bool = True):
        super().__init__()
        self.key = nn.Linear(features, hidden, bias=bias)
        self.u = nn.Parameter(torch.empty(hidden).uniform_(-(hidden**-0.5), hidden**-0.5))

    def forward(
        self, states: Float[Tensor, "batch time features"], lengths: Within | None = None
    ) -> Float[Tensor, "batch features"]:
        """The context c of each sequence, over the positions that `lengths` lets count (default: all).

        Raises ValueError where the shapes do not fit.
        """
        arguments, parts = self._call(states, lengths)
        return attend(*arguments, **parts)[:, 0, 0]

    def attended(self, states: Float[Tensor, "batch time features"], lengths: Within | None = None) -> Attended:
        """Context, weights, scores and log-sum-exp, differentiable, with head and query axes of size 1."""
        arguments, parts = self._call(states, lengths)
        return attend_with_weights(*arguments, **parts)

    def weights(self, *arguments: Any, **named: Any) -> Float[Tensor, "batch time"]:
        """The weights α alone; arguments as for calling the layer."""
        return self.attended(*arguments, **named).weights[:, 0, 0]

    def scores(self, *arguments: Any, **named: Any) -> Float[Tensor, "batch time"]:
        """The scores e alone, −∞ where nothing may be seen; arguments as for calling the layer."""
        return self.attended(*arguments, **named).scores[:, 0, 0]

    def _call(self, states: Tensor, lengths: Tensor | None) -> tuple[tuple[Tensor, Tensor, Tensor], dict]:
        batch, time, device = sequence(states, layer=self.u)
        mask = None
        if lengths is not None:
            counts = within(lengths, batch, time, device)
            states, mask = hidden(states, counts), keys_within(counts)
        keys = states[:, None]
        return (nobody(keys), keys, keys), {"score": asks_alone(self.u, self.key), "mask": mask}


def nobody(keys: Float[Tensor, "batch heads time features"]) -> Float[Tensor, "batch heads 1 0"]:
    """One query, without features: whoever scores must know by himself what he looks for."""
    return keys.new_zeros(*keys.shape[:2], 1, 0)


def asks_alone(u: Float[Tensor, " hidden"], key: nn.Linear) -> Additive:
    """The score uᵀ tanh(W k + b) for the query `nobody`."""
    return Additive(u, key.weight.new_zeros(u.shape[0], 0), key.weight, key.bias)
