"""Bands and blocks by compiled loops: against PyTorch's own attention in float64, with the mask as a tensor."""

import math
import os
import platform
import subprocess
import sys
from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from regard.attend import attend
from regard.equation.mask import Mask
from regard.equation.masks import blocks, documents, padding, tokens, window
from regard.equation.normalisers import Softmax
from regard.equation.scores import Dot
from regard.kernels.plan import kernel
from regard.kernels.strips import jobs, loops, passes

needs_loops = pytest.mark.skipif(loops.ready() is None, reason="numba is not installed")


@pytest.fixture(autouse=True)
def _however_few(monkeypatch: pytest.MonkeyPatch) -> None:
    """Small cases are theirs too, and nobody else computes them."""
    monkeypatch.setattr(jobs, "FEW", 0)
    monkeypatch.setattr(passes, "context", None)


def drawn(sizes: tuple[int, ...], dtype: torch.dtype = torch.float32, seed: int = 0) -> list[Tensor]:
    """q, k, v and the context's gradient, of sizes B, H, Hk, Tq, Tk, D, Dv."""
    torch.manual_seed(seed)
    B, H, Hk, Tq, Tk, D, Dv = sizes
    return [torch.randn(size).to(dtype) for size in ((B, H, Tq, D), (B, Hk, Tk, D), (B, Hk, Tk, Dv), (B, H, Tq, Dv))]


def by_loops(name: str, mask: Mask, q: Tensor, k: Tensor, v: Tensor, along: Tensor) -> list[Tensor]:
    """The context and its gradients."""
    leaves = [x.detach().clone().requires_grad_() for x in (q, k, v)]
    with kernel(name):
        out = attend(*leaves, mask=mask)
    return [out.detach(), *torch.autograd.grad(out, leaves, along)]


def by_torch(mask: Mask, q: Tensor, k: Tensor, v: Tensor, along: Tensor) -> list[Tensor]:
    """The same, by PyTorch; 0 where a query sees nothing."""
    leaves = [x.detach().clone().requires_grad_() for x in (q, k, v)]
    B, H, Tq, _ = q.shape
    allowed = mask.dense(B, H, Tq, k.shape[2], q.device).expand(B, H, Tq, -1)
    empty = ~allowed.any(-1, keepdim=True)
    out = F.scaled_dot_product_attention(*leaves, attn_mask=allowed | empty, enable_gqa=True).masked_fill(empty, 0)
    return [out.detach(), *torch.autograd.grad(out, leaves, along)]


def errors(found: list[Tensor], exact: list[Tensor]) -> list[float]:
    return [(a.double() - b).square().mean().sqrt().item() for a, b in zip(found, exact, strict=True)]


