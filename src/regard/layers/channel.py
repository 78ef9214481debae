"""Channel attention: which channels of an image's features matter; the channels compete for a total of 1.

The gates that weigh each channel by itself (SE, ECA, CBAM's) are in `gates.py`.
"""

__all__ = ["ChannelAttention"]

from typing import Any

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from regard.attend import attend, attend_with_weights
from regard.equation.reference import Attended
from regard.layers.grid import flat
from regard.layers.pooling import asks_alone, nobody


class ChannelAttention(nn.Module):
    """α_c = softmax_c(uᵀ tanh(W h_c)), h_c channel c's flattened map; gives N · α ⊙ h, N the number of channels.

    W and u are shared by all channels. Where all channels get the same weight nothing changes. `pool` gives
    Σ_c α_c h_c, one map an image. `positions` is the number of pixels of a map, `hidden` the size of u. Pixels that
    `mask` leaves out count as 0.
    Source: the user's form; after Hu 2018 (arXiv 1709.01507).
    """

    def __init__(self, positions: int, hidden: int, *, pool: bool = False):
        super().__init__()
        self.key = nn.Linear(positions, hidden, bias=False)
        self.u = nn.Parameter(torch.empty(hidden).uniform_(-(hidden**-0.5), hidden**-0.5))
        self.pool = pool

    def forward(
        self, grid: Float[Tensor, "batch channels *grid"], mask: Bool[Tensor, "batch *grid"] | None = None
    ) -> Float[Tensor, "batch *channels_grid"]:
        """N · α ⊙ h, of the shape of `grid`; (batch, height, width) with `pool`. `mask`: True where a pixel counts.

        Raises ValueError where the shapes do not fit.
        """
        maps = self._maps(grid, mask)
        if self.pool:
            context = attend(nobody(maps), maps, maps, score=asks_alone(self.u, self.key))
            return context.reshape(grid.shape[0], *grid.shape[2:])
        alpha = self._look(maps).weights[:, :, 0, :, None]
        return (maps.shape[2] * alpha * maps).to(grid.dtype).reshape(grid.shape)

    def attended(
        self, grid: Float[Tensor, "batch channels *grid"], mask: Bool[Tensor, "batch *grid"] | None = None
    ) -> Attended:
        """Σ α h, weights, scores and log-sum-exp, differentiable, over flat maps, with head and query axes of 1."""
        return self._look(self._maps(grid, mask))

    def weights(self, *arguments: Any, **named: Any) -> Float[Tensor, "batch channels"]:
        """The weights α alone; arguments as for calling the layer."""
        return self.attended(*arguments, **named).weights[:, 0, 0]

    def scores(self, *arguments: Any, **named: Any) -> Float[Tensor, "batch channels"]:
        """The scores alone; arguments as for calling the layer."""
        return self.attended(*arguments, **named).scores[:, 0, 0]

    def _look(self, maps: Tensor) -> Attended:
        return attend_with_weights(nobody(maps), maps, maps, score=asks_alone(self.u, self.key))

    def _maps(self, grid: Tensor, mask: Tensor | None) -> Float[Tensor, "batch 1 channels positions"]:
        maps = flat(grid, mask, self.u)[0].mT[:, None]
        if maps.shape[3] != self.key.in_features:
            raise ValueError(
                f"grid: expected maps of {self.key.in_features} positions, got {maps.shape[3]}: {tuple(grid.shape)}"
            )
        return maps
