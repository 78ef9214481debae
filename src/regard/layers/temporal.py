"""Temporal attention: the time steps of a sequence, or the frames of a video, look at each other."""

__all__ = ["TemporalAttention"]

import math

from jaxtyping import Float
from torch import Tensor, nn

from regard.attend import attend, attend_with_weights
from regard.equation.reference import Attended
from regard.equation.scores import Dot
from regard.layers.padding import Within, both_within, fits, hidden, keys_within, within


class TemporalAttention(nn.Module):
    """α_t(s) = softmax_s(scale · h_tᵀ h_s), c_t = Σ_s α_t(s) h_s, s over the time steps.

    h_t is a step's features, (batch, time, features), or a whole frame of a video, (batch, time, channel, height,
    width), compared as one vector. Every step asks, unless `query` is what asks: then there is one context.
    `scale` is 1; None is 1/√(numbers in h_t), which large frames want, or one frame alone gets all the weight.
    Steps that `lengths` leaves out get context 0. The dual-stage form is `DualStageAttention`.
    Source: Qin 2017 (arXiv 1704.02971).
    """

    def __init__(self, scale: float | None = 1.0):
        super().__init__()
        self.scale = scale

    def forward(
        self,
        states: Float[Tensor, "batch time *step"],
        lengths: Within | None = None,
        *,
        query: Float[Tensor, "batch *step"] | None = None,
    ) -> Float[Tensor, "batch *times_and_step"]:
        """The contexts: the shape of `states`; of `query`, where one asks.

        Raises ValueError unless `states` is a sequence or a video and `query` one step of such.
        """
        (q, k, v), mask = self._call(states, lengths, query)
        context = attend(q, k, v, score=Dot(self.scale), mask=mask)
        return context.reshape(states.shape if query is None else query.shape)

    def attended(
        self,
        states: Float[Tensor, "batch time *step"],
        lengths: Within | None = None,
        *,
        query: Float[Tensor, "batch *step"] | None = None,
    ) -> Attended:
        """Context, weights, scores and log-sum-exp, differentiable, with a head axis of size 1 and flat steps."""
        (q, k, v), mask = self._call(states, lengths, query)
        return attend_with_weights(q, k, v, score=Dot(self.scale), mask=mask)

    def weights(
        self,
        states: Float[Tensor, "batch time *step"],
        lengths: Within | None = None,
        *,
        query: Float[Tensor, "batch *step"] | None = None,
    ) -> Float[Tensor, "batch *times time"]:
        """The weights α alone, (batch, time, time); (batch, time) where one asks."""
        found = self.attended(states, lengths, query=query).weights[:, 0]
        return found if query is None else found[:, 0]

    def scores(
        self,
        states: Float[Tensor, "batch time *step"],
        lengths: Within | None = None,
        *,
        query: Float[Tensor, "batch *step"] | None = None,
    ) -> Float[Tensor, "batch *times time"]:
        """The scores e alone, −∞ where nothing may be seen; the shape of the weights."""
        found = self.attended(states, lengths, query=query).scores[:, 0]
        return found if query is None else found[:, 0]

    def _call(self, states: Tensor, lengths: Tensor | None, query: Tensor | None) -> tuple:
        fits(states, "states")
        if states.dim() not in (3, 5):
            raise ValueError(
                f"states: expected (batch, time, features) or (batch, time, channel, height, width), got shape "
                f"{tuple(states.shape)}"
            )
        batch, time, *step = states.shape
        if query is not None:
            fits(query, "query", states, "states")
        if query is not None and query.shape != (batch, *step):
            raise ValueError(f"query: expected one step {(batch, *step)} a batch row, got shape {tuple(query.shape)}")
        numbers = math.prod(step)
        flat, mask = states.reshape(batch, time, numbers), None
        if lengths is not None:
            counts = within(lengths, batch, time, states.device)
            flat = hidden(flat, counts)
            mask = both_within(counts, counts) if query is None else keys_within(counts)
        keys = flat[:, None]
        return (keys if query is None else query.reshape(batch, 1, 1, numbers), keys, keys), mask
