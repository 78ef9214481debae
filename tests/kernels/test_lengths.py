"""Padding by rows of their own, against PyTorch's SDPA with the same padding as a dense mask, in float64."""

import math

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from regard import General, attend, causal, kernel, padding, plan
from regard.equation.mask import Mask

LENGTHS = torch.tensor([7, 3, 3, 0, 5])


def draw(H: int = 4, Hk: int = 2, Tq: int = 7, Tk: int = 7, D: int = 8, Dv: int = 6, dtype=torch.float64) -> list:
    torch.manual_seed(0)
    sizes = ((5, H, Tq, D), (5, Hk, Tk, D), (5, Hk, Tk, Dv))
    return [torch.randn(*size, dtype=dtype, requires_grad=True) for size in sizes]


def dense(q: Tensor, k: Tensor, v: Tensor, is_causal: bool) -> Tensor:
    """The truth; rows without keys 0."""
    allowed = (torch.arange(k.shape[2]) < LENGTHS[:, None])[:, None, None].expand(-1, 1, q.shape[2], -1)
    if is_causal:
        allowed = allowed & torch.ones(q.shape[2], k.shape[2]).tril().bool()
    k, v = (x.repeat_interleave(q.shape[1] // x.shape[1], 1) for x in (k, v))
    e = (q @ k.mT / math.sqrt(q.shape[-1])).masked_fill(~allowed, -1e300)
    return (e.softmax(-1) * allowed.any(-1, keepdim=True)) @ v


@pytest.mark.parametrize("is_causal", [False, True])
@pytest.mark.parametrize("Hk", [1, 2, 4])
def test_it_agrees_with_a_dense_mask(is_causal: bool, Hk: int) -> None:
    q, k, v = draw(Hk=Hk)
    mask: Mask = padding(LENGTHS) & causal() if is_causal else padding(LENGTHS)
    with kernel("lengths"):
        out = attend(q, k, v, mask=mask)
    truth = dense(q, k, v, is_causal)
    assert (out - truth).abs().max() < 1e-12
    g = torch.randn_like(out)
    for ours, theirs in zip(
        torch.autograd.grad(out, (q, k, v), g), torch.autograd.grad(truth, (q, k, v), g), strict=True
    ):
        assert (ours - theirs).abs().max() < 1e-12


def test_rows_without_keys_are_zero_with_gradients_exactly_zero() -> None:
    q, k, v = draw()
    with kernel("lengths"):
        out = attend(q, k, v, mask=padding(torch.zeros(5, dtype=torch.long)))
    assert torch.equal(out, torch.zeros(5, 4, 7, 6, dtype=out.dtype))
    for gradient in torch.autograd.grad(out, (q, k, v), torch.ones_like(out)):
        assert torch.equal(gradient, torch.zeros_like(gradient))


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_what_lies_beyond_the_length_changes_no_bit(bad: float) -> None:
    q, k, v = draw()
    spoilt = [x.detach().clone().requires_grad_() for x in (q, k, v)]
    with torch.no_grad():
        for x in spoilt[1:]:
            x.masked_fill_((torch.arange(7) >= LENGTHS[:, None])[:, None, :, None], bad)
    with kernel("lengths"):
        out, again = attend(q, k, v, mask=padding(LENGTHS)), attend(*spoilt, mask=padding(LENGTHS))
    assert torch.equal(out, again)
    g = torch.randn_like(out)
    for ours, theirs in zip(torch.autograd.grad(out, (q, k, v), g), torch.autograd.grad(again, spoilt, g), strict=True):
        assert torch.equal(ours, theirs)


def test_projected_scores_mixed_formats_and_strides() -> None:
    q, k, v = (x.detach().float() for x in draw())
    mask, score = padding(LENGTHS), General(torch.randn(8, 8))
    with kernel("lengths"):
        ours = attend(q.mT.contiguous().mT, k, v, mask=mask, score=score)
        with torch.autocast("cpu", torch.bfloat16):
            low = attend(q, k, v.bfloat16(), mask=mask)
    with kernel("reference"):
        assert (ours - attend(q, k, v, mask=mask, score=score)).abs().max() < 1e-5
        with torch.autocast("cpu", torch.bfloat16):
            assert (low - attend(q, k, v.bfloat16(), mask=mask)).abs().max() < 0.05


def test_which_calls_it_takes() -> None:
    q, k, v = (torch.empty(2, 8, 512, 64) for _ in range(3))
    lengths = torch.tensor([512, 100])
    assert plan(q, k, v, mask=padding(lengths)).kernel == "lengths"
    assert plan(q, k, v, mask=causal() & padding(lengths)).kernel == "lengths"
    assert plan(q[:, :, :4], k, v, mask=padding(lengths)).kernel == "sdpa"  # few pairs
    assert plan(q, k[:, :, :100], v[:, :, :100], mask=causal() & padding(lengths)).kernel == "sdpa"
    assert plan(q, k, v, mask=padding(lengths), bias=torch.zeros(1, 1, 512, 512)).kernel == "blocksparse"
    with kernel("lengths"), pytest.raises(ValueError, match=r"not padding\(lengths\)"):
        attend(q, k, v, mask=causal())


def test_a_long_call_agrees_with_sdpa_in_float32() -> None:
    q, k, v = (torch.randn(2, 4, 300, 64) for _ in range(3))
    lengths = torch.tensor([300, 120])
    allowed = (torch.arange(300) < lengths[:, None])[:, None, None]
    truth = F.scaled_dot_product_attention(q.double(), k.double(), v.double(), allowed)
    assert (attend(q, k, v, mask=padding(lengths)) - truth).abs().max() < 2e-6
