"""Softmax, over every key or over the best few: each key seen has a weight above 0."""

import math

import torch
from torch import Tensor

from regard.equation.looking import may_look
from regard.equation.normalisers.rows import empty_rows
from regard.equation.precision import full


class Softmax:
    """weights_i = exp(e_i) / sum_j exp(e_j)."""

    name = "softmax"

    def weights(self, e: Tensor) -> Tensor:
        """See `Normaliser.weights`."""
        e = full(e)
        empty = empty_rows(e)
        if may_look(empty.device.type) and not empty.any():
            return torch.softmax(e, -1)
        return torch.softmax(e.masked_fill(empty, 0), -1).masked_fill(empty, 0)

    def log_prob(self, e: Tensor) -> Tensor:
        """See `Normaliser.log_prob`."""
        e = full(e)
        return torch.log_softmax(e.masked_fill(empty_rows(e), 0), -1).masked_fill(e == -math.inf, -math.inf)


class TopK:
    """Softmax over the k best keys of each query, weight 0 on the others; ties go to the lowest index.

    Rows that see no more than k keys are softmax's. The choice of keys carries no gradient.
    Source: Gupta et al. 2021 (arXiv 2106.06899); Zhao et al. 2019 (arXiv 1912.11637).
    """

    def __init__(self, k: int) -> None:
        if not isinstance(k, int) or isinstance(k, bool) or k < 1:
            raise ValueError(f"TopK: k must be a whole number of keys, 1 or more, got {k!r}")
        self.k = k
        self.name = f"top-{k}"

    def weights(self, e: Tensor) -> Tensor:
        """See `Normaliser.weights`."""
        return _SOFTMAX.weights(best(full(e), self.k))

    def log_prob(self, e: Tensor) -> Tensor:
        """See `Normaliser.log_prob`."""
        return _SOFTMAX.log_prob(best(full(e), self.k))

    def __repr__(self) -> str:
        return f"TopK({self.k})"


def best(e: Tensor, k: int) -> Tensor:
    """The scores with -inf in the place of all but the k highest of each row; of equal ones the first are kept."""
    if k >= e.shape[-1]:
        return e
    last = e.detach().topk(k).values[..., -1:]  # the k-th highest
    above, level = e > last, e == last
    room = k - above.sum(-1, keepdim=True)
    return e.masked_fill(~(above | level & (level.cumsum(-1) <= room)), -math.inf)


_SOFTMAX = Softmax()
