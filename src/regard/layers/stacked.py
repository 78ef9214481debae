"""Several linear maps of one input, computed in one product."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class Stacked(nn.Module):
    """x W_1ᵀ + b_1, x W_2ᵀ + b_2, ...: the rows of `weight` are those of W_1, then W_2, ...; `widths` counts them.

    Each W starts as Glorot and Bengio (2010) have it, by its own size; each b at 0.
    """

    def __init__(self, features: int, widths: Sequence[int], bias: bool = True):
        super().__init__()
        self.widths = list(widths)
        self.weight = nn.Parameter(torch.empty(sum(widths), features))
        self.bias = nn.Parameter(torch.zeros(sum(widths))) if bias else None
        for part in self.weight.detach().split(self.widths):
            nn.init.xavier_uniform_(part)

    def forward(self, x: Tensor, first: int = 0, last: int | None = None) -> tuple[Tensor, ...]:
        """The maps `first`, ..., `last` - 1 of x (..., features): all of them unless said."""
        widths = self.widths[first:last]
        if len(widths) == len(self.widths):
            return F.linear(x, self.weight, self.bias).split(widths, -1)
        begin = sum(self.widths[:first])
        rows = slice(begin, begin + sum(widths))
        return F.linear(x, self.weight[rows], None if self.bias is None else self.bias[rows]).split(widths, -1)

    def extra_repr(self) -> str:
        """The sizes."""
        return f"{self.weight.shape[1]}, {self.widths}, bias={self.bias is not None}"
