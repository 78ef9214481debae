"""Windows in strips: against the sum over each query's own keys, written out in float64."""

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from regard.attend import attend, plan
from regard.equation.biases import alibi, gaussian, relative
from regard.equation.mask import Mask
from regard.equation.masks import causal, documents, padding, window
from regard.equation.normalisers.softmax import Softmax
from regard.equation.scores import Cosine, Dot, General
from regard.kernels.banded import strips_of
from regard.kernels.plan import kernel

B, H, HK, D, DV = 2, 2, 1, 8, 5


def one_by_one(q: Tensor, k: Tensor, v: Tensor, band: tuple[int, int], lengths: list[int], extra: Any = None) -> Tensor:
    """Each query's own window, cut out of the keys: nothing is masked, what is not seen is not there."""
    left, right = band
    Tq, Tk = q.shape[2], k.shape[2]
    out = torch.zeros(*q.shape[:3], v.shape[3], dtype=q.dtype)
    for b in range(q.shape[0]):
        for h in range(q.shape[1]):
            of = h // (q.shape[1] // k.shape[1])
            for t in range(Tq):
                at = t + Tk - Tq
                low, high = max(0, at - left), min(lengths[b], at + right + 1)
                if low < high:
                    e = k[b, of, low:high] @ q[b, h, t] / math.sqrt(q.shape[3])
                    if extra is not None:
                        e = e - extra[h] * (torch.arange(low, high) - at).abs()
                    out[b, h, t] = torch.softmax(e, 0) @ v[b, of, low:high]
    return out


def drawn(Tq: int, Tk: int, dtype: torch.dtype = torch.float64) -> tuple[Tensor, Tensor, Tensor]:
    q, k, v = torch.randn(B, H, Tq, D), torch.randn(B, HK, Tk, D), torch.randn(B, HK, Tk, DV)
    return tuple(x.to(dtype).requires_grad_() for x in (q, k, v))  # type: ignore[return-value]


def by_name(name: str, q: Tensor, k: Tensor, v: Tensor, **parts: Any) -> Tensor:
    with kernel(name):
        return attend(q, k, v, **parts)


