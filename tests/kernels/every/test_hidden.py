"""What is hidden in every kernel: a query that sees nothing, numbers that nobody may see; masking is deleting."""

import math
from typing import Any

import pytest
import torch
from kernel_cases import (
    NAMES,
    told,
)

from regard.attend import attend
from regard.equation.biases import alibi
from regard.equation.masks import causal, dense, padding, window
from regard.kernels.plan import kernel

MIDDLE = torch.tensor([True, False, True])[None, None, :, None]
EMPTY_MIDDLE = {
    "mask": {"mask": dense(MIDDLE)},
    "mask and causal": {"mask": dense(MIDDLE) & causal()},
    "mask and bias": {"mask": dense(MIDDLE), "bias": alibi(2)},
    "bias": {"bias": torch.where(MIDDLE, 0.0, -math.inf).expand(1, 1, 3, 3)},
    "dropout": {"mask": dense(MIDDLE), "dropout": 0.1},
}


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16], ids=str)
@pytest.mark.parametrize("parts", EMPTY_MIDDLE.values(), ids=EMPTY_MIDDLE.keys())
def test_a_query_that_may_attend_to_nothing_gets_zero_and_gives_gradient_zero(
    name: str, dtype: torch.dtype, parts: dict[str, Any]
) -> None:
    q, k, v = (torch.randn(2, 2, 3, 4, dtype=dtype, requires_grad=True) for _ in range(3))
    with kernel(name):
        given = {**parts, "mask": told(parts.get("mask"), name)}
        if name == "flex" and "dropout" in parts:
            with pytest.raises(ValueError, match="it drops no weights"):
                attend(q, k, v, **given)
            return
        out = attend(q, k, v, **given)
    of_q, of_k, of_v = torch.autograd.grad(out, (q, k, v), torch.full_like(out, 7.0))
    assert (out[:, :, 1] == 0).all()
    assert (out[:, :, [0, 2]] != 0).any()
    assert (of_q[:, :, 1] == 0).all()
    assert all(gradient.isfinite().all() for gradient in (of_q, of_k, of_v))


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf, 3e38, 7.0])
@pytest.mark.parametrize("masked", ["padding", "dense", "query rows", "causal", "window", "heads"])
def test_what_no_query_may_see_changes_no_bit_and_gets_gradient_zero(name: str, bad: float, masked: str) -> None:
    T = 6
    q, k, v = (torch.randn(2, 4, T, 8), torch.randn(2, 2, T, 8), torch.randn(2, 2, T, 8))
    keep = torch.ones(2, 2, T, dtype=torch.bool)
    mask = {
        "padding": padding([6, 4]),
        "dense": dense(torch.tensor([[[[1, 1, 1, 1, 1, 1]]], [[[1, 1, 1, 1, 0, 0]]]]).bool()),
        "query rows": padding([6, 4], queries=[6, 4]),
        "causal": causal() & padding([6, 4]),
        "window": window(2, 0) & padding([6, 4]),
        "heads": dense(torch.ones(2, 4, T, T).bool()),
    }[masked]
    keep[1, :, 4:] = False
    if masked == "heads":  # the second key head's last keys are hidden from both of its query heads
        keep[:] = True
        keep[:, 1, 3:] = False
        mask = dense(keep.repeat_interleave(2, 1)[:, :, None].expand(2, 4, T, T))
    seen_queries = torch.ones(2, 4, T, dtype=torch.bool)
    if masked == "query rows":
        seen_queries[1, :, 4:] = False
    results = []
    for fill in (0.0, bad):
        x = [
            torch.where(seen_queries[..., None], q, fill).requires_grad_(),
            torch.where(keep[..., None], k, fill).requires_grad_(),
            torch.where(keep[..., None], v, fill).requires_grad_(),
        ]
        with kernel(name):
            out = attend(*x, mask=told(mask, name), bias=alibi(4) if masked == "dense" else None)
            with torch.no_grad():
                alone = attend(*x, mask=told(mask, name), bias=alibi(4) if masked == "dense" else None)
        results.append((out, alone, *torch.autograd.grad(out, x, torch.ones_like(out))))
    for clean, dirty in zip(*results, strict=True):
        assert torch.equal(clean, dirty)
        assert dirty.isfinite().all()
    _, _, of_q, of_k, of_v = results[1]
    assert (of_k[~keep] == 0).all()
    assert (of_v[~keep] == 0).all()
    assert (of_q[~seen_queries] == 0).all()


@pytest.mark.parametrize("name", NAMES)
def test_masking_is_deleting(name: str) -> None:
    q, k, v = (torch.randn(2, 2, 9, 8, dtype=torch.float64, requires_grad=True) for _ in range(3))
    keep = torch.tensor([0, 2, 3, 7])
    flags = torch.zeros(9, dtype=torch.bool).index_fill(0, keep, True)
    with kernel(name):
        masked = attend(q, k, v, mask=told(dense(flags[None, None, None]), name))
        deleted = attend(q, k[:, :, keep], v[:, :, keep], mask=told(None, name))
    torch.testing.assert_close(masked, deleted, atol=1e-12, rtol=0)
    one, two = (torch.autograd.grad(out.square().sum(), (q, k, v)) for out in (masked, deleted))
    for a, b in zip(one, two, strict=True):
        torch.testing.assert_close(a, b, atol=1e-12, rtol=0)
