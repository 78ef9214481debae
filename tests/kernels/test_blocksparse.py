"""Masks that leave tiles empty: against the equation over each query's own keys, in float64; how the grid is cut."""

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from regard.attend import attend, explain, plan
from regard.equation.biases import alibi, gaussian, relative
from regard.equation.mask import Mask
from regard.equation.masks import blocks, causal, dense, documents, padding, tokens, window
from regard.equation.patterns import bigbird, fixed, strided
from regard.kernels import blocksparse
from regard.kernels.blocksparse import cut, side_of
from regard.kernels.plan import kernel

B, H, HK, D, DV = 2, 2, 1, 8, 5


def holes(*shape: int) -> Tensor:
    return torch.rand(*shape, generator=torch.Generator().manual_seed(5)) > 0.6


def one_by_one(q: Tensor, k: Tensor, v: Tensor, allowed: Tensor) -> Tensor:
    """Each query's own keys, picked out: nothing is masked, what is not seen is not there."""
    rows = []
    for b in range(q.shape[0]):
        for h in range(q.shape[1]):
            of = h // (q.shape[1] // k.shape[1])
            for t in range(q.shape[2]):
                seen = allowed[b, h, t].nonzero()[:, 0]
                e = k[b, of, seen] @ q[b, h, t] / math.sqrt(q.shape[3])
                rows.append(torch.softmax(e, 0) @ v[b, of, seen])
    return torch.stack(rows).view(*q.shape[:3], -1)


