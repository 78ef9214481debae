"""Multi-head attention: several attentions side by side, each on its own projection of queries, keys and values.

    layer = MultiHeadAttention(512, 8)
    y = layer(x, lengths=lengths)                         # a sequence attends to itself
    memory = layer.prepare(states, lengths)               # once a source ...
    y = layer(x, memory)                                  # ... asked many times

Decoding step by step, a memory that grows is the key/value cache; it is never changed, `prepare` makes a longer one:

    memory = layer.prepare(x_t, after=memory)             # None at the first step
    y_t = layer(x_t, memory)
"""

__all__ = ["MultiHeadAttention"]

from collections.abc import Sequence
from typing import Any, NamedTuple, Self

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from regard.attend import attend, attend_with_weights
from regard.equation.biases import Bias, as_bias
from regard.equation.looking import may_look
from regard.equation.mask import Mask
from regard.equation.masks import as_mask, dense, padding
from regard.equation.prepare import Keys
from regard.equation.reference import Attended
from regard.equation.scores import Dot
from regard.layers.padding import blank, harmless, hides_whole_positions, unread
from regard.layers.positions import Positions
from regard.layers.projected import Projected
from regard.layers.source import Memory, checked_lengths, refuse_with_memory

_DOT = Dot()


class _Asked(NamedTuple):
    """A call, projected: what `attend` takes, and which positions are padding that asks nothing."""

    q: Tensor
    k: Tensor | Keys
    v: Tensor
    parts: dict[str, Any]
    beyond: Tensor | None


