"""Sigmoid: each key is weighed on its own, so weights need not sum to 1."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from regard.equation.precision import full


class Sigmoid:
    """weights_i = 1 / (1 + exp(-e_i)).

    A row's sum grows with its keys: a bias of -log(number of keys) starts it near 1 (Ramapuram et al. 2024,
    arXiv 2409.04431).
    """

    name = "sigmoid"

    def weights(self, e: Tensor) -> Tensor:
        """See `Normaliser.weights`."""
        return torch.sigmoid(full(e))

    def log_prob(self, e: Tensor) -> Tensor:
        """See `Normaliser.log_prob`."""
        e = full(e)
        hidden = e == -math.inf
        return F.logsigmoid(e.masked_fill(hidden, 0)).masked_fill(hidden, -math.inf)

    def __repr__(self) -> str:
        return "Sigmoid()"
