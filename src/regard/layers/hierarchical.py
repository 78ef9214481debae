"""Hierarchical attention: words make sentences, sentences make a document; each level attends to the one below."""

__all__ = ["HierarchicalAttention"]

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor, nn

from regard.equation.looking import may_look
from regard.equation.reference import Attended
from regard.layers.padding import fits, hidden, within
from regard.layers.pooling import AttentionPooling


class Summary(NamedTuple):
    """A nested sequence as one vector, and what counted in it."""

    context: Float[Tensor, "batch outermost_features"]
    weights: tuple[Tensor, ...]
    """Of each level, the outermost first: (batch, sentences), (batch, sentences, words), ...; each row sums to 1."""
    scores: tuple[Tensor, ...]
    """Likewise, −∞ where nothing may be seen."""


class HierarchicalAttention(nn.Module):
    """α_w = softmax(u_wᵀ tanh(W_w h_w + b_w)), s = Σ α_w h_w; then the same over sentences, and so on outwards.

    `features` gives the size of what each level attends to, the innermost level first, and so how many levels there
    are: [100, 100] is words, then sentences. `hidden` is the size of every u. `bias` adds b, as Yang does; without it
    the form is softmax(uᵀ tanh(W h)). `encoders`, one a level, put context into what is attended to (Yang: a
    bidirectional GRU): each is called with (rows, time, features) and their lengths (rows,), all at least 1.

    Parts with nothing in them (a blank line; padding) have weight 0, and what encodes their level never sees them.
    Source: Yang 2016 (www.aclweb.org/anthology/N16-1174).
    """

    def __init__(
        self,
        features: Sequence[int],
        hidden: int,
        *,
        bias: bool = True,
        encoders: Sequence[nn.Module] | None = None,
    ):
        super().__init__()
        if not features:
            raise ValueError("features: expected the sizes of one level or more, got none")
        if encoders is not None and len(encoders) != len(features):
            raise ValueError(f"encoders: expected {len(features)}, one a level, got {len(encoders)}")
        self.levels = nn.ModuleList(AttentionPooling(size, hidden, bias=bias) for size in features)
        self.encoders = None if encoders is None else nn.ModuleList(encoders)

    def forward(
        self, states: Float[Tensor, "batch *nested features"], lengths: Sequence[Tensor] | None = None
    ) -> Float[Tensor, "batch outermost_features"]:
        """The vector of each batch row.

        Args:
            states: (batch, sentences, words, features), one axis a level, padded to the longest.
            lengths: For each level, the outermost first, how many parts each has: sentences (batch,), words (batch,
                sentences), ...; 0 is allowed. Default: all count.

        Raises:
            ValueError: Shapes that do not fit the levels.
        """
        return self.attended(states, lengths).context

    def attended(
        self, states: Float[Tensor, "batch *nested features"], lengths: Sequence[Tensor] | None = None
    ) -> Summary:
        """The vector, and weights and scores of each level, differentiable."""
        counts = self._counts(states, lengths)
        weights: list[Tensor] = []
        scores: list[Tensor] = []
        something = None
        for level in range(len(self.levels)):
            there = counts.pop() if something is None else counts.pop() & something  # empty parts are not there
            states, of_level = self._sum_up(level, states, there)
            something = there.any(-1)
            weights.insert(0, of_level.weights.reshape(there.shape))
            scores.insert(0, of_level.scores.reshape(there.shape))
        return Summary(states, tuple(weights), tuple(scores))

    def weights(self, *arguments: Any, **named: Any) -> tuple[Tensor, ...]:
        """The weights of each level, the outermost first; arguments as for calling the layer."""
        return self.attended(*arguments, **named).weights

    def scores(self, *arguments: Any, **named: Any) -> tuple[Tensor, ...]:
        """The scores of each level, the outermost first; arguments as for calling the layer."""
        return self.attended(*arguments, **named).scores

    def _sum_up(self, level: int, states: Tensor, counts: Tensor) -> tuple[Tensor, Attended]:
        """The last level of (*outer, time, features) as vectors (*outer, features), and how."""
        rows = counts.flatten(0, -2)
        flat = hidden(states.reshape(*rows.shape, states.shape[-1]), rows)
        if self.encoders is not None:
            flat = _encoded(self.encoders[level], flat, rows)
        pool = self.levels[level]
        assert isinstance(pool, AttentionPooling)
        found = pool.attended(flat, rows)
        return found.context.reshape(*counts.shape[:-1], flat.shape[-1]), found

    def _counts(self, states: Tensor, lengths: Sequence[Tensor] | None) -> list[Tensor]:
        """For each level, the outermost first, which parts are there."""
        depth = len(self.levels)
        fits(states, "states", next(self.parameters()))
        if states.dim() != depth + 2:
            raise ValueError(
                f"states: expected (batch, {'time, ' * depth}features), a time for each of {depth} levels, got shape "
                f"{tuple(states.shape)}"
            )
        if lengths is not None and len(lengths) != depth:
            raise ValueError(f"lengths: expected {depth} tensors, one a level, the outermost first, got {len(lengths)}")
        counts: list[Tensor] = []
        for level in range(depth):
            outer, time = states.shape[: level + 1], states.shape[level + 1]
            given = None if lengths is None else lengths[level]
            if given is not None and given.shape != outer:
                raise ValueError(
                    f"lengths[{level}]: expected whole numbers of shape {tuple(outer)}, got {given.dtype} of shape "
                    f"{tuple(given.shape)}"
                )
            rows = None if given is None else given.flatten()
            here = within(rows, outer.numel(), time, states.device, f"lengths[{level}]").reshape(*outer, time)
            counts.append(here if not counts else here & counts[-1][..., None])
        return counts


def _encoded(encoder: nn.Module, states: Tensor, counts: Tensor) -> Tensor:
    """What the encoder makes of (rows, time, features), given only what counts: rows without holes, none empty."""
    rows, time, features = states.shape
    if not rows * time:
        width = encoder(states.new_zeros(1, 1, features), counts.new_ones(1, dtype=torch.long)).shape[-1]
        return states.new_zeros(rows, time, width)
    lengths = counts.sum(-1).clamp(min=1)  # of nothing one position of zeros is encoded, and nobody reads that
    order = torch.argsort(counts.to(torch.uint8), dim=-1, descending=True, stable=True)  # what counts moves ahead
    ahead, back = torch.take_along_dim(states, order[..., None], 1), torch.argsort(order, dim=-1)[..., None]
    if not may_look(states.device.type):
        return torch.take_along_dim(encoder(ahead, lengths), back, 1)
    there = counts.any(-1).index_fill(0, counts.new_zeros(1, dtype=torch.long), True).nonzero()[:, 0]
    encoded = encoder(ahead[there], lengths[there])  # the others' work is saved
    return torch.take_along_dim(encoded.new_zeros(rows, *encoded.shape[1:]).index_copy(0, there, encoded), back, 1)
