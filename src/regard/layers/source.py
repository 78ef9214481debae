"""Attention over a source: queries look at keys and values that were prepared once and are asked many times.

    memory = layer.prepare(states, lengths)      # once a sentence
    context = layer(query, memory)               # once a decoding step, or for all steps at once

What the layers here share; each mechanism's own file gives its score and, where it has one, its focus.
"""

from typing import NamedTuple, Self

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from regard.attend import attend, attend_with_weights
from regard.equation.biases import Bias
from regard.equation.mask import Mask
from regard.equation.masks import as_mask, padding
from regard.equation.normalisers import Normaliser, Softmax
from regard.equation.precision import autocast
from regard.equation.prepare import Keys
from regard.equation.reference import Attended
from regard.equation.scores import Score

_SOFTMAX = Softmax()


class Memory(NamedTuple):
    """A source as a layer prepared it."""

    keys: Keys
    lengths: Int[Tensor, " batch"]

    @property
    def values(self) -> Float[Tensor, "batch key_heads source features"]:
        """What the weights add up, with zeros beyond the lengths."""
        assert self.keys.values is not None
        return self.keys.values

    def select(self, rows: Int[Tensor, " rows"]) -> Self:
        """Some of the batch rows."""
        lengths = self.lengths[rows]
        mask = None if self.keys.mask is None else padding(lengths)
        return type(self)(Keys(self.keys.k[rows], self.keys.score, self.values[rows], mask), lengths)


class Focus(NamedTuple):
    """What a mechanism adds to the padding mask: which pairs may attend, and a factor on the weights."""

    allowed: Mask | Tensor | None = None  # a rule, or (B, 1, Tq, Tk) bool
    after: Bias | None = None


