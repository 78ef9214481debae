"""Gates over images: SE, ECA and CBAM, which weigh each channel or each position by itself.

Their weights are sigmoids: nothing is asked, nothing competes for a total of 1 and nothing is summed up, so they do not
pass through `attend`. The parts have the same names: `scores` are numbers, `weights` = sigmoid(scores) lie between 0
and 1, and calling a gate gives weights ⊙ h. Pixels that a mask leaves out are 0, and count in no mean and no maximum.
"""

__all__ = ["Cbam", "CbamChannelGate", "CbamSpatialGate", "EfficientChannelAttention", "SqueezeExcitation"]

import math

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from regard.equation.precision import full
from regard.layers.grid import flat, unflat
from regard.layers.padding import fits


class ChannelGate(nn.Module):
    """weights = sigmoid(scores), one a channel, scores from what a channel is over the grid; a subclass says which."""

    def __init__(self, channels: int):
        super().__init__()
        self.channels = channels

    def judge(self, states: Tensor, counts: Tensor | None) -> Tensor:
        """The scores (batch, channels) of flat positions (batch, positions, channels), of which `counts` count."""
        raise NotImplementedError

    def forward(
        self, grid: Float[Tensor, "batch channels *grid"], mask: Bool[Tensor, "batch *grid"] | None = None
    ) -> Float[Tensor, "batch channels *grid"]:
        """weights ⊙ h, of the shape of `grid`. `mask`: True where a pixel belongs to the image.

        Raises ValueError where the shapes do not fit.
        """
        states, counts = self._flat(grid, mask)
        gate = torch.sigmoid(full(self.judge(states, counts)))
        return unflat((gate[:, None] * states).to(grid.dtype), grid)

    def weights(
        self, grid: Float[Tensor, "batch channels *grid"], mask: Bool[Tensor, "batch *grid"] | None = None
    ) -> Float[Tensor, "batch channels"]:
        """The gate alone."""
        return torch.sigmoid(self.scores(grid, mask))

    def scores(
        self, grid: Float[Tensor, "batch channels *grid"], mask: Bool[Tensor, "batch *grid"] | None = None
    ) -> Float[Tensor, "batch channels"]:
        """What the sigmoid gets."""
        return full(self.judge(*self._flat(grid, mask)))

    def _flat(self, grid: Tensor, mask: Tensor | None) -> tuple[Tensor, Tensor | None]:
        states, counts = flat(grid, mask, next(self.parameters()))
        if states.shape[2] != self.channels:
            raise ValueError(f"grid: expected {self.channels} channels, got {states.shape[2]}")
        return states, counts


class SqueezeExcitation(ChannelGate):
    """weights = sigmoid(W_2 relu(W_1 z + b_1) + b_2), z the channels' means over the grid.

    W_1 makes `reduction` times fewer numbers of the `channels`, at least one. Source: Hu 2018 (arXiv 1709.01507).
    """

    def __init__(self, channels: int, reduction: int = 16):
        super().__init__(channels)
        inner = _reduced(channels, reduction)
        self.squeeze, self.excite = nn.Linear(channels, inner), nn.Linear(inner, channels)

    def judge(self, states: Tensor, counts: Tensor | None) -> Tensor:
        """See `ChannelGate.judge`."""
        return self.excite(torch.relu(self.squeeze(_mean(states, counts))))


