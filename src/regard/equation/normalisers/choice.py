"""One key a query: the best one, one drawn by its softmax weight, and Gumbel-softmax, which is a softened draw.

A draw is made by adding Gumbel noise to the scores: the key that then scores best is key i with probability
softmax(e)_i (Gumbel 1954; Maddison, Tarlow and Minka 2014, arXiv 1411.0030). `noise.py` says where it comes from.
"""

import math

import torch
from torch import Tensor

from regard.equation.noise import gumbel
from regard.equation.normalisers.normaliser import logarithm
from regard.equation.normalisers.rows import empty_rows
from regard.equation.normalisers.softmax import Softmax
from regard.equation.precision import full

_SOFTMAX = Softmax()


class Hard:
    """weight 1 on the key with the highest score, 0 on the others; ties go to the lowest index.

    No gradient reaches the scores, as the weights are constant almost everywhere; with `straight_through` it is
    softmax's. Source: Xu et al. 2015 (arXiv 1502.03044); Bengio, Léonard and Courville 2013 (arXiv 1308.3432).
    """

    def __init__(self, straight_through: bool = False) -> None:
        self.straight_through = straight_through
        self.name = "hard(straight-through)" if straight_through else "hard"

    def weights(self, e: Tensor) -> Tensor:
        """See `Normaliser.weights`."""
        e = full(e)
        return _straight_through(one_hot(e), _SOFTMAX.weights(e)) if self.straight_through else one_hot(e)

    def log_prob(self, e: Tensor) -> Tensor:
        """0 for the key chosen, -inf for the others."""
        return logarithm(self.weights(e))

    def __repr__(self) -> str:
        return f"Hard({'straight_through=True' * self.straight_through})"


class Sample:
    """weight 1 on one key, drawn with probability softmax(e)_i; a new draw at each call, for each query and head.

    No gradient passes the draw: `log_prob`, log softmax(e), is what REINFORCE differentiates.
    Source: Xu et al. 2015 (arXiv 1502.03044).
    """

    name = "sample"
    draws = True

    def weights(self, e: Tensor) -> Tensor:
        """See `Normaliser.weights`."""
        e = full(e).detach()
        return one_hot(e + gumbel(e))

    def log_prob(self, e: Tensor) -> Tensor:
        """log softmax(e): the logarithm of each key's chance to be drawn."""
        return _SOFTMAX.log_prob(e)

    def __repr__(self) -> str:
        return "Sample()"


class Gumbel:
    """weights = softmax((e + g) / temperature), g Gumbel noise: a softened draw from softmax(e) with a gradient.

    The lower the temperature, the nearer to one-hot, and the more the gradient varies. With `straight_through` the
    weights are the one-hot draw itself, and the gradient that of the softened one.
    Source: Jang, Gu and Poole 2017 (arXiv 1611.01144); Maddison, Mnih and Teh 2017 (arXiv 1611.00712).
    """

    draws = True

    def __init__(self, temperature: float = 1.0, straight_through: bool = False) -> None:
        if not isinstance(temperature, (int, float)) or not 0 < temperature < math.inf:
            raise ValueError(f"Gumbel: temperature must be a number above 0, got {temperature!r}")
        self.temperature, self.straight_through = float(temperature), straight_through
        self.name = f"gumbel({self.temperature!r}{', straight-through' * straight_through})"

    def weights(self, e: Tensor) -> Tensor:
        """See `Normaliser.weights`."""
        e = full(e)
        drawn = (e + gumbel(e)) / self.temperature
        soft = _SOFTMAX.weights(drawn)
        return _straight_through(one_hot(drawn), soft) if self.straight_through else soft

    def log_prob(self, e: Tensor) -> Tensor:
        """log softmax(e): the logarithm of each key's chance to win the draw."""
        return _SOFTMAX.log_prob(e)

    def __repr__(self) -> str:
        return f"Gumbel({self.temperature:g}{', straight_through=True' * self.straight_through})"


def one_hot(e: Tensor) -> Tensor:
    """1 on the first of the highest scores of each row, 0 elsewhere and on empty rows; no gradient."""
    if not e.shape[-1]:
        return torch.zeros_like(e)
    e = e.detach()
    first = e.argmax(-1, keepdim=True)  # the first of equal ones, as PyTorch promises
    return torch.zeros_like(e).scatter(-1, first, 1.0).masked_fill(empty_rows(e), 0)


def _straight_through(hard: Tensor, soft: Tensor) -> Tensor:
    """The numbers of `hard` to the last bit, with the gradient of `soft`."""
    return hard + (soft - soft.detach())