EVEN = (2, 4, 2, 192, 192, 32, 32)
ODD = (2, 4, 2, 150, 203, 24, 40)
LAYOUT = torch.rand(13, 13, generator=torch.Generator().manual_seed(1)) < 0.4
LAYOUT[2] = False
EACH = torch.rand(2, 4, 13, 13, generator=torch.Generator().manual_seed(2)) < 0.3
CASES: dict[str, tuple[str, tuple[int, ...], Callable[[], Mask]]] = {
    "a window": ("banded", EVEN, lambda: window(20, 30)),
    "a window, odd sizes": ("banded", ODD, lambda: window(33, 7)),
    "a window of the past": ("banded", EVEN, lambda: window(40, 0)),
    "the query alone": ("banded", EVEN, lambda: window(0, 0)),
    "a wide window": ("banded", (1, 1, 1, 700, 700, 16, 16), lambda: window(300, 300)),
    "a window and padding": ("banded", EVEN, lambda: window(20, 30) & padding([192, 41])),
    "more queries than keys": ("banded", (1, 2, 1, 200, 90, 16, 16), lambda: window(9, 9) & padding([77])),
    "one head of keys": ("banded", (1, 3, 1, 192, 192, 32, 16), lambda: window(20, 30)),
    "blocks": ("blocksparse", (2, 4, 2, 208, 208, 32, 32), lambda: blocks(LAYOUT, 16)),
    "blocks, odd sizes": ("blocksparse", (2, 4, 2, 201, 203, 24, 40), lambda: blocks(LAYOUT, 16)),
    "blocks of each head": ("blocksparse", (2, 4, 2, 203, 208, 32, 32), lambda: blocks(EACH, 16)),
    "documents": ("blocksparse", EVEN, lambda: documents(torch.arange(192) // 37)),
    "documents of each row": (
        "blocksparse",
        EVEN,
        lambda: documents(torch.arange(192) // torch.tensor([[37], [90]])),
    ),
    "a window and tokens": ("blocksparse", EVEN, lambda: (window(40, 40) | tokens([0, 100])) & padding([192, 90])),
}


@needs_loops
@pytest.mark.parametrize("name", CASES)
def test_they_err_at_most_twice_as_much_as_pytorch_in_float32(name: str) -> None:
    by, sizes, make = CASES[name]
    x = drawn(sizes)
    exact = by_torch(make(), *(part.double() for part in x))
    found, plain = by_loops(by, make(), *x), by_torch(make(), *x)
    for fast, slow in zip(errors(found, exact), errors(plain, exact), strict=True):
        assert fast <= 2 * slow + 1e-12


@needs_loops
@pytest.mark.parametrize("capped", [False, True])
@pytest.mark.parametrize("sink", [None, 0.5, -math.inf, math.inf])
@pytest.mark.parametrize("name", ["a window and padding", "blocks, odd sizes"])
def test_caps_and_sinks_are_those_of_the_reference(name: str, sink: float | None, capped: bool) -> None:
    by, sizes, make = CASES[name]
    q, k, v, along = drawn(sizes)
    found = []
    for kind, dtype in ((by, torch.float32), ("reference", torch.float64)):
        leaves = [x.to(dtype).requires_grad_() for x in (q, k, v)]
        if sink is not None:
            leaves.append(torch.full((sizes[1],), sink, dtype=dtype).requires_grad_())
        given = {"score": Dot(cap=1.5 if capped else None), "normalise": Softmax(*leaves[3:])}
        with kernel(kind):
            out = attend(*leaves[:3], mask=make(), **given)
        found.append([out, *torch.autograd.grad(out, leaves, along.to(dtype))])
    for a, b in zip(*found, strict=True):
        torch.testing.assert_close(a.double(), b, atol=2e-5, rtol=1e-4)


@needs_loops
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16], ids=str)
def test_half_formats_are_computed_in_float32(dtype: torch.dtype) -> None:
    x = drawn(EVEN, dtype)
    found = by_loops("banded", window(20, 30), *x)
    exact = by_torch(window(20, 30), *(part.double() for part in x))
    assert all(part.dtype == dtype for part in found)
    for a, b in zip(found, exact, strict=True):
        torch.testing.assert_close(a, b.to(dtype), atol=2e-2, rtol=2e-2)


@needs_loops
@pytest.mark.parametrize("size", [1e-4, 100.0, 1e4])
def test_scores_however_large_give_numbers(size: float) -> None:
    q, *others = drawn(EVEN)
    mask, x = window(20, 30), [q * size, *others]
    found, plain, exact = by_loops("banded", mask, *x), by_torch(mask, *x), by_torch(mask, *(p.double() for p in x))
    assert all(part.isfinite().all() for part in found)
    for fast, slow in zip(errors(found, exact), errors(plain, exact), strict=True):
        assert fast <= 2 * slow


@needs_loops
@pytest.mark.parametrize("hidden", [math.inf, -math.inf, math.nan])
def test_what_nobody_sees_does_no_harm(hidden: float) -> None:
    q, k, v, along = drawn(EVEN)
    mask = window(20, 30) & padding([192, 41])
    harmless = by_loops("banded", mask, q, k, v, along)
    k[1, :, 41:], v[1, :, 41:] = hidden, hidden
    for a, b in zip(by_loops("banded", mask, q, k, v, along), harmless, strict=True):
        assert torch.equal(a, b)


@needs_loops
def test_a_gap_between_rows_and_heads_side_by_side_change_nothing() -> None:
    x = drawn(EVEN)
    apart = [part.transpose(1, 2).contiguous().transpose(1, 2) for part in x]
    for a, b in zip(by_loops("banded", window(9, 9), *apart), by_loops("banded", window(9, 9), *x), strict=True):
        assert torch.equal(a, b)


@needs_loops
@pytest.mark.parametrize("heads", [1, 3, 4])
def test_threads_share_the_heads_and_one_heads_queries(heads: int) -> None:
    x = drawn((1, heads, heads, 500, 500, 16, 16))
    one = by_loops("banded", window(20, 30), *x)
    torch.set_num_threads(2)
    try:
        two, again = (by_loops("banded", window(20, 30), *x) for _ in range(2))
    finally:
        torch.set_num_threads(1)
    for a, b, c in zip(one, two, again, strict=True):
        torch.testing.assert_close(a, b, atol=1e-5, rtol=1e-5)
        assert torch.equal(b, c)


@needs_loops
@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16], ids=str)
def test_the_dtype_of_new_tensors_is_the_users_affair(dtype: torch.dtype) -> None:
    x = drawn(EVEN)
    usual = by_loops("banded", window(20, 30), *x)
    torch.set_default_dtype(dtype)
    try:
        found = by_loops("banded", window(20, 30), *x)
    finally:
        torch.set_default_dtype(torch.float32)
    for a, b in zip(found, usual, strict=True):
        assert torch.equal(a, b)


