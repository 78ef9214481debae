"""Layers over grids and pairs, so that the checks of `cases.py`, which draw (batch, time, features), can run them."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class OnARow(nn.Module):
    """A layer over grids, given (batch, time, channels) and lengths: an image one row high, padded on the right."""

    def __init__(self, layer: nn.Module) -> None:
        super().__init__()
        self.layer = layer

    def forward(self, states: Tensor, lengths: Tensor) -> Tensor:
        found = self.layer(states.mT[:, :, None], within(states, lengths)[:, None])
        return found[:, :, 0].mT if found.ndim == 4 else found


def lengths_of(batch: int, time: int) -> Tensor:
    """Some length of at least 1 for each row; 0 where there is no time."""
    return torch.randint(1, time + 1, (batch,)) if time else torch.zeros(batch).long()


def within(states: Tensor, lengths: Tensor) -> Tensor:
    """(batch, time): which positions count."""
    return torch.arange(states.shape[1], device=states.device) < lengths.to(states.device)[:, None]


def softmax_within(e: Tensor, seen: Tensor) -> Tensor:
    """The softmax over the last axis where `seen`; 0 where nothing is."""
    return torch.softmax(e.masked_fill(~seen, -torch.inf), -1).masked_fill(~seen.any(-1, keepdim=True), 0)
