"""Dropout whose mask costs an eighth of the random numbers: on a CPU drawing them is what dropout costs.

`torch.nn.Dropout` draws one random number a feature, in one thread; a recurrent network spends a tenth of its training
there. Here each 64-bit number gives eight bytes, and a feature is dropped where its byte is below 256 p: p is rounded
to the nearest 1/256, and what is kept is scaled by exactly what that keeps, so the expectation is unchanged.
"""

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn


class Dropout(nn.Module):
    """x ⊙ m / (1 − p), m = 0 with probability p; nothing in evaluation. Source: Srivastava 2014."""

    def __init__(self, p: float):
        super().__init__()
        self.p = p

    def forward(self, x: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
        """Drop features in training."""
        below = round(256 * self.p)
        if not self.training or not below:
            return x
        if x.device.type != "cpu":
            return F.dropout(x, below / 256)
        words = torch.empty(-(-x.numel() // 8), dtype=torch.int64).random_(-(2**63), None)
        kept = words.view(torch.uint8)[: x.numel()].view(x.shape) >= below
        return x * kept.to(x.dtype).mul_(256 / (256 - below))
