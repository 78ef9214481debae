"""Watched calls of `scaled_dot_product_attention`: the weights are those of the equation in torch's documentation."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.attention.bias import causal_lower_right, causal_upper_left

from regard.watch import watch


def documented(
    query: Tensor,
    key: Tensor,
    attn_mask: Tensor | None = None,
    is_causal: bool = False,
    scale: float | None = None,
    enable_gqa: bool = False,
) -> Tensor:
    """The weights, in float64, by the pseudocode of torch's documentation; 0 in rows that may attend to nothing."""
    query, key = query.double(), key.double()
    allowed = torch.ones(query.shape[-2], key.shape[-2], dtype=torch.bool)
    added = torch.zeros(())
    if is_causal:
        allowed = allowed.tril(0)
    if attn_mask is not None and attn_mask.dtype == torch.bool:
        allowed = allowed & attn_mask
    elif attn_mask is not None:
        added = attn_mask.double()
    if enable_gqa:
        key = key.repeat_interleave(query.size(-3) // key.size(-3), -3)
    e = query @ key.transpose(-2, -1) * (1 / math.sqrt(query.size(-1)) if scale is None else scale) + added
    e = e.masked_fill(~allowed, -math.inf)
    return torch.softmax(e, -1).nan_to_num(0.0)


class Calls(nn.Module):
    """Calls it with what it is given."""

    def forward(self, *arguments: Tensor, **named: Any) -> Tensor:
        return F.scaled_dot_product_attention(*arguments, **named)


def random(*shape: int) -> Tensor:
    return torch.randn(*shape)


HOLES = torch.rand(5, 7, generator=torch.Generator().manual_seed(0)) > 0.4
HOLES[2] = False  # a query that may attend to nothing
NUMBERS = torch.randn(2, 1, 5, 7, generator=torch.Generator().manual_seed(1))
INFINITE = NUMBERS.masked_fill(~HOLES.index_fill(0, torch.tensor(2), True), -math.inf)
QKV = [(2, 4, 5, 8), (2, 4, 7, 8), (2, 4, 7, 6)]

CASES: dict[str, tuple[list[tuple[int, ...]], dict[str, Any]]] = {
    "plain": (QKV, {}),
    "scale": (QKV, {"scale": 0.9}),
    "causal, fewer queries": (QKV, {"is_causal": True}),
    "causal, more queries": ([(2, 4, 9, 8), (2, 4, 3, 8), (2, 4, 3, 8)], {"is_causal": True}),
    "causal, as many": ([(1, 2, 6, 8)] * 3, {"is_causal": True}),
    "bool mask": (QKV, {"attn_mask": HOLES}),
    "bool mask of heads": (QKV, {"attn_mask": torch.rand(4, 5, 7) > 0.3}),
    "numbers": (QKV, {"attn_mask": NUMBERS}),
    "numbers and infinity": (QKV, {"attn_mask": INFINITE}),
    "a mask for all queries": (QKV, {"attn_mask": torch.rand(2, 1, 1, 7) > 0.3}),
    "grouped": ([(2, 6, 5, 8), (2, 2, 7, 8), (2, 2, 7, 8)], {"enable_gqa": True, "attn_mask": HOLES}),
    "no heads": ([(3, 5, 8), (3, 7, 8), (3, 7, 8)], {}),
    "no heads, a mask each": ([(3, 5, 8), (3, 7, 8), (3, 7, 8)], {"attn_mask": torch.rand(3, 5, 7) > 0.2}),
    "no batch": ([(5, 8), (7, 8), (7, 8)], {"attn_mask": HOLES}),
    "windows of an image": ([(2, 3, 4, 5, 8)] * 3, {"attn_mask": torch.randn(3, 1, 5, 5)}),
    "a key for all": ([(2, 4, 5, 8), (1, 1, 7, 8), (1, 1, 7, 8)], {}),
    "one query": ([(2, 4, 1, 8), (2, 4, 7, 8), (2, 4, 7, 8)], {}),
    "no key": ([(1, 2, 3, 8), (1, 2, 0, 8), (1, 2, 0, 8)], {}),
    "no query": ([(1, 2, 0, 8), (1, 2, 3, 8), (1, 2, 3, 8)], {}),
}


@pytest.mark.parametrize(("shapes", "named"), CASES.values(), ids=CASES.keys())
def test_the_weights_are_those_of_the_documentation(shapes: list[tuple[int, ...]], named: dict[str, Any]) -> None:
    q, k, v = (random(*shape) for shape in shapes)
    model = Calls()
    plain = model(q, k, v, **named)
    with watch(model, weights=True, topk=3) as seen:
        watched = model(q, k, v, **named)
    torch.testing.assert_close(watched, plain, rtol=0, atol=0, equal_nan=True)
    (look,) = seen
    expected = documented(q, k, **named)
    heads = expected.shape[-3] if expected.ndim > 3 else 1
    expected = expected.reshape(look.observed.size[0], heads, *expected.shape[-2:])
    seen_weights = look.observed.weights
    assert seen_weights is not None
    torch.testing.assert_close(seen_weights.double(), expected, rtol=0, atol=1e-5)
    assert look.observed.entropy is not None
    assert look.observed.mass is not None
    entropy = -torch.special.xlogy(expected, expected).sum(-1)
    torch.testing.assert_close(look.observed.entropy.double(), entropy, rtol=0, atol=1e-5)
    torch.testing.assert_close(look.observed.mass.double(), expected.sum(-2), rtol=0, atol=1e-5)


@pytest.mark.parametrize(
    ("make", "shift"), [(causal_lower_right, 2), (causal_upper_left, 0)], ids=["lower right", "upper left"]
)
def test_torchs_own_causal_masks(make: Callable[[int, int], Tensor], shift: int) -> None:
    q, k, v = (random(*shape) for shape in [(2, 4, 5, 8), (2, 4, 7, 8), (2, 4, 7, 8)])
    model, mask = Calls(), make(5, 7)
    with watch(model, weights=True) as seen:
        watched = model(q, k, v, mask)
    assert torch.equal(watched, model(q, k, v, mask))
    expected = documented(q, k, torch.ones(5, 7, dtype=torch.bool).tril(shift))
    torch.testing.assert_close(seen.looks[0].observed.weights.double(), expected, rtol=0, atol=1e-5)


def test_positional_arguments_and_dropout_which_counts_after_the_weights() -> None:
    q, k, v = (random(2, 4, 6, 8) for _ in range(3))
    model, mask = Calls(), torch.rand(6, 6) > 0.3
    mask[:, 0] = True
    torch.manual_seed(3)
    plain, after = model(q, k, v, mask, 0.4), torch.rand(3)
    torch.manual_seed(3)
    with watch(model, weights=True, map=2, distance=True) as seen:
        watched = model(q, k, v, mask, 0.4)
    assert torch.equal(watched, plain)
    assert torch.equal(torch.rand(3), after)  # the random numbers stand where they stood
    torch.testing.assert_close(seen.looks[0].observed.weights.double(), documented(q, k, mask), rtol=0, atol=1e-5)


def test_gradients_are_those_without_a_watch_and_statistics_have_none() -> None:
    q, k, v = (random(2, 4, 6, 8).requires_grad_() for _ in range(3))
    model = Calls()
    plain = torch.autograd.grad(model(q, k, v).square().sum(), (q, k, v))
    with watch(model, weights=True) as seen:
        out = model(q, k, v)
        watched = torch.autograd.grad(out.square().sum(), (q, k, v))
    assert all(torch.equal(a, b) for a, b in zip(plain, watched, strict=True))
    assert not seen.looks[0].observed.weights.requires_grad
    assert not seen.looks[0].observed.lse.requires_grad


def test_under_autocast_it_is_what_torch_computed_with() -> None:
    q, k, v = (random(2, 4, 6, 8) for _ in range(3))
    model = Calls()
    with torch.autocast("cpu", torch.bfloat16), watch(model, weights=True) as seen:
        watched = model(q, k, v)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(watched, model(q, k, v))
    expected = documented(q.bfloat16(), k.bfloat16())
    assert seen.looks[0].observed.weights.dtype == torch.float32
    torch.testing.assert_close(seen.looks[0].observed.weights.double(), expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize("mode", [torch.no_grad, torch.inference_mode])
def test_without_gradients(mode: Callable[[], Any]) -> None:
    q = random(1, 2, 6, 8)
    with mode(), watch(model := Calls(), weights=True) as seen:
        model(q, q, q)
    weights = seen.looks[0].observed.weights
    assert not weights.is_inference()
    torch.testing.assert_close(weights.double(), documented(q, q), rtol=0, atol=1e-5)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_other_formats(dtype: torch.dtype) -> None:
    q, k = random(1, 2, 6, 8).to(dtype), random(1, 2, 7, 8).to(dtype)
    with watch(model := Calls(), weights=True) as seen:
        model(q, k, k)
    weights = seen.looks[0].observed.weights
    assert weights.dtype == (torch.float64 if dtype == torch.float64 else torch.float32)
    torch.testing.assert_close(weights.double(), documented(q, k), rtol=0, atol=1e-5)


def test_nested_tensors_are_named_and_run_as_they_are() -> None:
    rows = [random(2, length, 8) for length in (3, 5)]
    nested = torch.nested.nested_tensor([row.transpose(0, 1) for row in rows], layout=torch.jagged).transpose(1, 2)
    model = Calls()
    with pytest.warns(UserWarning, match="nested"), watch(model) as seen:
        watched = model(nested, nested, nested)
    assert len(seen) == 0
    assert "pad them" in seen.unread["Calls"]
    for row, out in zip(rows, watched.transpose(1, 2).unbind(), strict=True):
        torch.testing.assert_close(out.transpose(0, 1), model(row, row, row))


class Custom(nn.Module):
    """An attention of someone's own, with what it calls under another name."""

    def __init__(self, features: int = 8) -> None:
        super().__init__()
        self.qkv = nn.Linear(features, 3 * features)

    def forward(self, x: Tensor, memory: Tensor | None = None) -> Tensor:
        from torch.nn.functional import scaled_dot_product_attention as look

        q, k, v = self.qkv(x).unsqueeze(1).chunk(3, -1)
        if memory is not None:
            _, k, v = self.qkv(memory).unsqueeze(1).chunk(3, -1)
        return look(q, k, v)[:, 0]


class Block(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = Custom(), Custom()

    def forward(self, x: Tensor, memory: Tensor) -> Tensor:
        return self.second(self.first(x), memory)


def test_modules_are_known_by_their_paths_and_crossing_by_sizes() -> None:
    model = nn.Sequential(*(Custom() for _ in range(2)))
    with watch(model) as seen:
        model(random(2, 5, 8))
        model(random(2, 6, 8))
    assert [(look.name, look.step, look.cross) for look in seen] == [
        ("0", 0, False), ("1", 0, False), ("0", 1, False), ("1", 1, False)
    ]  # fmt: skip
    with watch(model := Block()) as seen:
        model(random(2, 5, 8), random(2, 7, 8))
    assert [(look.name, look.cross) for look in seen] == [("first", False), ("second", True)]


def test_a_second_call_of_the_same_module_has_a_number() -> None:
    class Twice(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return F.scaled_dot_product_attention(F.scaled_dot_product_attention(x, x, x), x, x)

    with watch(model := nn.ModuleDict({"twice": Twice()})["twice"]) as seen:
        model(random(1, 1, 3, 4))
        model(random(1, 1, 3, 4))
    assert [(look.name, look.step) for look in seen] == [
        ("Twice", 0), ("Twice#2", 0), ("Twice", 1), ("Twice#2", 1)
    ]  # fmt: skip
