"""Softmax over the k best keys, against PyTorch's attention under the mask of those keys."""

import math

import pytest
import torch
import torch.nn.functional as F

from regard.attend import attend
from regard.equation.masks import causal
from regard.equation.normalisers import Softmax, TopK

INF = math.inf


@pytest.mark.parametrize("k", [1, 3, 11, 40])
def test_it_is_dense_attention_with_the_mask_of_the_best_keys(k: int) -> None:
    q, key, v = (torch.randn(2, 3, 11, 4, dtype=torch.float64, requires_grad=True) for _ in range(3))
    e = (q @ key.mT).detach().masked_fill(~causal().dense(2, 3, 11, 11), -INF)
    allowed = torch.zeros_like(e, dtype=torch.bool).scatter(-1, e.topk(min(k, 11)).indices, True) & (e > -INF)
    found = attend(q, key, v, mask=causal(), normalise=TopK(k))
    expected = F.scaled_dot_product_attention(q, key, v, allowed)
    torch.testing.assert_close(found, expected, atol=1e-10, rtol=0)
    for a, b in zip(*(torch.autograd.grad(x.square().sum(), (q, key, v)) for x in (found, expected)), strict=True):
        torch.testing.assert_close(a, b, atol=1e-10, rtol=0)


def test_of_equal_keys_the_first_are_kept() -> None:
    e = torch.tensor([[1.0, 1.0, 2.0, 1.0], [0.0, 0.0, 0.0, 0.0], [5.0, -INF, -INF, 4.0]])
    kept = TopK(2).weights(e) > 0
    assert kept.tolist() == [[True, False, True, False], [True, True, False, False], [True, False, False, True]]


def test_with_fewer_keys_than_k_it_is_softmax() -> None:
    e = torch.randn(3, 5)
    assert torch.equal(TopK(5).weights(e), Softmax().weights(e))


@pytest.mark.plain
@pytest.mark.parametrize("k", [0, -1, 2.0, True])
def test_k_is_a_whole_number(k: object) -> None:
    with pytest.raises(ValueError, match="k must be a whole number of keys"):
        TopK(k)  # type: ignore[arg-type]
