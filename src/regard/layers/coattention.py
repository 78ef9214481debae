"""Co-attention: two modalities, say an image and a question, look at each other.

Three forms: `CoAttention`, one affinity matrix read in both directions; Lu's `ParallelCoAttention`, where the affinity
also shapes what is looked for; and his `AlternatingCoAttention`, question, image, question in turn. A modality is
(batch, time, features); an image's positions are in one row. `lengths` say how many count, or which (a bool tensor).
"""

__all__ = ["AlternatingCoAttention", "CoAttention", "ParallelCoAttention"]

from abc import abstractmethod
from typing import Any, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor, nn

from regard.attend import attend, attend_with_weights
from regard.equation.mask import Mask
from regard.equation.reference import Attended
from regard.equation.scores import Dot
from regard.layers.additive import AdditiveAttention
from regard.layers.padding import Within, both_within, fits, hidden, keys_within, sequence, within
from regard.layers.pooling import AttentionPooling


class Pair(NamedTuple):
    """One thing for each of the two modalities."""

    first: Tensor
    second: Tensor


class CoAttention(nn.Module):
    """A[t, s] = scale · a_tᵀ b_s, read in both directions: by rows for a's steps, by columns for b's.

        c_t = Σ_s softmax_s(A[t, :])(s) b_s,   d_s = Σ_t softmax_t(A[:, s])(t) a_t

    Both modalities have the same number of features; the layer has no parameters. `scale` is 1; None is 1/√features.
    Source: the user's form; after Lu 2016 (arXiv 1606.00061).
    """

    def __init__(self, scale: float | None = 1.0):
        super().__init__()
        self.scale = scale

    def forward(
        self,
        first: Float[Tensor, "batch first_time features"],
        second: Float[Tensor, "batch second_time features"],
        first_lengths: Within | None = None,
        second_lengths: Within | None = None,
    ) -> Pair:
        """What each step found in the other modality: contexts (batch, first, ·) and (batch, second, ·).

        Raises ValueError where the shapes do not fit.
        """
        a, b, of_first, of_second = self._call(first, second, first_lengths, second_lengths)
        score = Dot(self.scale)
        return Pair(
            attend(a, b, b, score=score, mask=of_first)[:, 0], attend(b, a, a, score=score, mask=of_second)[:, 0]
        )

    def attended(
        self,
        first: Float[Tensor, "batch first_time features"],
        second: Float[Tensor, "batch second_time features"],
        first_lengths: Within | None = None,
        second_lengths: Within | None = None,
    ) -> tuple[Attended, Attended]:
        """Context, weights, scores and log-sum-exp of both directions, each with a head axis of size 1."""
        a, b, of_first, of_second = self._call(first, second, first_lengths, second_lengths)
        score = Dot(self.scale)
        return (
            attend_with_weights(a, b, b, score=score, mask=of_first),
            attend_with_weights(b, a, a, score=score, mask=of_second),
        )

    def weights(self, *arguments: Any, **named: Any) -> Pair:
        """The weights (batch, first, second) and (batch, second, first); arguments as for calling the layer."""
        return Pair(*(x.weights[:, 0] for x in self.attended(*arguments, **named)))

    def scores(self, *arguments: Any, **named: Any) -> Float[Tensor, "batch first_time second_time"]:
        """The affinity matrix A, −∞ where nothing may be seen; arguments as for calling the layer."""
        return self.attended(*arguments, **named)[0].scores[:, 0]

    def _call(
        self, first: Tensor, second: Tensor, first_lengths: Tensor | None, second_lengths: Tensor | None
    ) -> tuple[Tensor, Tensor, Mask | None, Mask | None]:
        first, of_first = _clean("first", first, first_lengths)
        second, of_second = _clean("second", second, second_lengths)
        fits(second, "second", first, "first")
        if first.shape[::2] != second.shape[::2]:
            raise ValueError(
                f"second: expected {first.shape[0]} batch rows and {first.shape[2]} features, as first has, got shape "
                f"{tuple(second.shape)}"
            )
        a, b = first[:, None], second[:, None]
        if first_lengths is None and second_lengths is None:
            return a, b, None, None
        return a, b, both_within(of_first, of_second), both_within(of_second, of_first)


class _SummedUp(nn.Module):
    """What Lu's two forms share: a vector for each modality, with the weights that made it."""

    def forward(
        self,
        first: Float[Tensor, "batch first_time first_features"],
        second: Float[Tensor, "batch second_time second_features"],
        first_lengths: Within | None = None,
        second_lengths: Within | None = None,
    ) -> Pair:
        """The two vectors (batch, first features) and (batch, second features).

        Raises ValueError where the shapes do not fit.
        """
        return Pair(*(x.context[:, 0, 0] for x in self.attended(first, second, first_lengths, second_lengths)))

    @abstractmethod
    def attended(
        self, first: Tensor, second: Tensor, first_lengths: Within | None = None, second_lengths: Within | None = None
    ) -> tuple[Attended, Attended]:
        """Context, weights, scores and log-sum-exp of both sums, each with head and query axes of size 1."""

    def weights(self, *arguments: Any, **named: Any) -> Pair:
        """The weights (batch, first) and (batch, second) alone; arguments as for calling the layer."""
        return Pair(*(x.weights[:, 0, 0] for x in self.attended(*arguments, **named)))

    def scores(self, *arguments: Any, **named: Any) -> Pair:
        """The scores likewise, −∞ where nothing may be seen; arguments as for calling the layer."""
        return Pair(*(x.scores[:, 0, 0] for x in self.attended(*arguments, **named)))


