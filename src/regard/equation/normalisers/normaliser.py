"""What a normaliser is. It sees -inf where a key is hidden, and all -inf where a query may attend to nothing."""

import math
from typing import Protocol

import torch
from torch import Tensor


class Normaliser(Protocol):
    """What turns scores e (..., Tk) into weights.

    An empty row (a query that may attend to nothing) gets weights 0 and gradients exactly 0. That is seen to before
    normalising: zeroing NaN afterwards would leave NaN gradients.
    """

    name: str
    """With its parameters, if any: part of the plan's key.

    One that reads tensors (`Softmax` with a sink) has them in `tensors` as well, so that a plan knows of gradients.
    One that draws has `draws = True` and takes its noise from `noise.py`: a kernel that computes in parts draws each
    part's noise again for the gradient. Without it, the gradient would be that of another draw.
    """

    def weights(self, e: Tensor) -> Tensor:
        """Weights (..., Tk), 0 where e is -inf; at least float32."""

    def log_prob(self, e: Tensor) -> Tensor:
        """The natural logarithm of the weights, -inf where they are 0; of a drawn weight, that of its chance."""


def logarithm(weights: Tensor) -> Tensor:
    """log(weights), with -inf and no gradient where they are 0."""
    zero = weights == 0
    return torch.where(zero, 1.0, weights).log().masked_fill(zero, -math.inf)
