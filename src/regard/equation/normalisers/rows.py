"""Rows of scores (..., Tk): which of them are empty, and their log-sum-exp."""

import math

import torch
from torch import Tensor


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