class ParallelCoAttention(_SummedUp):
    """Both modalities at once, each summed up with the other in mind; V the first, Q the second, states as columns.

        C = tanh(Qᵀ W_b V),   H_v = tanh(W_v V + (W_q Q) C),   H_q = tanh(W_q Q + (W_v V) Cᵀ)
        a_v = softmax(w_hvᵀ H_v),   a_q = softmax(w_hqᵀ H_q),   v = Σ_n a_v(n) V_n,   q = Σ_t a_q(t) Q_t

    `first` and `second` are the numbers of features, `hidden` is that of H. C and the H stand outside `attend`: C
    multiplies as it is, nothing normalises it. The two sums pass through it, w_hv and w_hq asking.
    Source: Lu 2016 (arXiv 1606.00061), equations 3 to 5.
    """

    def __init__(self, first: int, second: int, hidden: int):
        super().__init__()
        self.affinity = nn.Linear(first, second, bias=False)
        self.first, self.second = nn.Linear(first, hidden, bias=False), nn.Linear(second, hidden, bias=False)
        bound = hidden**-0.5
        self.ask_first = nn.Parameter(torch.empty(hidden).uniform_(-bound, bound))
        self.ask_second = nn.Parameter(torch.empty(hidden).uniform_(-bound, bound))

    def attended(
        self,
        first: Float[Tensor, "batch first_time first_features"],
        second: Float[Tensor, "batch second_time second_features"],
        first_lengths: Within | None = None,
        second_lengths: Within | None = None,
    ) -> tuple[Attended, Attended]:
        """Context, weights, scores and log-sum-exp of both sums, each with head and query axes of size 1."""
        v, of_first = _clean("first", first, first_lengths, self.first.weight)
        q, of_second = _clean("second", second, second_lengths, self.second.weight)
        _same_rows(v, q)
        affinity = torch.tanh(q @ self.affinity(v).mT)  # (B, T, N); 0 where a side is padding, for its states are 0
        to_v, to_q = self.first(v), self.second(q)
        h_v = torch.tanh(to_v + affinity.mT @ to_q)
        h_q = torch.tanh(to_q + affinity @ to_v)
        return (
            _sum_up(self.ask_first, h_v, v, None if first_lengths is None else keys_within(of_first)),
            _sum_up(self.ask_second, h_q, q, None if second_lengths is None else keys_within(of_second)),
        )


class AlternatingCoAttention(_SummedUp):
    """Question, image, question: each is summed up with what the one before found; Q the second, V the first.

        x̂ = A(X; g):  H = tanh(W_x X + W_g g),  a = softmax(w_hᵀ H),  x̂ = Σ_i a(i) X_i
        s = A(Q; 0),   v̂ = A(V; s),   q̂ = A(Q; v̂)

    A is additive attention asked by g, and each of the three has its own weights. `first` and `second` are the numbers
    of features, `hidden` is that of H. Source: Lu 2016 (arXiv 1606.00061), equation 6.
    """

    def __init__(self, first: int, second: int, hidden: int):
        super().__init__()
        self.summary = AttentionPooling(second, hidden, bias=False)
        self.over_first = AdditiveAttention(second, first, hidden)
        self.over_second = AdditiveAttention(first, second, hidden)

    def attended(
        self,
        first: Float[Tensor, "batch first_time first_features"],
        second: Float[Tensor, "batch second_time second_features"],
        first_lengths: Within | None = None,
        second_lengths: Within | None = None,
    ) -> tuple[Attended, Attended]:
        """Context, weights, scores and log-sum-exp of the second and third sum, with head and query axes of size 1."""
        v, of_first = _clean("first", first, first_lengths, self.over_first.key.weight)
        q, of_second = _clean("second", second, second_lengths, self.over_second.key.weight)
        _same_rows(v, q)
        s = self.summary(q, None if second_lengths is None else of_second)
        found_first = _asked(self.over_first, s, v, None if first_lengths is None else keys_within(of_first))
        found_second = _asked(
            self.over_second,
            found_first.context[:, 0, 0],
            q,
            None if second_lengths is None else keys_within(of_second),
        )
        return found_first, found_second


def _clean(
    name: str, states: Tensor, lengths: Tensor | None, projection: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """The states with zeros for padding, and which positions count; `projection` is the matrix they will meet."""
    counts = within(lengths, *sequence(states, name, projection), name=f"{name}_lengths")
    if projection is not None and projection.shape[1] != states.shape[2]:
        raise ValueError(f"{name}: expected {projection.shape[1]} features, got {states.shape[2]}")
    return (states if lengths is None else hidden(states, counts)), counts


def _same_rows(first: Tensor, second: Tensor) -> None:
    if first.shape[0] != second.shape[0]:
        raise ValueError(f"second: expected {first.shape[0]} batch rows, as first has, got {second.shape[0]}")


def _sum_up(ask: Tensor, keys: Tensor, values: Tensor, mask: Mask | None) -> Attended:
    """Σ softmax(askᵀ keys) values."""
    q = ask.to(keys.dtype).expand(keys.shape[0], 1, 1, -1)
    return attend_with_weights(q, keys[:, None], values[:, None], score=Dot(1.0), mask=mask)


def _asked(by: AdditiveAttention, query: Tensor, states: Tensor, mask: Mask | None) -> Attended:
    """Additive attention of one query a batch row over states."""
    keys = states[:, None]
    return attend_with_weights(query[:, None, None], keys, keys, score=by.score(), mask=mask)