@needs_loops
def test_many_sums_of_one_heads_gradients_take_no_more_memory_than_allowed(monkeypatch: pytest.MonkeyPatch) -> None:
    x = drawn((1, 1, 1, 500, 500, 16, 16))
    one = by_loops("banded", window(20, 30), *x)
    monkeypatch.setattr(loops, "MOST", 0)
    torch.set_num_threads(2)
    try:
        found = by_loops("banded", window(20, 30), *x)
    finally:
        torch.set_num_threads(1)
    for a, b in zip(found, one, strict=True):
        assert torch.equal(a, b)


@needs_loops
def test_a_sentence_has_its_own_numbers_in_any_company() -> None:
    x = drawn(EVEN)
    whole = by_loops("banded", window(20, 30), *x)
    for a, b in zip(by_loops("banded", window(20, 30), *(part[1:] for part in x)), whole, strict=True):
        assert torch.equal(a, b[1:])


@needs_loops
def test_memory_grows_with_the_keys_and_not_with_the_pairs() -> None:
    kept: list[int] = []
    q, k, v, _ = drawn((1, 1, 1, 4096, 4096, 16, 16))
    with torch.autograd.graph.saved_tensors_hooks(lambda x: kept.append(x.numel()) or x, lambda x: x):
        attend(q.requires_grad_(), k, v, mask=window(100, 100))
    assert sum(kept) <= 3 * q.numel()


def test_without_loops_pytorch_computes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    monkeypatch.setattr(jobs, "FEW", 0)
    monkeypatch.setattr(loops, "ready", lambda: None)
    x = drawn(EVEN)
    for a, b in zip(by_loops("banded", window(9, 9), *x), by_torch(window(9, 9), *x), strict=True):
        torch.testing.assert_close(a, b, atol=1e-5, rtol=1e-5)


OTHER_PROCESSOR = """
import torch
from regard import attend, kernel
from regard.equation.masks import window
from regard.kernels.strips import jobs, loops
from regard.machine import lanes
assert loops.ready() is not None and not lanes.is_avx512()
jobs.FEW = 0
x = [torch.randn(2, 2, 150, 24).requires_grad_() for _ in range(3)]
found = []
for name in ("banded", "reference"):
    with kernel(name):
        out = attend(*x, mask=window(20, 9))
    found.append([out, *torch.autograd.grad(out.square().sum(), x)])
for a, b in zip(*found):
    torch.testing.assert_close(a, b, atol=1e-5, rtol=1e-5)
"""


@needs_loops
@pytest.mark.skipif(platform.machine() != "x86_64", reason="names a processor of that family")
def test_a_processor_without_avx_512_computes_the_same() -> None:
    settings = {"NUMBA_CPU_NAME": "haswell", "NUMBA_CPU_FEATURES": "+avx,+avx2,+fma"}
    subprocess.run([sys.executable, "-c", OTHER_PROCESSOR], check=True, env=os.environ | settings)
