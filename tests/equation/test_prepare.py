"""Prepared keys: what holds beside the mask they were prepared with."""

import math

import pytest
import torch

from regard.attend import attend
from regard.equation.masks import padding
from regard.equation.scores import Dot, General


@pytest.mark.parametrize("filler", [math.nan, math.inf, 3e38])
@pytest.mark.parametrize("score", [Dot(), General(torch.eye(4))], ids=repr)
def test_a_hidden_query_spoils_no_prepared_key(filler: float, score: Dot | General) -> None:
    found = []
    for fill in (0.0, filler):
        q, k = torch.ones(2, 1, 5, 4), torch.arange(40.0).view(2, 1, 5, 4)
        q[1, :, 3:] = fill
        q.requires_grad_(), k.requires_grad_()
        keys = score.prepare(k, k, padding([5, 3]))
        out = attend(q, keys, keys.values, mask=padding([5, 5], queries=[5, 3]))
        found.append((out, *torch.autograd.grad(out.sum(), (q, k))))
    for clean, dirty in zip(*found, strict=True):
        assert torch.equal(clean, dirty)