class EfficientChannelAttention(ChannelGate):
    """weights = sigmoid(conv_k(z)), z the channels' means over the grid: a channel is judged with its k neighbours.

    k is odd; by default it grows with the logarithm of the channels, |log2(C)/2 + 1/2| made odd, at least 3.
    Source: Wang 2020 (arXiv 1910.03151).
    """

    def __init__(self, channels: int, kernel: int | None = None):
        super().__init__(channels)
        if kernel is None:
            whole = int((math.log2(channels) + 1) / 2)
            kernel = max(3, whole if whole % 2 else whole + 1)
        self.conv = nn.Conv1d(1, 1, _odd(kernel), padding=kernel // 2, bias=False)

    def judge(self, states: Tensor, counts: Tensor | None) -> Tensor:
        """See `ChannelGate.judge`."""
        return self.conv(_mean(states, counts)[:, None])[:, 0]


class CbamChannelGate(ChannelGate):
    """weights = sigmoid(W_2 relu(W_1 z) + W_2 relu(W_1 m)), z the channels' means and m their maxima over the grid.

    W_1 makes `reduction` times fewer numbers of the `channels`, at least one. Source: Woo 2018 (arXiv 1807.06521).
    """

    def __init__(self, channels: int, reduction: int = 16):
        super().__init__(channels)
        inner = _reduced(channels, reduction)
        self.squeeze = nn.Linear(channels, inner, bias=False)
        self.excite = nn.Linear(inner, channels, bias=False)

    def judge(self, states: Tensor, counts: Tensor | None) -> Tensor:
        """See `ChannelGate.judge`."""
        mean, most = _mean(states, counts), _maximum(states, counts)
        return self.excite(torch.relu(self.squeeze(mean))) + self.excite(torch.relu(self.squeeze(most)))


class CbamSpatialGate(nn.Module):
    """weights_ij = sigmoid(conv(mean_c h_ij, max_c h_ij)): each position judged with what stands around it.

    `kernel` is the odd side of the square it looks at. Beyond the border, and where a mask leaves a pixel out, the
    convolution reads 0. The author's code has a batch normalisation behind the convolution that the paper's equation
    lacks; at test time it is part of the convolution's weight and bias. Source: Woo 2018 (arXiv 1807.06521).
    """

    def __init__(self, kernel: int = 7):
        super().__init__()
        self.conv = nn.Conv2d(2, 1, _odd(kernel), padding=kernel // 2)

    def forward(
        self,
        grid: Float[Tensor, "batch channels height width"],
        mask: Bool[Tensor, "batch height width"] | None = None,
    ) -> Float[Tensor, "batch channels height width"]:
        """weights ⊙ h, of the shape of `grid`. `mask`: True where a pixel belongs to the image.

        Raises ValueError where the shapes do not fit.
        """
        grid = self._clean(grid, mask)
        return (torch.sigmoid(self._judge(grid)) * grid).to(grid.dtype)

    def weights(
        self,
        grid: Float[Tensor, "batch channels height width"],
        mask: Bool[Tensor, "batch height width"] | None = None,
    ) -> Float[Tensor, "batch height width"]:
        """The gate alone."""
        return torch.sigmoid(self.scores(grid, mask))

    def scores(
        self,
        grid: Float[Tensor, "batch channels height width"],
        mask: Bool[Tensor, "batch height width"] | None = None,
    ) -> Float[Tensor, "batch height width"]:
        """What the sigmoid gets."""
        return self._judge(self._clean(grid, mask))[:, 0]

    def _clean(self, grid: Tensor, mask: Tensor | None) -> Tensor:
        fits(grid, "grid", self.conv.weight)
        if grid.dim() != 4:
            raise ValueError(f"grid: expected (batch, channels, height, width), got shape {tuple(grid.shape)}")
        return grid if mask is None else unflat(flat(grid, mask)[0], grid)

    def _judge(self, grid: Tensor) -> Tensor:
        if not grid.numel():  # PyTorch's convolution wants a pixel
            return full(grid.sum(1, keepdim=True))
        return full(self.conv(torch.cat([grid.mean(1, keepdim=True), grid.amax(1, keepdim=True)], 1)))


class Cbam(nn.Module):
    """The channel gate, then the spatial gate on what it let through. Source: Woo 2018 (arXiv 1807.06521)."""

    def __init__(self, channels: int, reduction: int = 16, kernel: int = 7):
        super().__init__()
        self.channel, self.spatial = CbamChannelGate(channels, reduction), CbamSpatialGate(kernel)

    def forward(
        self,
        grid: Float[Tensor, "batch channels height width"],
        mask: Bool[Tensor, "batch height width"] | None = None,
    ) -> Float[Tensor, "batch channels height width"]:
        """The features, weighed twice. `mask`: True where a pixel belongs to the image."""
        return self.spatial(self.channel(grid, mask), mask)


def _mean(states: Tensor, counts: Tensor | None) -> Tensor:
    """Over the positions that count; 0 where none does. Padding holds 0 already."""
    if counts is None:
        return states.sum(1) / max(states.shape[1], 1)
    return states.sum(1) / counts.sum(1, keepdim=True).clamp(min=1)


def _maximum(states: Tensor, counts: Tensor | None) -> Tensor:
    """Over the positions that count; 0 where none does."""
    if not states.shape[1]:
        return states.sum(1)
    if counts is None:
        return states.amax(1)
    nothing = ~counts.any(1, keepdim=True)
    return states.masked_fill(~counts[..., None], -math.inf).amax(1).masked_fill(nothing, 0)


def _reduced(channels: int, reduction: int) -> int:
    if channels < 1 or reduction < 1:
        raise ValueError(f"channels, reduction: expected 1 or more of each, got {channels} and {reduction}")
    return max(1, channels // reduction)


def _odd(kernel: int) -> int:
    if kernel < 1 or kernel % 2 == 0:
        raise ValueError(f"kernel: expected an odd number of neighbours, got {kernel}")
    return kernel
