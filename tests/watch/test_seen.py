"""What a watch sees: this package's layers and models where they stand, with every step, as they are without it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import small
import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint
from watched import NAMES, B, E, H, Model, T

import regard
from regard import attend, attend_with_weights, causal, padding, window
from regard.equation.biases import alibi, gaussian
from regard.equation.normalisers import Softmax
from regard.equation.scores import Additive, Cosine, Dot
from regard.layers import AdditiveAttention, LocalAttention, MultiHeadAttention
from regard.layers.positions import Rotary
from regard.watch import watch


class Attends(nn.Module):
    """Calls `attend` with what it is given."""

    def forward(self, *arguments: Tensor, **named: Any) -> Tensor:
        return attend(*arguments, **named)


CENTRE = torch.rand(B, T) * T
CALLS: dict[str, Callable[[], dict[str, Any]]] = {
    "plain": lambda: {},
    "masked": lambda: {"mask": causal() & padding(torch.tensor([3, 6])) & window(2, 0)},
    "an empty row": lambda: {"mask": padding(torch.tensor([0, 6]))},
    "additive": lambda: {"score": Additive(torch.randn(5), torch.randn(5, 4), torch.randn(5, 4))},
    "cosine, alibi": lambda: {"score": Cosine(3.0), "bias": alibi(H)},
    "capped": lambda: {"score": Dot(cap=2.0)},
    "sinks": lambda: {"normalise": Softmax(torch.randn(H))},
    "sparsemax": lambda: {"normalise": "sparsemax", "mask": causal()},
    "sigmoid": lambda: {"normalise": "sigmoid"},
    "factor": lambda: {"after": gaussian(CENTRE, 2.0).exp()},
    "callable": lambda: {"score": lambda q, k: (q @ k.mT).tanh()},
    "drawn": lambda: {"normalise": "sample"},
    "gumbel": lambda: {"normalise": "gumbel", "mask": causal()},
}


@pytest.mark.parametrize("heads", [None, [2, 0]], ids=["all heads", "two heads"])
@pytest.mark.parametrize("parts", CALLS.values(), ids=CALLS.keys())
def test_weights_are_those_of_attend_with_weights(parts: Callable[[], dict[str, Any]], heads: list[int] | None) -> None:
    q, k, v = torch.randn(B, H, T, 4), torch.randn(B, 2, T, 4), torch.randn(B, 2, T, 3)
    model, named = Attends(), parts()
    torch.manual_seed(7)
    found, after = attend_with_weights(q, k, v, **named), torch.rand(2)
    torch.manual_seed(7)
    with watch(model, weights=True, topk=2, heads=heads) as seen:
        context = model(q, k, v, **named)
    assert torch.equal(torch.rand(2), after)
    torch.manual_seed(7)
    assert torch.equal(context, model(q, k, v, **named))
    (look,) = seen
    expected = found.weights if heads is None else found.weights[:, heads]
    torch.testing.assert_close(look.observed.weights, expected, rtol=0, atol=1e-5)
    assert look.observed.topk is not None
    torch.testing.assert_close(look.observed.topk.weights, expected.topk(2).values, rtol=0, atol=1e-5)
    lse = found.lse if heads is None else found.lse[:, heads]
    torch.testing.assert_close(look.observed.lse, lse, rtol=0, atol=1e-5)
    assert (look.heads, look.observed.size) == (heads and tuple(heads), (B, expected.shape[1], T, T))


def test_our_layers_are_seen_where_they_stand_with_every_step() -> None:
    model = Model().train()
    x = torch.randn(B, T, E)
    torch.manual_seed(1)
    plain, after = model(x), torch.rand(2)
    torch.manual_seed(1)
    with watch(model, weights=True) as seen:
        watched = model(x)
    assert torch.equal(watched, plain)
    assert torch.equal(torch.rand(2), after)
    assert [(look.name, look.step, look.cross) for look in seen] == [(name, 0, False) for name in NAMES]
    torch.testing.assert_close(
        seen.matrix("layers.0", 1, 1), model.layers[0].weights(x, mask=causal())[1, 1].detach(), rtol=0, atol=1e-5
    )
    with watch(model) as seen:
        model(x)
        model(x[:1])
    assert [look.step for look in seen["last"]] == [0, 1]
    assert [look.observed.size for look in seen["layers.1"]] == [(B, H, T, T), (1, H, T, T)]


def test_gradients_are_those_without_a_watch_and_a_checkpoint_counts_once() -> None:
    class Checkpointed(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.model = Model().eval()

        def forward(self, x: Tensor) -> Tensor:
            return checkpoint(self.model, x, use_reentrant=False)

    model = Checkpointed()
    x = torch.randn(B, T, E)
    model(x).sum().backward()
    plain = [parameter.grad for parameter in model.parameters()]
    model.zero_grad()
    with watch(model) as seen:
        model(x).sum().backward()
    assert seen.names == [f"model.{name}" for name in NAMES]
    assert len(seen) == 3
    for parameter, grad in zip(model.parameters(), plain, strict=True):
        assert (parameter.grad is None and grad is None) or torch.equal(parameter.grad, grad)


def test_a_generation_with_a_cache_becomes_one_matrix() -> None:
    class Decoder(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.attention = MultiHeadAttention(E, H, positions=Rotary())

        def forward(self, x: Tensor, past: Any) -> tuple[Tensor, Any]:
            memory = self.attention.prepare(x, after=past)
            return self.attention(x, memory, mask=causal()), memory

    model, x = Decoder().eval(), torch.randn(1, T, E)
    with watch(model, weights=True) as seen:
        _, memory = model(x[:, :2], None)
        for t in range(2, T):
            _, memory = model(x[:, t : t + 1], memory)
    assert [(look.step, look.cross, look.observed.size[2:]) for look in seen] == [
        (0, False, (2, 2)), *((t - 1, False, (1, t + 1)) for t in range(2, T))
    ]  # fmt: skip
    expected = model.attention.weights(x, mask=causal())[0, 3].detach()
    torch.testing.assert_close(seen.matrix("attention", 3), expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize("attention", ["additive", "general", "local-m", "local-p"])
@pytest.mark.parametrize("order", ["bahdanau", "luong"])
def test_the_decoders_steps_become_source_by_target(attention: str, order: str) -> None:
    model = small.model(attention=attention, order=order, window=2)
    source, lengths = small.batch(small.SOURCE)
    target = torch.tensor([[1, 4, 5, 6]] * len(source))
    with watch(model, weights=True) as seen:
        readout = model(source, lengths, target)
    assert torch.equal(readout, model(source, lengths, target))
    assert seen.names == ["decoder.context.attention"]
    assert [look.step for look in seen] == [0, 1, 2, 3]
    assert all(look.cross for look in seen)
    with torch.no_grad():
        memory = model.encode(source, lengths)
        state, alphas = model.start(memory, 1), []
        for t in range(4):
            _, state, alpha = model.step(target[:, t : t + 1], state, memory, weights=True)
            alphas.append(alpha)
    expected = torch.cat(alphas, 1)
    for row in range(len(source)):
        found = seen.matrix("decoder.context.attention", 0, row)
        torch.testing.assert_close(found.double(), expected[row], rtol=0, atol=1e-5)


def test_a_translator_shows_what_its_translation_shows() -> None:
    translator = regard.load("en-fr")
    plain = translator.translate(["I love deep learning"], beam=1)[0]
    with watch(translator.model, weights=True) as seen:
        watched = translator.translate(["I love deep learning"], beam=1)[0]
    assert watched.text == plain.text
    found = seen.matrix("decoder.context.attention", 0)  # its last row read the end of the sentence
    torch.testing.assert_close(found[:-1].sum(-1), torch.ones(len(found) - 1))
    assert found.shape == (len(watched.tokens) + 1, len(watched.source_words))
    merged = found[: len(watched.tokens)]
    assert merged.argmax(-1)[0] == plain.attention[0].argmax()
    with watch(translator.model, weights=True) as seen:
        translator.translate(["I love deep learning"], beam=3)
    with pytest.raises(ValueError, match="beam search"):
        seen.matrix("decoder.context.attention", 0)
    with pytest.raises(ValueError, match=r"got Translator: watch its \.model"):
        watch(translator)  # type: ignore[arg-type]


def test_methods_beside_forward() -> None:
    model, x = Model().eval(), torch.randn(B, T, E)
    with watch(model) as seen:
        model.layers[1].attended(x)
        model.layers[1](x)
        model.layers[0].weights(x)
    assert [(look.name, look.step) for look in seen] == [("layers.1", 0), ("layers.1", 1), ("layers.0", 0)]


def test_layers_alone() -> None:
    for layer, arguments in (
        (AdditiveAttention(3, 5, hidden=4), (torch.randn(B, 3, 3), torch.randn(B, T, 5), torch.tensor([2, 6]))),
        (LocalAttention(3, 5, 2, predictive=True), (torch.randn(B, 3, 3), torch.randn(B, T, 5), torch.tensor([2, 6]))),
    ):
        with watch(layer) as seen:
            watched = layer(*arguments)
        assert torch.equal(watched, layer(*arguments))
        assert seen.names == [type(layer).__name__]
