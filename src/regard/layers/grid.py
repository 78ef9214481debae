"""Grids as sequences: the positions of an image, (batch, channels, height, width), in one row, and back.

A grid may have any number of axes (a video: time, height, width). Images of different size share a batch by padding;
the pixel mask says which positions belong to the image.
"""

import math

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from regard.layers.padding import fits, hidden


def flat(
    grid: Float[Tensor, "batch channels *grid"],
    mask: Bool[Tensor, "batch *grid"] | None = None,
    layer: Tensor | None = None,
) -> tuple[Float[Tensor, "batch positions channels"], Bool[Tensor, "batch positions"] | None]:
    """The grid's positions in one row, with zeros where `mask` is False, and the mask likewise.

    Raises ValueError unless there are channels and a grid, in the format of `layer`, a parameter, where given, and a
    mask of the grid's size.
    """
    fits(grid, "grid", layer)
    if grid.dim() < 3:
        raise ValueError(f"grid: expected (batch, channels, height, width), got shape {tuple(grid.shape)}")
    batch, channels, *sizes = grid.shape
    states = grid.reshape(batch, channels, math.prod(sizes)).mT
    if mask is None:
        return states, None
    if mask.dtype != torch.bool or mask.shape != (batch, *sizes):
        raise ValueError(
            f"mask: expected a bool tensor {(batch, *sizes)}, True where a pixel belongs to the image, got "
            f"{mask.dtype} of shape {tuple(mask.shape)}"
        )
    counts = mask.to(grid.device).reshape(batch, math.prod(sizes))
    return hidden(states, counts), counts


def unflat(
    states: Float[Tensor, "batch positions channels"], grid: Float[Tensor, "batch _ *grid"]
) -> Float[Tensor, "batch channels *grid"]:
    """Positions in one row back on the grid they came from."""
    return states.mT.reshape(grid.shape[0], states.shape[2], *grid.shape[2:])
