"""Gradient × attention of whole models: α · dL/dα as autograd has it on dense weights, however it was computed."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from regard import attend, attend_with_weights, causal
from regard.observe import gradients
from regard.observe.record import Products
from regard.observe.seen import Seen
from regard.watch import watch

B, H, T, E = 2, 4, 7, 16


class Layer(nn.Module):
    """Causal attention of four heads, two heads of keys; how it is computed can be chosen."""

    def __init__(self) -> None:
        super().__init__()
        self.q, self.kv = nn.Linear(E, E), nn.Linear(E, E)
        self.how = "attend"
        self.weights: Tensor | None = None
        """With `how` "dense": α (B, H, T, T), which keeps its gradient."""

    def forward(self, x: Tensor) -> Tensor:
        q = self.q(x).unflatten(-1, (H, 4)).transpose(1, 2)
        k, v = self.kv(x).unflatten(-1, (2, 2, 4)).permute(2, 0, 3, 1, 4)
        if self.how == "attend":
            context = attend(q, k, v, mask=causal())
        elif self.how == "attend with weights":
            context = attend_with_weights(q, k, v, mask=causal()).context
        elif self.how == "sdpa":
            context = F.scaled_dot_product_attention(q, k, v, is_causal=True, enable_gqa=True)
        else:
            context = self._dense(q, k, v)
        return x + context.transpose(1, 2).flatten(2)

    def _dense(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        k, v = k.repeat_interleave(2, 1), v.repeat_interleave(2, 1)
        later = torch.ones(T, T, dtype=torch.bool).triu(1)
        self.weights = (q @ k.mT / 2).masked_fill(later, -math.inf).softmax(-1)
        self.weights.retain_grad()
        return self.weights @ v


def loss_of(out: Tensor) -> Tensor:
    return (out * torch.linspace(-1, 2, out.numel()).view_as(out)).sin().sum()


def products_of(weights: Tensor | None) -> Tensor:
    """α · dL/dα, in the widest format."""
    assert weights is not None
    assert weights.grad is not None
    return (weights.double() * weights.grad.double()).detach()


def check(found: Products | None, expected: Tensor, heads: list[int] | None = None) -> None:
    """Sums, every product by its place, and cells."""
    assert found is not None
    assert found.topk is not None
    assert found.map is not None
    expected = expected if heads is None else expected[:, heads]
    near: dict[str, Any] = {"rtol": 1e-4, "atol": 1e-5, "check_dtype": False}
    torch.testing.assert_close(found.queries, expected.sum(-1), **near)
    torch.testing.assert_close(found.keys, expected.sum(-2), **near)
    positions = found.topk.positions.long()
    at_place = expected.gather(-1, positions.clamp(min=0)).where(positions >= 0, 0)
    torch.testing.assert_close(found.topk.weights, at_place, **near)
    torch.testing.assert_close(found.map.mean.nan_to_num(0.0), expected, **near)  # a cell for each pair


def watched(model: nn.Module, x: Tensor, **named: Any) -> Seen:
    with watch(model, gradient=True, topk=x.shape[1], map=x.shape[1], **named) as seen:
        loss_of(model(x)).backward()
    return seen


@pytest.mark.parametrize("heads", [None, [3, 0]], ids=["all heads", "two heads"])
@pytest.mark.parametrize("how", ["attend", "attend with weights", "sdpa"])
def test_products_are_autograds_on_dense_weights(how: str, heads: list[int] | None) -> None:
    torch.manual_seed(0)
    layers = [Layer(), Layer()]
    model, x = nn.Sequential(*layers), torch.randn(B, T, E)
    for layer in layers:
        layer.how = "dense"
    loss_of(model(x)).backward()
    expected = [products_of(layer.weights) for layer in layers]
    for layer in layers:
        layer.how = how
    plain = torch.autograd.grad(loss_of(model(x)), list(model.parameters()))
    model.zero_grad()
    seen = watched(model, x, heads=heads)
    assert (seen.names, seen.unread) == (["0", "1"], {})
    for look, products in zip(seen, expected, strict=True):
        check(look.observed.gradient, products, heads)
    assert all(
        torch.equal(p.grad, grad) for p, grad in zip(model.parameters(), plain, strict=True) if p.grad is not None
    )


def test_torchs_own_layers(monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(0)
    layer = nn.TransformerEncoderLayer(E, H, 2 * E, dropout=0.0, batch_first=True)
    model, x = nn.TransformerEncoder(layer, 2), torch.randn(B, T, E)
    kept: list[Tensor] = []

    def dense(q: Tensor, k: Tensor, v: Tensor, *others: Any) -> Tensor:
        weights = (q @ k.mT / math.sqrt(q.shape[-1])).softmax(-1)
        weights.retain_grad()
        kept.append(weights)
        return weights @ v

    with monkeypatch.context() as patch:
        patch.setattr(F, "scaled_dot_product_attention", dense)
        loss_of(model(x)).backward()
    seen = watched(model, x)
    for look, weights in zip(seen, kept, strict=True):
        check(look.observed.gradient, products_of(weights))


def test_they_come_with_the_loss_also_after_the_watch_and_are_the_last_losss() -> None:
    torch.manual_seed(0)
    model, x = Layer(), torch.randn(B, T, E)
    with watch(model, gradient=True) as seen:
        out = model(x)
    assert seen.looks[0].observed.gradient is None
    out.sum().backward(retain_graph=True)
    once = seen.looks[0].observed.gradient
    (3 * out).sum().backward()
    again = seen.looks[0].observed.gradient
    assert once is not None
    assert again is not None
    torch.testing.assert_close(again.queries, 3 * once.queries)


def test_where_no_loss_comes_back_it_is_said_and_the_rest_is_seen() -> None:
    model, x = Layer(), torch.randn(B, T, E)
    with watch(model, gradient=True) as seen, torch.no_grad():
        model(x)
    assert seen.looks[0].observed.entropy is not None
    assert seen.unread["Layer"].startswith("its gradient: no loss can come back to it: call the model with gradients")
    with watch(model, gradient=True) as seen:
        checkpoint(model, x.requires_grad_(), use_reentrant=True).sum().backward()
    assert "not in a checkpoint" in seen.unread["Layer"]
    theirs = nn.MultiheadAttention(E, H)
    with watch(theirs, gradient=True) as seen:
        theirs(x, x, x)[0].sum().backward()
    assert "need_weights=False" in seen.unread["MultiheadAttention"]


def test_a_failure_while_looking_does_not_end_the_backward_pass(monkeypatch: pytest.MonkeyPatch) -> None:
    model, x = Layer(), torch.randn(B, T, E)
    with watch(model, gradient=True) as seen:
        out = model(x)

    def fails(*_: Any) -> None:
        raise MemoryError("too long")

    monkeypatch.setattr(gradients, "statistics", fails)
    out.sum().backward()
    assert model.q.weight.grad is not None
    assert seen.unread == {"Layer": "its gradient: MemoryError: too long"}