MASKS: dict[str, Callable[[int, int], Mask]] = {
    "blocks": lambda Tq, Tk: blocks(holes(-(-Tq // 64), -(-Tk // 64)), 64),
    "small blocks of each row and head": lambda Tq, Tk: blocks(holes(2, 2, -(-Tq // 16), -(-Tk // 16)), 16),
    "blocks and causal": lambda Tq, Tk: blocks(holes(-(-Tq // 50), -(-Tk // 50)), 50) & causal(),
    "causal": lambda Tq, Tk: causal(),
    "documents": lambda Tq, Tk: documents(torch.arange(Tk) // 37),
    "packed sequences": lambda Tq, Tk: documents(torch.arange(Tk) // torch.tensor([[37], [90]])) & causal(),
    "the sentence": lambda Tq, Tk: causal() & padding([Tk, 40]) & (window(9, 0) | tokens([3, 99])),
    "longformer": lambda Tq, Tk: window(9, 9) | tokens([0, 1]),
    "bigbird": lambda Tq, Tk: bigbird(16),
    "strided": lambda Tq, Tk: strided(30) & padding([Tk, 70]),
    "fixed": lambda Tq, Tk: fixed(20, 2),
    "a tensor": lambda Tq, Tk: dense(holes(2, 1, Tq, Tk)),
    "nothing in one row": lambda Tq, Tk: padding([0, Tk]),
    "all but": lambda Tq, Tk: ~window(70, 70),
}


def drawn(Tq: int, Tk: int) -> tuple[Tensor, Tensor, Tensor]:
    sizes = ((B, H, Tq, D), (B, HK, Tk, D), (B, HK, Tk, DV))
    return tuple(torch.randn(size, dtype=torch.float64).requires_grad_() for size in sizes)  # type: ignore[return-value]


def by_name(name: str, q: Tensor, k: Tensor, v: Tensor, **parts: Any) -> Tensor:
    with kernel(name):
        return attend(q, k, v, **parts)


@pytest.mark.parametrize("size", [(150, 150), (64, 128), (30, 150), (150, 101)], ids=str)
@pytest.mark.parametrize("name", MASKS)
def test_outputs_and_gradients_are_those_of_each_querys_own_keys(name: str, size: tuple[int, int]) -> None:
    mask = MASKS[name](*size)
    q, k, v = drawn(*size)
    out = by_name("blocksparse", q, k, v, mask=mask)
    truth = one_by_one(q, k, v, mask.dense(B, H, *size).expand(B, H, *size))
    torch.testing.assert_close(out, truth, atol=1e-12, rtol=1e-10)
    along = torch.randn_like(out)
    for a, b in zip(*(torch.autograd.grad(x, (q, k, v), along) for x in (out, truth)), strict=True):
        torch.testing.assert_close(a, b, atol=1e-11, rtol=1e-10)


PARTS: dict[str, Callable[[], dict[str, Any]]] = {
    "slopes": lambda: {"bias": alibi(H)},
    "a learned table": lambda: {"bias": relative(torch.randn(8, H, dtype=torch.float64, requires_grad=True))},
    "a learned bias": lambda: {"bias": torch.randn(2, 1, 150, 150).double().requires_grad_()},
    "a factor": lambda: {"after": gaussian((150 * torch.rand(B, 150).double()).requires_grad_(), 20.0).exp()},
}


@pytest.mark.parametrize("parts", PARTS.values(), ids=PARTS.keys())
@pytest.mark.parametrize("name", ["blocks", "small blocks of each row and head", "the sentence", "packed sequences"])
def test_it_agrees_with_the_reference(name: str, parts: Callable[[], dict[str, Any]]) -> None:
    q, k, v = drawn(150, 150)
    given = parts()
    leaves = [t for part in given.values() for t in getattr(part, "tensors", (part,)) if t.requires_grad]
    found = [by_name(of, q, k, v, mask=MASKS[name](150, 150), **given) for of in ("blocksparse", "reference")]
    torch.testing.assert_close(*found, atol=1e-10, rtol=1e-10)
    along = torch.randn_like(found[0])
    for a, b in zip(*(torch.autograd.grad(x, (q, k, v, *leaves), along) for x in found), strict=True):
        torch.testing.assert_close(a, b, atol=1e-10, rtol=1e-10)


def test_the_cut_has_the_blocks_set_and_no_others_and_asks_of_full_ones_nothing() -> None:
    layout = holes(8, 8)
    strips = cut(blocks(layout, 64), (1, 1, 512, 512), 64)
    assert sum(strip.tiles * strip.height * strip.keys.width for strip in strips) == int(layout.sum()) * 64 * 64
    assert all(strip.asks == 0 for strip in strips)
    (first, *_) = cut(causal(), (1, 1, 512, 512), 64)
    assert first.asks == 64, "only the tile on the diagonal is asked"


@pytest.mark.parametrize(
    ("block", "side"),
    [(None, 64), (64, 64), (128, 128), (192, 64), (16, 64), (24, 48), (100, 100), (200, 100), (331, 64)],
)
def test_tiles_fit_the_masks_blocks(block: int | None, side: int) -> None:
    assert side_of(block) == side


def test_the_cut_is_made_once_for_a_mask_and_again_when_its_numbers_change(monkeypatch: pytest.MonkeyPatch) -> None:
    cuts = []
    monkeypatch.setattr(blocksparse, "cut", lambda *given: cuts.append(given) or cut(*given))
    q, k, v = drawn(130, 130)
    layout = torch.eye(3, dtype=torch.bool)
    mask = blocks(layout, 64)
    one = by_name("blocksparse", q, k, v, mask=mask)
    assert torch.equal(by_name("blocksparse", q, k, v, mask=mask), one)
    assert len(cuts) == 1
    layout[0, 1] = True
    torch.testing.assert_close(by_name("blocksparse", q, k, v, mask=mask), by_name("reference", q, k, v, mask=mask))
    assert len(cuts) == 2
    with torch.inference_mode():
        mask = blocks(torch.eye(3, dtype=torch.bool), 64)
        torch.testing.assert_close(by_name("blocksparse", q, k, v, mask=mask), one)


def test_masks_with_few_empty_tiles_go_to_sdpa_unless_it_is_asked_for_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    q, k, v = (torch.randn(1, 1, 1024, 64) for _ in range(3))
    sparse, full = (dense(torch.rand(1024, 1024) < share) for share in (0.5, 1.1))
    sparse = sparse & documents(torch.arange(1024) // 64)
    strips_taken = []
    plain = blocksparse.strips.attend
    monkeypatch.setattr(blocksparse.strips, "attend", lambda *a, **b: strips_taken.append(a) or plain(*a, **b))
    for mask, name, taken in ((sparse, None, 1), (full, None, 1), (full, "blocksparse", 2)):
        assert plan(q, k, v, mask=mask).kernel == "blocksparse"
        got = attend(q, k, v, mask=mask) if name is None else by_name(name, q, k, v, mask=mask)
        torch.testing.assert_close(got, by_name("reference", q, k, v, mask=mask), atol=1e-5, rtol=1e-5)
        assert len(strips_taken) == taken
    left = "kernel    blocksparse, which leaves this call to sdpa: with these numbers"
    assert left in explain(q, k, v, mask=full)
    assert left not in explain(q, k, v, mask=sparse)
    with kernel("blocksparse"):
        assert left not in explain(q, k, v, mask=full)
    of_no_numbers = (torch.ones(1024, 1024, dtype=torch.bool, device="meta"), *(x.to("meta") for x in (q, k, v)))
    assert "blocksparse\n" in explain(*of_no_numbers[1:], mask=of_no_numbers[0])


def test_what_it_takes_and_what_it_leaves_to_others() -> None:
    x = torch.zeros(1, 2, 1024, 64)
    assert plan(x, x, x, mask=documents(torch.arange(1024) // 100)).kernel == "blocksparse"
    assert "SDPA hides as much" in plan(x, x, x, mask=causal()).reasons["blocksparse"][0]
    assert "there is no mask" in plan(x, x, x).reasons["blocksparse"][0]
    assert "so few pairs" in plan(*[x[:, :, :128]] * 3, mask=bigbird(16)).reasons["blocksparse"][0]