@pytest.mark.parametrize("band", [(20, 30), (5, 0), (0, 0), (0, 40), (90, 110)], ids=str)
@pytest.mark.parametrize("size", [(150, 150), (64, 128), (70, 150), (150, 97), (1, 130), (130, 1)], ids=str)
def test_outputs_and_gradients_are_those_of_each_querys_own_keys(size: tuple[int, int], band: tuple[int, int]) -> None:
    q, k, v = drawn(*size)
    lengths = [size[1], size[1] // 3]
    truth = one_by_one(q, k, v, band, lengths, alibi(H).tensors[0])
    out = by_name("banded", q, k, v, mask=window(*band) & padding(lengths), bias=alibi(H))
    torch.testing.assert_close(out, truth, atol=1e-7, rtol=1e-7)  # alibi's slopes are float32
    along = torch.randn_like(out)
    for a, b in zip(*(torch.autograd.grad(x, (q, k, v), along) for x in (out, truth)), strict=True):
        torch.testing.assert_close(a, b, atol=1e-6, rtol=1e-6)


MASKS: dict[str, Callable[[], Mask]] = {
    "a window": lambda: window(20, 30),
    "causal": lambda: window(20, 30) & causal(),
    "padding": lambda: window(20, 30) & padding([200, 0]),
    "padding of both": lambda: window(20, 30) & padding([200, 90], queries=[150, 200]),
    "documents": lambda: window(20, 30) & documents(torch.arange(200) // 37),
    "documents of each row": lambda: window(20, 3) & documents(torch.arange(200) // torch.tensor([[37], [11]])),
}
PARTS: dict[str, Callable[[], dict[str, Any]]] = {
    "plain": dict,
    "unscaled": lambda: {"score": Dot(1.0)},
    "general": lambda: {"score": General(torch.randn(D, D, dtype=torch.float64, requires_grad=True))},
    "cosine": lambda: {"score": Cosine(torch.tensor(3.0, dtype=torch.float64, requires_grad=True))},
    "a soft cap": lambda: {"score": Dot(cap=1.5)},
    "a sink": lambda: {"normalise": Softmax(torch.randn(H, dtype=torch.float64, requires_grad=True))},
    "all of these": lambda: {
        "score": Dot(0.5, cap=3.0),
        "normalise": Softmax(torch.randn(H, dtype=torch.float64, requires_grad=True)),
        "bias": relative(torch.randn(8, H, dtype=torch.float64, requires_grad=True)),
        "after": gaussian((200 * torch.rand(B, 200).double()).requires_grad_(), 9.0).exp(),
    },
    "a learned table": lambda: {"bias": relative(torch.randn(8, H, dtype=torch.float64, requires_grad=True))},
    "local-p": lambda: {"after": gaussian((200 * torch.rand(B, 200).double()).requires_grad_(), 5.0).exp()},
    "bias and factor": lambda: {
        "bias": torch.randn(1, H, 200, 200).double().requires_grad_(),
        "after": gaussian((200 * torch.rand(B, H, 200).double()).requires_grad_(), torch.tensor(5.0).double()).exp(),
    },
}


@pytest.mark.parametrize("parts", PARTS.values(), ids=PARTS.keys())
@pytest.mark.parametrize("mask", MASKS.values(), ids=MASKS.keys())
def test_it_agrees_with_the_reference(mask: Callable[[], Mask], parts: Callable[[], dict[str, Any]]) -> None:
    q, k, v = drawn(200, 200)
    given = parts()
    leaves = [t for part in given.values() for t in getattr(part, "tensors", (part,)) if t.requires_grad]
    found = [by_name(name, q, k, v, mask=mask(), **given) for name in ("banded", "reference")]
    torch.testing.assert_close(*found, atol=1e-10, rtol=1e-10)
    along = torch.randn_like(found[0])
    for a, b in zip(*(torch.autograd.grad(x, (q, k, v, *leaves), along) for x in found), strict=True):
        torch.testing.assert_close(a, b, atol=1e-10, rtol=1e-10)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16], ids=str)
def test_it_errs_at_most_twice_as_much_as_the_plain_computation(dtype: torch.dtype) -> None:
    exact = [x.detach().to(dtype).double().requires_grad_() for x in drawn(300, 300)]
    truth = attend(*exact, mask=window(40, 30))
    along = torch.randn_like(truth).to(dtype)
    errors = []
    for name in ("banded", "reference"):
        x = [leaf.detach().to(dtype).requires_grad_() for leaf in exact]
        out = by_name(name, *x, mask=window(40, 30))
        pairs = zip([out, *torch.autograd.grad(out, x, along)], [truth, *grads(truth, exact, along)], strict=True)
        errors.append([(a.double() - b).square().mean().sqrt().item() for a, b in pairs])
    assert all(fast <= 2 * plain for fast, plain in zip(*errors, strict=True)), errors


def grads(out: Tensor, x: list[Tensor], along: Tensor) -> tuple[Tensor, ...]:
    return torch.autograd.grad(out, x, along.double(), retain_graph=True)


def test_nothing_so_long_as_the_keys_times_the_window_is_kept_for_backward() -> None:
    q, k, v = drawn(2000, 2000, torch.float32)
    kept = []
    with torch.autograd.graph.saved_tensors_hooks(lambda x: kept.append(x.numel()) or x, lambda x: x):
        by_name("banded", q, k, v, mask=window(100, 100))
    assert sum(kept) <= q.numel() + k.numel() + v.numel()


def test_a_band_holds_only_strips_that_see_a_key() -> None:
    cut = strips_of(1000, 300, 10, 10, True, 64, 1)
    rows = [row for strip in cut for row in strip.row.flatten().tolist()]
    assert len(rows) == len(set(rows)), "no query is computed twice"
    assert min(rows) >= 690 - 63, "queries before every key are left out"
    assert max(rows) == 999
    pairs = sum(strip.tiles * strip.height * strip.keys.width for strip in strips_of(4096, 4096, 64, 64, True, 64, 1))
    assert pairs == 4096 * (64 + 128)


def test_what_it_takes_and_what_it_leaves_to_others() -> None:
    x = torch.zeros(1, 2, 1024, 64)
    assert plan(x, x, x, mask=window(64, 0)).kernel == "banded"
    assert plan(x, x, x, mask=window(64, 64) & causal() & padding([1000])).kernel == "banded"
    assert "so wide" in plan(x, x, x, mask=window(600, 600)).reasons["banded"][0]
    assert "so few pairs" in plan(*[x[:, :, :128]] * 3, mask=window(8, 8)).reasons["banded"][0]
    assert "to both sides" in plan(x, x, x, mask=causal()).reasons["banded"][0]
    learned = torch.zeros(1024, 1024, requires_grad=True)
    assert "whole matrix" in plan(x, x, x, mask=window(64, 0), bias=learned).reasons["banded"][0]
    with (
        kernel("banded"),
        pytest.raises(ValueError, match=r"does not return weights; .*not a dot product; .*sparsemax"),
    ):
        plan(x, x, x, mask=window(64, 0), weights=True, score=lambda q, k: q @ k.mT, normalise="sparsemax")


def test_windows_and_blocks_with_a_soft_cap_or_a_sink_need_no_matrix() -> None:
    x = torch.zeros(1, 2, 1024, 64)
    for part in ({"score": Dot(cap=30.0)}, {"normalise": Softmax(torch.zeros(2))}):
        assert plan(x, x, x, mask=window(64, 0), **part).kernel == "banded"
        for mask in (causal(), documents(torch.arange(1024) // 100)):
            assert plan(x, x, x, mask=mask, **part).kernel == "blocksparse"


@pytest.mark.parametrize("sink", [-math.inf, -1e4, 1e4, math.inf])
def test_a_sink_however_large_or_small_gives_numbers(sink: float) -> None:
    q, k, v = drawn(100, 100, torch.float32)
    given = {"normalise": Softmax(torch.full((H,), sink, requires_grad=True)), "mask": window(9, 9) & padding([100, 0])}
    found = [by_name(name, q, k, v, **given) for name in ("banded", "reference")]
    torch.testing.assert_close(*found)
    leaves = (q, k, v, given["normalise"].sink)
    for a, b in zip(*(torch.autograd.grad(out.sum(), leaves) for out in found), strict=True):
        torch.testing.assert_close(a, b)


def test_a_gradient_of_the_gradient_is_refused_in_words() -> None:
    q, k, v = drawn(100, 100)
    (of_q,) = torch.autograd.grad(by_name("banded", q, k, v, mask=window(9, 9)).sum(), q, create_graph=False)
    assert of_q.isfinite().all()
    with pytest.raises(RuntimeError, match=r"the gradient of this gradient .*regard\.kernel\('reference'\)"):
        torch.autograd.grad(by_name("banded", q, k, v, mask=window(9, 9)).sum(), q, create_graph=True)


def test_dropout_draws_anew_each_time_and_again_from_the_same_seed() -> None:
    q, k, v = drawn(100, 100)
    found = []
    for seed in (1, 1, 2):
        torch.manual_seed(seed)
        found.append(by_name("banded", q, k, v, mask=window(9, 9), dropout=0.5))
    assert torch.equal(found[0], found[1])
    assert not torch.equal(found[0], found[2])
