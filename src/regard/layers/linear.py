"""Linear attention: each position's features ask sums over all positions, so time and memory grow with T, not T².

    layer = LinearAttention(512, 8, causal=True)
    y = layer(x, lengths=lengths)                 # a sequence attends to itself
    y = layer(x, states, lengths)                 # or to another

Decoding step by step it needs no cache that grows: what it keeps of the past is as large after any number of steps.

    sums = layer.prepare(x_t, after=sums)         # None at the first step
    y_t = layer(x_t, sums)
"""

__all__ = ["LinearAttention"]

import torch
from jaxtyping import Float, Int
from torch import Tensor

from regard.equation.precision import no_autocast
from regard.layers.linear_sums import Sums, add_up, feature_map, linear_attend, linear_weights, read, seen_keys
from regard.layers.padding import blank
from regard.layers.projected import Projected
from regard.layers.source import checked_lengths, refuse_with_memory


class LinearAttention(Projected):
    """Attention of several heads whose weights are products of features, not a softmax of scores.

        c_t = φ(q_t)ᵀ Σ_s φ(k_s) v_sᵀ / φ(q_t)ᵀ Σ_s φ(k_s),   φ(x) = elu(x) + 1,   y = Concat(c of each head) W^O

    **A mechanism of its own, not a fast way to softmax attention**: trained weights of the one do not serve the other.
    The sums over s are the same for all queries, so nothing of size T × T exists; and therefore there is no mask but
    causality and lengths, no bias on a score, and no dropout of weights. It does not pass through `attend`, and
    `regard.watch` does not see it; `weights` computes its weights for who looks.

    Args:
        features: Of the queries and of the result.
        heads: How many, a divisor of `features`.
        causal: Whether no query sees a later key; the last query stands on the last key.
        key: Features of the keys, where not those of the queries.
        value: Features of the values, where not those of the keys.
        bias: Whether the projections have one.
        output: Whether there is W^O; without it the result is the heads' contexts side by side.

    Raises:
        ValueError: Sizes that do not fit each other.

    Source: Katharopoulos 2020 (arXiv 2006.16236).
    """

    def __init__(
        self,
        features: int,
        heads: int,
        *,
        causal: bool = False,
        key: int | None = None,
        value: int | None = None,
        bias: bool = True,
        output: bool = True,
    ):
        super().__init__(features, heads, key=key, value=value, bias=bias, output=output)
        self.causal = causal

    def prepare(
        self,
        states: Float[Tensor, "batch source key_features"],
        lengths: Int[Tensor, " batch"] | None = None,
        *,
        values: Float[Tensor, "batch source value_features"] | None = None,
        after: Sums | None = None,
    ) -> Sums:
        """Sum up a source, once. What lies beyond `lengths` (default: nothing) is never read.

        `values` are the states unless given. With `after`, earlier sums, the new positions are added to them. Raises
        ValueError for shapes that do not fit.
        """
        k, v, lengths = self._keys(states, lengths, values)
        with no_autocast(k.device):
            sums = add_up(*seen_keys(k, v, lengths))
        return sums if after is None else Sums(after.s + sums.s, after.z + sums.z)

    def forward(
        self,
        query: Float[Tensor, "batch queries features"],
        memory: Sums | Float[Tensor, "batch source key_features"] | None = None,
        lengths: Int[Tensor, " batch"] | None = None,
        *,
        values: Float[Tensor, "batch source value_features"] | None = None,
    ) -> Float[Tensor, "batch queries result"]:
        """Attend from `query` to `memory`, or, without one, to itself.

        Args:
            query: (B, Tq, features).
            memory: What `prepare` gave, or keys (B, Tk, key features); none: the query itself.
            lengths: How many positions of each row of the memory are there, (B,). Where the query attends to itself its
                own positions beyond are padding too, and come out as 0.
            values: (B, Tk, value features), where not the keys.

        Returns:
            (B, Tq, features); without W^O as many features as the heads' values have together.

        Raises:
            ValueError: Shapes that do not fit; several queries of a causal layer that ask sums.
        """
        self._check("query", query, self.features)
        if isinstance(memory, Sums):
            refuse_with_memory(lengths=lengths, values=values)
            return self._join(self._read(query, memory).to(query.dtype), None)
        q, k, v, lengths, beyond = self._aim(query, memory, lengths, values)
        return self._join(linear_attend(q, k, v, causal=self.causal, lengths=lengths), beyond)

    def weights(
        self,
        query: Float[Tensor, "batch queries features"],
        memory: Float[Tensor, "batch source key_features"] | None = None,
        lengths: Int[Tensor, " batch"] | None = None,
    ) -> Float[Tensor, "batch heads queries source"]:
        """The weights φ(q_t)·φ(k_s) / Σ of each head, which the layer itself never builds; arguments as for calling."""
        self._check("query", query, self.features)
        q, k, _, lengths, beyond = self._aim(query, memory, lengths, None)
        found = linear_weights(q, k, causal=self.causal, lengths=lengths)
        return found if beyond is None else found.masked_fill(beyond[:, None, :, None], 0)

    def _aim(
        self, query: Tensor, memory: Tensor | None, lengths: Tensor | None, values: Tensor | None
    ) -> tuple[Tensor, Tensor, Tensor, Tensor | None, Tensor | None]:
        """Queries, keys and values of each head, lengths, and which queries are padding."""
        if memory is not None:
            k, v, lengths = self._keys(memory, lengths, values)
            if k.shape[0] != query.shape[0]:
                raise ValueError(f"memory: expected {query.shape[0]} batch rows, as query has, got {k.shape[0]}")
            return self._asks(query), k, v, lengths, None
        if values is not None:
            raise ValueError("values: they belong to a memory, and none was given; without one the query is all three")
        self._check_one_width()
        beyond = None
        if lengths is not None:
            lengths = checked_lengths(lengths, query.shape[0], query.device)
            beyond = _beyond(query, lengths)
            query = blank(query, beyond)
        return *self._project(query), lengths, beyond

    def _keys(
        self, states: Tensor, lengths: Tensor | None, values: Tensor | None
    ) -> tuple[Tensor, Tensor, Tensor | None]:
        """Keys and values of each head, what lies beyond the lengths made harmless before it is projected."""
        self._check("memory", states, self.key_features)
        values = states if values is None else values
        if values is not states:
            self._check("values", values, self.value_features)
        if values.shape[:2] != states.shape[:2]:
            want = f"({states.shape[0]}, {states.shape[1]}, features)"
            raise ValueError(f"values: expected {want}, as memory, got {tuple(values.shape)}")
        if lengths is not None:
            lengths = checked_lengths(lengths, states.shape[0], states.device)
            beyond, own = _beyond(states, lengths), values is states
            states = blank(states, beyond)
            values = states if own else blank(values, beyond)
        return *self._answers(states, values), lengths

    def _read(self, query: Tensor, sums: Sums) -> Tensor:
        if sums.s.shape[0] != query.shape[0]:
            raise ValueError(f"memory: expected {query.shape[0]} batch rows, as query has, got {sums.s.shape[0]}")
        if self.causal and query.shape[1] != 1:
            raise ValueError(
                f"query: sums are the same for every query, so a causal layer asks them one step at a time; expected "
                f"(batch, 1, features), got {tuple(query.shape)}"
            )
        q = self._asks(query)
        with no_autocast(q.device):
            return read(feature_map(q), sums)


def _beyond(x: Tensor, lengths: Tensor) -> Tensor:
    """Which positions (B, T) are padding."""
    return torch.arange(x.shape[1], device=x.device) >= lengths[:, None]
