"""A weight put in order once: the numbers of `F.linear` under autocast, and each row's whoever stands beside it."""

from types import SimpleNamespace

import pytest
import torch
import torch.nn.functional as F

from regard.machine import packed
from regard.machine.packed import LEAST, linear, weights_stay

OPERATORS = ("_linear_pointwise", "_reorder_linear_weight", "_is_mkldnn_bf16_supported")
needs_bfloat16 = pytest.mark.skipif(not packed._can_reorder(), reason="this processor does not multiply bfloat16")


@pytest.fixture
def half():
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16), weights_stay():
        yield


def weights(out=1027, features=144):
    assert out * features >= LEAST
    return torch.nn.Parameter(torch.randn(out, features)), torch.nn.Parameter(torch.randn(out))


@needs_bfloat16
@pytest.mark.parametrize("shape", [(1,), (97,), (3, 5), (40, 5)], ids=str)
@pytest.mark.parametrize("biased", [False, True])
def test_it_is_the_product(half, shape, biased):
    weight, bias = weights()
    bias = bias if biased else None
    x = torch.randn(*shape, 144)
    found, plain = linear(x, weight, bias), F.linear(x, weight, bias)
    exact = F.linear(x.double(), weight.double(), None if bias is None else bias.double())
    assert found.dtype == plain.dtype == torch.bfloat16
    assert found.shape == plain.shape
    assert (found.double() - exact).abs().max() <= 2 * (plain.double() - exact).abs().max()
    assert id(weight) in packed._kept.get()


@needs_bfloat16
def test_a_row_has_its_own_product_in_any_company(half):
    weight, bias = weights()
    x = torch.randn(333, 144)
    whole = linear(x, weight, bias)
    for rows in (slice(0, 1), slice(330, 333), slice(7, 71), slice(5, 290)):
        assert torch.equal(linear(x[rows], weight, bias), whole[rows])


@needs_bfloat16
@pytest.mark.parametrize("fused", [False, True])
def test_a_weight_that_learns_is_not_kept(fused):
    """A fused optimizer counts no version, so nothing tells that the weight is another."""
    weight, bias = weights()
    optimizer = torch.optim.Adam([weight], lr=1.0, fused=fused)
    x = torch.randn(9, 144)
    for _ in range(2):
        with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
            assert torch.equal(linear(x, weight, bias), F.linear(x, weight, bias))
        weight.grad = torch.ones_like(weight)
        optimizer.step()


@needs_bfloat16
def test_what_is_kept_is_given_up_in_the_end():
    weight, bias = weights()
    x = torch.randn(9, 144)
    for _ in range(2):
        with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
            with weights_stay():
                found = linear(x, weight, bias)
                assert torch.equal(linear(x, weight, bias), found)
            assert packed._kept.get() is None
            assert (found.double() - F.linear(x, weight, bias).double()).abs().max() < 1
            weight.mul_(-2)


def test_elsewhere_it_is_pytorchs():
    weight, bias = weights()
    x = torch.randn(7, 144, requires_grad=True)
    assert torch.equal(linear(x, weight, bias), F.linear(x, weight, bias))
    with torch.autocast("cpu", torch.bfloat16):
        found = linear(x, weight, bias)
    found.float().sum().backward()
    assert x.grad is not None
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        assert linear(x[:0], weight, bias).shape == (0, 1027)
    assert packed._kept.get() is None


def test_without_pytorchs_operators_products_are_plain(half, monkeypatch):
    for name in ("_reorder_linear_weight", "_is_mkldnn_bf16_supported"):
        there = SimpleNamespace(**{each: lambda: True for each in OPERATORS if each != name})
        monkeypatch.setattr(packed.torch.ops, "mkldnn", there)
        packed._can_reorder.cache_clear()
        weight, bias = weights()
        x = torch.randn(7, 144)
        assert torch.equal(linear(x, weight, bias), F.linear(x, weight, bias))
    packed._can_reorder.cache_clear()
