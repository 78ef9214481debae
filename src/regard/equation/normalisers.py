"""Normalisers: from scores to weights. A normaliser sees -inf where a key is hidden.

An empty row (a query that may attend to nothing) gets weights 0, log-sum-exp -inf and gradients exactly 0. It is
handled before the softmax: zeroing NaN afterwards would leave NaN gradients.
"""

import math
from typing import Protocol

import torch
from torch import Tensor

from regard.equation.looking import may_look


class Normaliser(Protocol):
    """What turns scores e (..., Tk) into weights."""

    name: str
    """With its parameters, if any: part of the plan's key."""

    def weights(self, e: Tensor) -> Tensor:
        """Weights (..., Tk), 0 where e is -inf."""

    def log_prob(self, e: Tensor) -> Tensor:
        """The natural logarithm of the weights, -inf where they are 0."""


class Softmax:
    """weights_i = exp(e_i) / sum_j exp(e_j)."""

    name = "softmax"

    def weights(self, e: Tensor) -> Tensor:
        """See `Normaliser.weights`."""
        empty = empty_rows(e)
        if may_look(empty.device.type) and not empty.any():
            return torch.softmax(e, -1)
        return torch.softmax(e.masked_fill(empty, 0), -1).masked_fill(empty, 0)

    def log_prob(self, e: Tensor) -> Tensor:
        """See `Normaliser.log_prob`."""
        return torch.log_softmax(e.masked_fill(empty_rows(e), 0), -1).masked_fill(e == -math.inf, -math.inf)


def empty_rows(e: Tensor) -> Tensor:
    """(..., 1): which rows hide every key."""
    if not e.shape[-1]:
        return torch.ones((*e.shape[:-1], 1), dtype=torch.bool, device=e.device)
    return e.detach().amax(-1, keepdim=True) == -math.inf


def log_sum_exp(e: Tensor) -> Tensor:
    """(...,): the log-sum-exp of each row, -inf and without gradient where it is empty."""
    empty = empty_rows(e)
    if not e.shape[-1]:
        return e.sum(-1) - math.inf
    return torch.logsumexp(e.masked_fill(empty, 0), -1).masked_fill(empty.squeeze(-1), -math.inf)


_KNOWN: dict[str, Normaliser] = {"softmax": Softmax()}


def as_normaliser(normalise: str | Normaliser) -> Normaliser:
    """A normaliser by its name; an object is itself."""
    if not isinstance(normalise, str):
        if not all(hasattr(normalise, part) for part in ("name", "weights", "log_prob")):
            raise ValueError(
                f"normalise: expected a name, or an object with name, weights and log_prob, got {normalise!r}"
            )
        return normalise
    if normalise not in _KNOWN:
        raise ValueError(f"normalise: expected one of {', '.join(sorted(_KNOWN))}, got {normalise!r}")
    return _KNOWN[normalise]
