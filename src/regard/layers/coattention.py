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
from regard.equation.scores import Dot, Score
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
        both = self._calls(first, second, first_lengths, second_lengths)
        return Pair(*(attend(*arguments, **parts)[:, 0] for arguments, parts in both))

    def attended(
        self,
        first: Float[Tensor, "batch first_time features"],
        second: Float[Tensor, "batch second_time features"],
        first_lengths: Within | None = None,
        second_lengths: Within | None = None,
    ) -> tuple[Attended, Attended]:
        """Context, weights, scores and log-sum-exp of both directions, each with a head axis of size 1."""
        both = self._calls(first, second, first_lengths, second_lengths)
        found, other = (attend_with_weights(*arguments, **parts) for arguments, parts in both)
        return found, other

    def weights(self, *arguments: Any, **named: Any) -> Pair:
        """The weights (batch, first, second) and (batch, second, first); arguments as for calling the layer."""
        return Pair(*(x.weights[:, 0] for x in self.attended(*arguments, **named)))

    def scores(self, *arguments: Any, **named: Any) -> Float[Tensor, "batch first_time second_time"]:
        """The affinity matrix A, −∞ where nothing may be seen; arguments as for calling the layer."""
        return self.attended(*arguments, **named)[0].scores[:, 0]

    def _calls(
        self, first: Tensor, second: Tensor, first_lengths: Tensor | None, second_lengths: Tensor | None
    ) -> list[tuple[tuple[Tensor, Tensor, Tensor], dict[str, Any]]]:
        """The arguments of `attend` for each direction."""
        a, b = _clean("first", first, first_lengths), _clean("second", second, second_lengths)
        fits(second, "second", first, "first")
        if first.shape[::2] != second.shape[::2]:
            raise ValueError(
                f"second: expected {first.shape[0]} batch rows and {first.shape[2]} features, as first has, got shape "
                f"{tuple(second.shape)}"
            )
        score, whole = Dot(self.scale), a.mask is None and b.mask is None
        return [
            (
                (asks.states[:, None], seen.states[:, None], seen.states[:, None]),
                {"score": score, "mask": None if whole else both_within(asks.counts, seen.counts)},
            )
            for asks, seen in ((a, b), (b, a))
        ]


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
        v = _clean("first", first, first_lengths, self.first.weight)
        q = _clean("second", second, second_lengths, self.second.weight)
        _same_rows(v, q)
        # (B, T, N); 0 where a side is padding, for its states are 0
        affinity = torch.tanh(q.states @ self.affinity(v.states).mT)
        to_v, to_q = self.first(v.states), self.second(q.states)
        h_v = torch.tanh(to_v + affinity.mT @ to_q)
        h_q = torch.tanh(to_q + affinity @ to_v)
        asked = ((self.ask_first, h_v), (self.ask_second, h_q))
        ask_v, ask_q = (ask.to(h.dtype).expand(h.shape[0], -1) for ask, h in asked)
        return _sum_up(ask_v, h_v, v, Dot(1.0)), _sum_up(ask_q, h_q, q, Dot(1.0))


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
        v = _clean("first", first, first_lengths, self.over_first.key.weight)
        q = _clean("second", second, second_lengths, self.over_second.key.weight)
        _same_rows(v, q)
        s = self.summary(q.states, None if q.mask is None else q.counts)
        found_first = _sum_up(s, v.states, v, self.over_first.score())
        return found_first, _sum_up(found_first.context[:, 0, 0], q.states, q, self.over_second.score())


class _Modality(NamedTuple):
    """States with zeros for padding, which positions count, and the mask that says so; None where all do."""

    states: Tensor
    counts: Tensor
    mask: Mask | None


def _clean(name: str, states: Tensor, lengths: Tensor | None, projection: Tensor | None = None) -> _Modality:
    """A modality made harmless; `projection` is the matrix it will meet."""
    counts = within(lengths, *sequence(states, name, projection), name=f"{name}_lengths")
    if projection is not None and projection.shape[1] != states.shape[2]:
        raise ValueError(f"{name}: expected {projection.shape[1]} features, got {states.shape[2]}")
    if lengths is None:
        return _Modality(states, counts, None)
    return _Modality(hidden(states, counts), counts, keys_within(counts))


def _same_rows(first: _Modality, second: _Modality) -> None:
    rows, given = first.states.shape[0], second.states.shape[0]
    if rows != given:
        raise ValueError(f"second: expected {rows} batch rows, as first has, got {given}")


def _sum_up(query: Tensor, keys: Tensor, of: _Modality, score: Score) -> Attended:
    """One query (B, features) a batch row sums up a modality by its keys (B, time, features)."""
    return attend_with_weights(query[:, None, None], keys[:, None], of.states[:, None], score=score, mask=of.mask)
