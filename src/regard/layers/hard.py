"""Hard attention: all of a query's attention on one position, and three ways to learn where."""

__all__ = ["HardAttention"]

from typing import Literal, get_args

from torch import Tensor

from regard.equation.normalisers import Gumbel, Hard, Normaliser, Sample
from regard.equation.scores import Score
from regard.layers.dot import DotAttention
from regard.layers.source import Focus, Memory, SourceAttention

Learning = Literal["straight-through", "gumbel", "reinforce"]
_ARGMAX = Hard()


class HardAttention(SourceAttention):
    """α_t(s) = 1 at s = argmax e_t(s), else 0, ties to the lowest s; c_t = h_s: Xu 2015 (arXiv 1502.03044).

    In evaluation always the argmax, which lets no gradient through to the scores. In training weights are one-hot too,
    and `learn` says how the scores get a gradient:

    - "straight-through": the argmax, with the gradient that softmax's weights would have had (Bengio 2013);
    - "gumbel": a draw from softmax(e), with the gradient of the softened draw softmax((e + g) / temperature), g Gumbel
      noise (Jang 2017, arXiv 1611.01144);
    - "reinforce": a draw from softmax(e) and no gradient through it: `regard.layers.reinforce` makes a loss of
      `attended(...)` and a reward.

    Args:
        scored_by: The attention whose scores e and whose window it takes: `AdditiveAttention(...)` or another; its
            parameters become this layer's. `DotAttention()` unless given: e_t(s) = h_tᵀ h_s. A factor that it puts on
            its weights (local-p's Gaussian) multiplies the one-hot weights too.
        learn: As above.
        temperature: For "gumbel".

    Called as every attention over a source: `layer(query, memory)`. Raises ValueError for an unknown `learn`.
    """

    def __init__(
        self,
        scored_by: SourceAttention | None = None,
        *,
        learn: Learning = "straight-through",
        temperature: float = 1.0,
    ):
        super().__init__()
        if learn not in get_args(Learning):
            raise ValueError(f"learn: expected one of {', '.join(get_args(Learning))}, got {learn!r}")
        self.scored_by = DotAttention() if scored_by is None else scored_by
        ways: dict[str, Normaliser] = {
            "straight-through": Hard(straight_through=True),
            "gumbel": Gumbel(temperature, straight_through=True),
            "reinforce": Sample(),
        }
        self.in_training = ways[learn]

    def score(self) -> Score:
        """The score of `scored_by`."""
        return self.scored_by.score()

    def focus(self, query: Tensor, memory: Memory, position: Tensor | None) -> Focus:
        """Where `scored_by` looks at all."""
        return self.scored_by.focus(query, memory, position)

    def normaliser(self) -> Normaliser:
        """The argmax, or in training what `learn` says."""
        return self.in_training if self.training else _ARGMAX
