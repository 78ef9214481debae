"""Dropout in every kernel that has it: of weights, and in the gradient the same ones."""

import pytest
import torch
from kernel_cases import DROPPING, told

from regard.attend import attend
from regard.equation.mask import Mask
from regard.equation.masks import causal, window
from regard.kernels.plan import kernel


@pytest.mark.parametrize("name", DROPPING)
@pytest.mark.parametrize("mask", [causal(), window(7, 2), None], ids=repr)
def test_dropout_keeps_or_drops_each_weight_and_scales_the_kept(name: str, mask: Mask | None) -> None:
    T, p = 16, 0.4
    q, k = (torch.randn(3, 2, T, T, dtype=torch.float64) for _ in range(2))
    v = torch.eye(T, dtype=torch.float64).expand(3, 2, T, T)  # the context is the weights
    with kernel(name):
        weights = attend(q, k, v, mask=told(mask, name))
        dropped = attend(q, k, v, mask=told(mask, name), dropout=p)
    kept = dropped != 0
    torch.testing.assert_close(dropped[kept], weights[kept] / (1 - p))
    share = kept.sum() / (weights != 0).sum()
    assert abs(share - (1 - p)) < 0.1


@pytest.mark.parametrize("name", DROPPING)
@pytest.mark.parametrize("mask", [causal(), window(7, 2), None], ids=repr)
def test_what_was_dropped_is_dropped_in_the_gradient_too(name: str, mask: Mask | None) -> None:
    T, p = 16, 0.4
    q, k = (torch.randn(3, 2, T, T, dtype=torch.float64, requires_grad=True) for _ in range(2))
    v = torch.eye(T, dtype=torch.float64).repeat(3, 2, 1, 1).requires_grad_()  # the context is the weights
    along = torch.randn(3, 2, T, T, dtype=torch.float64)
    with kernel(name):
        dropped = attend(q, k, v, mask=told(mask, name), dropout=p)
    found = torch.autograd.grad(dropped, (q, k, v), along)
    with kernel("reference"):
        same = attend(q, k, v, mask=mask, after=(dropped.detach() != 0).double() / (1 - p))
    torch.testing.assert_close(dropped, same)
    for a, b in zip(found, torch.autograd.grad(same, (q, k, v), along), strict=True):
        torch.testing.assert_close(a, b, atol=1e-10, rtol=1e-10)