class MultiHeadAttention(Projected):
    """Attention of several heads, each with its own projections, their contexts side by side through one more.

        head_i = softmax(Q W_i^Q (K W_i^K)ᵀ / √D + bias) V W_i^V,   y = Concat(head_1, ..., head_h) W^O

    With fewer `key_heads` than heads, each of them serves a group of query heads; with one, all (multi-query).

    Args:
        features: Of the queries and of the result.
        heads: How many; each has `head_features` = features / heads unless said.
        key_heads: Heads of keys and values, a divisor of `heads`; as many unless said (Shazeer 2019, Ainslie 2023).
        key: Features of the keys, where not those of the queries.
        value: Features of the values, where not those of the keys.
        head_features: D, of a head's queries and keys.
        value_head_features: Of a head's values, where not `head_features`.
        bias: Whether the projections have one.
        output: Whether there is W^O; without it the result is the heads' contexts side by side.
        positions: `Rotary()`, `Alibi(heads)` or `T5Relative(heads)`; without, order counts for nothing.
        dropout: The probability with which a weight is dropped in training.

    Raises:
        ValueError: Sizes that do not fit each other.

    Masks are regard's: **True means: may attend**. `nn.MultiheadAttention` means the opposite; `from_torch` takes its
    weights, `regard.layers.torch_masks` its masks. Source: Vaswani 2017 (arXiv 1706.03762).
    """

    always: Mask | None = None
    """A mask in force at every call."""

    def __init__(
        self,
        features: int,
        heads: int,
        *,
        key_heads: int | None = None,
        key: int | None = None,
        value: int | None = None,
        head_features: int | None = None,
        value_head_features: int | None = None,
        bias: bool = True,
        output: bool = True,
        positions: Positions | None = None,
        dropout: float = 0.0,
    ):
        super().__init__(
            features,
            heads,
            key_heads=key_heads,
            key=key,
            value=value,
            head_features=head_features,
            value_head_features=value_head_features,
            bias=bias,
            output=output,
        )
        if not 0 <= dropout < 1:
            raise ValueError(f"dropout: expected a probability, 0 or more and below 1, got {dropout}")
        self.dropout, self.positions = dropout, positions

    @classmethod
    def from_torch(cls, module: nn.MultiheadAttention) -> Self:
        """This layer with the weights, sizes, dropout, dtype and device of torch's.

        **Its masks mean the opposite**: True hides there and admits here; `torch_masks` converts. Shapes here are
        always (batch, time, features), whatever the module's `batch_first`. Raises ValueError for what has no equal
        here (`add_bias_kv`, `add_zero_attn`).
        """
        if module.bias_k is not None or module.add_zero_attn:
            raise ValueError(
                "module: made with add_bias_kv or add_zero_attn, expected neither: they have no equal here"
            )
        sizes = {"key": module.kdim, "value": module.vdim}
        if set(sizes.values()) == {module.embed_dim}:
            sizes = {}
        biased = module.in_proj_bias is not None
        ours = cls(module.embed_dim, module.num_heads, bias=biased, output=True, dropout=module.dropout, **sizes)
        ours.to(device=module.out_proj.weight.device, dtype=module.out_proj.weight.dtype).train(module.training)
        with torch.no_grad():
            for mine, theirs in ours._beside(module):
                mine.copy_(theirs)
        return ours

    def _beside(self, module: nn.MultiheadAttention) -> list[tuple[Tensor, Tensor]]:
        """Our parameters, each with its equal in torch's module."""
        assert self.output is not None
        pairs: list[tuple[Any, Any]] = [
            (self.output.weight, module.out_proj.weight),
            (self.output.bias, module.out_proj.bias),
        ]
        if self.joint is not None:
            pairs += [(self.joint.weight, module.in_proj_weight), (self.joint.bias, module.in_proj_bias)]
        else:
            theirs = (module.q_proj_weight, module.k_proj_weight, module.v_proj_weight)
            biases = (None,) * 3 if module.in_proj_bias is None else module.in_proj_bias.chunk(3)
            for mine, weight, bias in zip((self.query, self.key, self.value), theirs, biases, strict=True):
                pairs += [(mine.weight, weight), (mine.bias, bias)]
        return [(mine, theirs) for mine, theirs in pairs if mine is not None]

    def prepare(
        self,
        states: Float[Tensor, "batch source key_features"],
        lengths: Int[Tensor, " batch"] | None = None,
        *,
        values: Float[Tensor, "batch source value_features"] | None = None,
        after: Memory | None = None,
    ) -> Memory:
        """Do once what concerns keys and values alone. What lies beyond `lengths` (default: nothing) is never read.

        `values` are the states unless given. With `after`, an earlier memory, the new positions follow its own: a
        key/value cache. Neither is changed. `memory.select(rows)` keeps some batch rows, or reorders them.

        Raises ValueError for shapes that do not fit, and where positions count but `after` has padding in the middle.
        """
        values = states if values is None else values
        self._check("memory", states, self.key_features)
        if values is not states:
            self._check("values", values, self.value_features)
        batch, time, _ = states.shape
        if values.shape[:2] != (batch, time):
            raise ValueError(f"values: expected ({batch}, {time}, features), as memory, got {tuple(values.shape)}")
        within = None
        if lengths is not None:
            lengths = checked_lengths(lengths, batch, states.device)
            beyond = torch.arange(time, device=states.device) >= lengths[:, None]
            states, values = _blanked(beyond, states, values)
            within = ~beyond[:, None, None]
        else:
            lengths = torch.full((batch,), time, device=states.device)
        k, v = self._answers(states, values)
        if self.positions is not None:
            k = self.positions.turn(k, 0 if after is None else after.keys.k.shape[2])
        if after is not None:
            return self._following(after, k, v, within, lengths)
        return Memory(Keys(k, _DOT, v, None if within is None else dense(within)), lengths)

    def _following(self, after: Memory, k: Tensor, v: Tensor, within: Tensor | None, lengths: Tensor) -> Memory:
        """The earlier memory with more keys and values behind its own."""
        before = after.keys.mask
        if before is not None and self.positions is not None:
            raise ValueError(
                "after: it was prepared with lengths, and positions count: the new ones would stand behind its "
                "padding; put padding first and hide it with mask= when asking"
            )
        mask = None
        if before is not None or within is not None:
            earlier = k.new_ones(k.shape[0], 1, 1, after.keys.k.shape[2], dtype=torch.bool)
            earlier = earlier if before is None else before.tensors[0]
            within = k.new_ones(k.shape[0], 1, 1, k.shape[2], dtype=torch.bool) if within is None else within
            mask = dense(torch.cat([earlier, within], 3))
        keys = Keys(torch.cat([after.keys.k, k], 2), _DOT, torch.cat([after.values, v], 2), mask)
        return Memory(keys, after.lengths + lengths)

    def forward(
        self,
        query: Float[Tensor, "batch queries features"],
        memory: Memory | Float[Tensor, "batch source key_features"] | None = None,
        lengths: Int[Tensor, " batch"] | None = None,
        *,
        values: Float[Tensor, "batch source value_features"] | None = None,
        mask: Mask | Bool[Tensor, "..."] | None = None,
        bias: Bias | Float[Tensor, "..."] | None = None,
    ) -> Float[Tensor, "batch queries result"]:
        """Attend from `query` to `memory`, or, without one, to itself.

        Args:
            query: (B, Tq, features).
            memory: What `prepare` gave, or keys (B, Tk, key features); none: the query itself.
            lengths: How many positions of each row of the memory are there, (B,). Where the query attends to itself its
                own positions beyond are padding too, and come out as 0.
            values: (B, Tk, value features), where not the keys.
            mask: A rule such as `causal()`, or a bool tensor that broadcasts to (B, H, Tq, Tk). True: may attend.
            bias: A rule or a tensor like it, added to the scores.

        Returns:
            (B, Tq, features); without W^O as many features as the heads' values have together.

        Raises:
            ValueError: Shapes that do not fit.
        """
        asked = self._aim(query, memory, lengths, values, mask, bias)
        dropout = self.dropout if self.training else 0.0
        return self._join(attend(asked.q, asked.k, asked.v, dropout=dropout, **asked.parts), asked.beyond)

    def attended(
        self,
        query: Float[Tensor, "batch queries features"],
        memory: Memory | Float[Tensor, "batch source key_features"] | None = None,
        lengths: Int[Tensor, " batch"] | None = None,
        *,
        values: Float[Tensor, "batch source value_features"] | None = None,
        mask: Mask | Bool[Tensor, "..."] | None = None,
        bias: Bias | Float[Tensor, "..."] | None = None,
    ) -> Attended:
        """Context, weights, scores and log-sum-exp of each head, (B, H, Tq, .), differentiable and without dropout.

        Arguments as for calling the layer, which puts the heads' contexts side by side and through W^O.
        """
        asked = self._aim(query, memory, lengths, values, mask, bias)
        parts = asked.parts
        if asked.beyond is not None:  # padding asks nothing
            within = dense(~asked.beyond[:, None, :, None])
            parts["mask"] = within if parts["mask"] is None else parts["mask"] & within
        return attend_with_weights(asked.q, asked.k, asked.v, **parts)

    def weights(self, *arguments: object, **named: object) -> Float[Tensor, "batch heads queries source"]:
        """The weights α of each head, never averaged; arguments as for calling the layer."""
        return self.attended(*arguments, **named).weights  # type: ignore[arg-type]

    def scores(self, *arguments: object, **named: object) -> Float[Tensor, "batch heads queries source"]:
        """The scores e of each head, −∞ where nothing may be seen; arguments as for calling the layer."""
        return self.attended(*arguments, **named).scores  # type: ignore[arg-type]

    def packed(
        self,
        x: Float[Tensor, "total features"],
        lengths: Sequence[int],
        *,
        mask: Mask | None = None,
        bias: Bias | None = None,
    ) -> Float[Tensor, "total result"]:
        """Sequences of these lengths, one behind the other without padding, each attending to itself alone.

        `mask` and `bias` are rules for every one of them. Equals running each alone; the cost is the sum of theirs.
        (`layer(x[None], mask=documents(ids))` gives the same at the cost of one sequence as long as all.)
        """
        if x.dim() != 2 or sum(lengths) != x.shape[0]:
            raise ValueError(f"x: expected ({sum(lengths)}, features), the sum of lengths, got {tuple(x.shape)}")
        self._check("x", x[None], self.features)
        if not len(lengths):
            return self._join(self._project(x[None])[2].new_zeros(1, self.heads, 0, self.value_width), None)[0]
        parts = self._parts(mask, bias)
        dropout = self.dropout if self.training else 0.0
        each = zip(*(part.split(list(lengths), 2) for part in self._project(x[None])), strict=True)
        contexts = [attend(*self._turned(q, k), v, dropout=dropout, **parts) for q, k, v in each]
        return self._join(torch.cat(contexts, 2), None)[0]

    def _aim(
        self,
        query: Tensor,
        memory: Memory | Tensor | None,
        lengths: Tensor | None,
        values: Tensor | None,
        mask: Mask | Tensor | None,
        bias: Bias | Tensor | None,
    ) -> _Asked:
        """Checks, padding made harmless, projections, positions."""
        self._check("query", query, self.features)
        parts = self._parts(mask, bias)
        if memory is None:
            return self._aim_at_itself(query, lengths, values, parts)
        if isinstance(memory, Memory):
            refuse_with_memory(lengths=lengths, values=values)
        else:
            if parts["mask"] is not None:
                values = memory if values is None else values
                query, memory, values = self._readable(parts["mask"], query, memory, values)
            memory = self.prepare(memory, lengths, values=values)
        k = memory.keys.k
        if k.shape[0] != query.shape[0]:
            raise ValueError(f"memory: expected {query.shape[0]} batch rows, as query has, got {k.shape[0]}")
        q = self._asks(query)
        if self.positions is not None:
            q = self.positions.turn(q, k.shape[2] - q.shape[2])
        return _Asked(q, memory.keys, memory.values, parts, None)

    def _aim_at_itself(self, x: Tensor, lengths: Tensor | None, values: Tensor | None, parts: dict) -> _Asked:
        if values is not None:
            raise ValueError("values: they belong to a memory, and none was given; without one the query is all three")
        self._check_one_width()
        mask, beyond = parts["mask"], None
        if mask is not None and hides_whole_positions(mask, x.shape[1], x.shape[1]) and not harmless(x):
            blind, unseen = unread(mask, self.heads, x.shape[0], x.shape[1], x.shape[1], x.device)
            x = blank(x, blind & unseen)
        if lengths is not None:
            lengths = checked_lengths(lengths, x.shape[0], x.device)
            beyond = torch.arange(x.shape[1], device=x.device) >= lengths[:, None]
            if may_look(x.device.type) and not beyond.any():
                lengths = beyond = None
            else:
                x = blank(x, beyond)
        q, k, v = self._project(x)
        q, k = self._turned(q, k)
        if lengths is None:
            return _Asked(q, k, v, parts, beyond)
        if mask is None:  # what padding became is harmless: `attend` need not look again
            return _Asked(q, Keys(k, _DOT, v, padding(lengths)), v, parts, beyond)
        return _Asked(q, k, v, parts | {"mask": mask & padding(lengths)}, beyond)

    def _parts(self, mask: Mask | Tensor | None, bias: Bias | Tensor | None) -> dict[str, Any]:
        """This call's mask and bias with the layer's own."""
        mask = None if mask is None else as_mask(mask)
        if self.always is not None:
            mask = self.always if mask is None else self.always & mask
        bias = None if bias is None else as_bias(bias)
        of_positions = None if self.positions is None else self.positions.bias()
        if of_positions is not None:
            bias = of_positions if bias is None else of_positions + bias
        return {"mask": mask, "bias": bias}

    def _readable(self, mask: Mask, query: Tensor, memory: Tensor, values: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """All three with zeros at positions that the mask keeps out of everything."""
        sizes = query.shape[0], query.shape[1], memory.shape[1]
        if not hides_whole_positions(mask, *sizes[1:]) or harmless(query, memory, values):
            return query, memory, values
        blind, unseen = unread(mask, self.heads, *sizes, query.device)
        return blank(query, blind), *_blanked(unseen, memory, values)

    def _turned(self, q: Tensor, k: Tensor) -> tuple[Tensor, Tensor]:
        return (q, k) if self.positions is None else (self.positions.turn(q, 0), self.positions.turn(k, 0))


def _blanked(unread: Tensor, keys: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
    """Both with zeros where nobody reads; still one tensor where they are one."""
    blanked = blank(keys, unread)
    return blanked, blanked if values is keys else blank(values, unread)
