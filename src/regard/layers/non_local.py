"""Non-local attention: every position of an image, or of a video, looks at every other."""

__all__ = ["NonLocalAttention"]

from typing import Any

from jaxtyping import Bool, Float
from torch import Tensor, nn

from regard.attend import attend, attend_with_weights
from regard.equation.reference import Attended
from regard.equation.scores import Dot
from regard.layers.grid import flat, unflat
from regard.layers.padding import both_within


class NonLocalAttention(nn.Module):
    """y_i = Σ_j α_i(j) g(x_j), α_i = softmax_j(scale · θ(x_i)ᵀ φ(x_j)); gives W_z y_i + x_i, i a position of the grid.

    Self-attention on the flattened grid, with what came in added. `channels` is the size of x_i, `inner` that of θ, φ
    and g (default: half of it, Wang's choice); all maps are linear and have no bias. `scale` is 1, as in Wang 2018;
    None is 1/√inner. Positions that `mask` leaves out are 0.
    Source: Wang 2018 (arXiv 1711.07971), the embedded Gaussian form.
    """

    def __init__(self, channels: int, inner: int | None = None, *, scale: float | None = 1.0):
        super().__init__()
        inner = max(1, channels // 2) if inner is None else inner
        if inner < 1:
            raise ValueError(f"inner: expected 1 or more channels, got {inner}")
        self.query, self.key, self.value = (nn.Linear(channels, inner, bias=False) for _ in range(3))
        self.out = nn.Linear(inner, channels, bias=False)
        self.scale = scale

    def forward(
        self, grid: Float[Tensor, "batch channels *grid"], mask: Bool[Tensor, "batch *grid"] | None = None
    ) -> Float[Tensor, "batch channels *grid"]:
        """W_z y + x, of the shape of `grid`. `mask`: True where a pixel belongs to the image.

        Raises ValueError where the shapes do not fit.
        """
        states, arguments, parts = self._call(grid, mask)
        return unflat(self.out(attend(*arguments, **parts)[:, 0]) + states, grid)

    def attended(
        self, grid: Float[Tensor, "batch channels *grid"], mask: Bool[Tensor, "batch *grid"] | None = None
    ) -> Attended:
        """The y_i, weights, scores and log-sum-exp, differentiable, over flat positions, with a head axis of size 1."""
        _, arguments, parts = self._call(grid, mask)
        return attend_with_weights(*arguments, **parts)

    def weights(self, *arguments: Any, **named: Any) -> Float[Tensor, "batch positions positions"]:
        """The weights α_i(j) alone, over flat positions; arguments as for calling the layer."""
        return self.attended(*arguments, **named).weights[:, 0]

    def scores(self, *arguments: Any, **named: Any) -> Float[Tensor, "batch positions positions"]:
        """The scores alone, −∞ where nothing may be seen; arguments as for calling the layer."""
        return self.attended(*arguments, **named).scores[:, 0]

    def _call(self, grid: Tensor, mask: Tensor | None) -> tuple[Tensor, tuple[Tensor, Tensor, Tensor], dict]:
        states, counts = flat(grid, mask, self.query.weight)
        if states.shape[2] != self.query.in_features:
            raise ValueError(f"grid: expected {self.query.in_features} channels, got {states.shape[2]}")
        q, k, v = self.query(states)[:, None], self.key(states)[:, None], self.value(states)[:, None]
        return (
            states,
            (q, k, v),
            {
                "score": Dot(self.scale),
                "mask": None if counts is None else both_within(counts, counts),
            },
        )