class SourceAttention(nn.Module):
    """c_t = Σ_s α_t(s) v_s with α_t = softmax_s(score(h_t, k_s)), over the positions within the source's length."""

    def score(self) -> Score:
        """The mechanism's score, holding this layer's parameters."""
        raise NotImplementedError

    def focus(self, query: Tensor, memory: Memory, position: Tensor | None) -> Focus:
        """Where the mechanism looks at all; everywhere unless it says otherwise."""
        return Focus()

    def normaliser(self) -> Normaliser:
        """What turns scores into weights; softmax unless the mechanism says otherwise."""
        return _SOFTMAX

    def prepare(
        self,
        states: Float[Tensor, "batch source features"],
        lengths: Int[Tensor, " batch"] | None = None,
        *,
        values: Float[Tensor, "batch source value_features"] | None = None,
    ) -> Memory:
        """Do once what concerns the source alone. What lies beyond `lengths` (default: nothing) is never read.

        `values` are what the weights add up: the states unless given. Raises ValueError if `states` is not (batch,
        source, features), `values` have other positions, or `lengths` is not one whole number a row.
        """
        if states.dim() != 3:
            raise ValueError(f"states: expected (batch, source, features), got shape {tuple(states.shape)}")
        batch, width, _ = states.shape
        score = self.score()
        values = states if values is None else values
        if not states.is_floating_point():
            raise ValueError(f"states: expected floating point, got {states.dtype}")
        check_kind("states", states, score.tensors[0] if score.tensors else states)
        check_kind("values", values, states, "the states are")
        if values.shape[:-1] != (batch, width):
            raise ValueError(f"values: expected ({batch}, {width}, features), as states, got {tuple(values.shape)}")
        if lengths is None:
            lengths = torch.full((batch,), width, device=states.device)
        lengths = checked_lengths(lengths, batch, states.device)
        return Memory(score.prepare(states[:, None], values[:, None], padding(lengths)), lengths)

    def forward(
        self,
        query: Float[Tensor, "batch steps query_features"],
        memory: Memory | Float[Tensor, "batch source features"],
        lengths: Int[Tensor, " batch"] | None = None,
        *,
        values: Float[Tensor, "batch source value_features"] | None = None,
        mask: Mask | Bool[Tensor, "..."] | None = None,
        position: Int[Tensor, "batch steps"] | None = None,
    ) -> Float[Tensor, "batch steps value_features"]:
        """The contexts c_t. `memory` is what `prepare` gave, or the states themselves with their `lengths`.

        `values` are what the weights add up, where not the states. `mask`, a rule or a bool tensor, says further which
        query may attend to which position (True: may). `position` numbers the steps for a mechanism that counts them
        (local-m); default 0, 1, 2, ...
        """
        memory, focus = self._aim(query, memory, lengths, values, mask, position)
        return attend(query[:, None], memory.keys, memory.values, **focus)[:, 0]

    def attended(
        self,
        query: Float[Tensor, "batch steps query_features"],
        memory: Memory | Float[Tensor, "batch source features"],
        lengths: Int[Tensor, " batch"] | None = None,
        *,
        values: Float[Tensor, "batch source value_features"] | None = None,
        mask: Mask | Bool[Tensor, "..."] | None = None,
        position: Int[Tensor, "batch steps"] | None = None,
    ) -> Attended:
        """Context, weights, scores and log-sum-exp, differentiable, each with a head axis of size 1."""
        memory, focus = self._aim(query, memory, lengths, values, mask, position)
        return attend_with_weights(query[:, None], memory.keys, memory.values, **focus)

    def weights(self, *arguments: object, **named: object) -> Float[Tensor, "batch steps source"]:
        """The weights α alone; arguments as for calling the layer."""
        return self.attended(*arguments, **named).weights[:, 0]  # type: ignore[arg-type]

    def scores(self, *arguments: object, **named: object) -> Float[Tensor, "batch steps source"]:
        """The scores e alone, −∞ where nothing may be seen; arguments as for calling the layer."""
        return self.attended(*arguments, **named).scores[:, 0]  # type: ignore[arg-type]

    def _aim(
        self,
        query: Tensor,
        memory: Memory | Tensor,
        lengths: Tensor | None,
        values: Tensor | None,
        mask: Mask | Tensor | None,
        position: Tensor | None,
    ) -> tuple[Memory, dict]:
        if query.dim() != 3:
            raise ValueError(f"query: expected (batch, steps, features), got shape {tuple(query.shape)}")
        if isinstance(memory, Tensor):
            memory = self.prepare(memory, lengths, values=values)
        else:
            refuse_with_memory(lengths=lengths, values=values)
        check_kind("query", query, memory.values, "the memory is")
        focus = self.focus(query, memory, position)
        mask = None if mask is None else as_mask(mask)
        if focus.allowed is not None:
            mask = as_mask(focus.allowed) if mask is None else mask & as_mask(focus.allowed)
        return memory, {"mask": mask, "after": focus.after, "normalise": self.normaliser()}


def checked_lengths(lengths: Tensor, batch: int, device: torch.device) -> Tensor:
    """The lengths on the device; raises ValueError unless they are one whole number a batch row."""
    if not isinstance(lengths, Tensor) or lengths.shape != (batch,) or lengths.is_floating_point():
        shape = f"{lengths.dtype} of shape {tuple(lengths.shape)}" if isinstance(lengths, Tensor) else repr(lengths)
        raise ValueError(f"lengths: expected {batch} whole numbers, one a batch row, in a tensor, got {shape}")
    return lengths.to(device)


def check_kind(name: str, x: Tensor, own: Tensor, owner: str = "the layer is") -> None:
    """Raise ValueError unless x has the dtype (autocast aside) and the device of `own`, a parameter or an input."""
    if x.device != own.device:
        raise ValueError(f"{name}: expected on {own.device}, where {owner}, got on {x.device}")
    if x.dtype != own.dtype and not (autocast(x.device) and x.is_floating_point()):
        raise ValueError(f"{name}: expected {own.dtype}, as {owner}, got {x.dtype}")


def refuse_with_memory(**given: object) -> None:
    """Raise ValueError for arguments that belong to preparing a memory, given with a prepared one."""
    for name, value in given.items():
        if value is not None:
            raise ValueError(f"{name}: the memory was prepared with its {name} already; leave them out")
