"""Watched attention of `torch.nn`: the weights are those it returns itself, and it computes what it did."""

from __future__ import annotations

import math
import threading
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from regard.watch import watch

B, T, S, E, H = 2, 5, 7, 16, 4


def inputs(batch_first: bool, same: bool) -> tuple[Tensor, Tensor, Tensor]:
    x = torch.randn(B, T, E)
    memory = x if same else torch.randn(B, S, E)
    if batch_first:
        return x, memory, memory
    x = x.transpose(0, 1)
    return (x, x, x) if same else (x, memory.transpose(0, 1), memory.transpose(0, 1))


HIDDEN = torch.rand(T, S, generator=torch.Generator().manual_seed(0)) > 0.6  # True hides, as torch.nn has it
HIDDEN[:, 0] = False
PADDED = torch.arange(S) >= torch.tensor([[4], [7]])

MASKS: dict[str, dict[str, Any]] = {
    "none": {},
    "hidden": {"attn_mask": HIDDEN},
    "numbers": {"attn_mask": torch.randn(T, S)},
    "of each head": {"attn_mask": torch.randn(B * H, T, S)},
    "padding": {"key_padding_mask": PADDED},
    "both": {"attn_mask": HIDDEN, "key_padding_mask": PADDED},
    "infinity": {"attn_mask": torch.zeros(T, S).masked_fill(HIDDEN, -math.inf)},
}


@pytest.mark.parametrize("training", [False, True], ids=["eval", "train"])
@pytest.mark.parametrize("batch_first", [True, False])
@pytest.mark.parametrize("masks", MASKS.values(), ids=MASKS.keys())
@pytest.mark.parametrize("made", [{}, {"add_bias_kv": True}, {"add_zero_attn": True}, {"bias": False}], ids=str)
def test_weights_are_those_it_returns(
    made: dict[str, bool], masks: dict[str, Any], batch_first: bool, training: bool
) -> None:
    module = nn.MultiheadAttention(E, H, batch_first=batch_first, dropout=0.3 * training, **made).train(training)
    q, k, v = inputs(batch_first, same=False)
    _, expected = module.eval()(q, k, v, average_attn_weights=False, **masks)
    module.train(training)
    for need_weights in (True, False):
        torch.manual_seed(5)
        plain, after = module(q, k, v, need_weights=need_weights, **masks), torch.rand(2)
        torch.manual_seed(5)
        with watch(module, weights=True) as seen:
            watched = module(q, k, v, need_weights=need_weights, **masks)
        assert torch.equal(torch.rand(2), after)
        assert torch.equal(watched[0], plain[0])
        assert (watched[1] is None) == (plain[1] is None)
        assert need_weights is False or torch.equal(watched[1], plain[1])
        (look,) = seen
        assert look.cross
        assert (look.name, seen.unread) == ("MultiheadAttention", {})
        torch.testing.assert_close(look.observed.weights, expected.detach(), rtol=0, atol=1e-5)


@pytest.mark.parametrize("need_weights", [True, False])
@pytest.mark.parametrize("grad", [True, False])
def test_a_causal_hint(need_weights: bool, grad: bool) -> None:
    module = nn.MultiheadAttention(E, H, batch_first=True).eval()
    x, _, _ = inputs(True, same=True)
    later = torch.ones(T, T, dtype=torch.bool).triu(1)
    arguments = {"attn_mask": later, "is_causal": True, "need_weights": need_weights}
    with torch.set_grad_enabled(grad):
        plain = module(x, x, x, **arguments)[0]
        with watch(module, weights=True) as seen:
            watched = module(x, x, x, **arguments)[0]
    torch.testing.assert_close(watched, plain, rtol=0, atol=0.0 if grad else 1e-6)
    _, expected = module(x, x, x, attn_mask=later, average_attn_weights=False)
    torch.testing.assert_close(seen.looks[0].observed.weights, expected.detach(), rtol=0, atol=1e-5)
    assert not seen.looks[0].cross


def test_other_sizes_of_keys_and_values_and_no_batch() -> None:
    module = nn.MultiheadAttention(E, H, kdim=6, vdim=10, batch_first=True).eval()
    q, k, v = torch.randn(T, E), torch.randn(S, 6), torch.randn(S, 10)
    _, expected = module(q, k, v, average_attn_weights=False)
    with watch(module, weights=True) as seen:
        module(q, k, v, need_weights=False)
    torch.testing.assert_close(seen.looks[0].observed.weights[0], expected.detach(), rtol=0, atol=1e-5)


def encoder(layers: int = 2, **named: Any) -> nn.TransformerEncoder:
    layer = nn.TransformerEncoderLayer(E, H, 32, batch_first=True, **named)
    norm = nn.LayerNorm(E)
    nn.init.normal_(norm.bias)
    return nn.TransformerEncoder(layer, layers, norm).eval()


@pytest.mark.filterwarnings("ignore:The PyTorch API of nested tensors")
@pytest.mark.parametrize("normed", [True, False])
@pytest.mark.parametrize("padded", ["no", "at the end", "at the start"])
def test_the_fused_encoder_is_left_and_agrees_within_1e_6(padded: str, normed: bool) -> None:
    model = encoder()
    if not normed:
        model.norm = None
    x = torch.randn(B, T, E)
    padding = None if padded == "no" else torch.arange(T) >= torch.tensor([[3], [T]])
    if padding is not None and padded == "at the start":
        padding = padding.flip(1)
    with torch.no_grad():
        plain = model(x, src_key_padding_mask=padding)
        with watch(model, weights=True) as seen:
            watched = model(x, src_key_padding_mask=padding)
        again = model(x, src_key_padding_mask=padding)
    torch.testing.assert_close(watched, plain, rtol=0, atol=1e-6)
    assert torch.equal(again, plain)
    assert seen.names == ["layers.0.self_attn", "layers.1.self_attn"]
    _, expected = model.layers[0].self_attn(x, x, x, key_padding_mask=padding, average_attn_weights=False)
    torch.testing.assert_close(seen.looks[0].observed.weights, expected.detach(), rtol=0, atol=1e-5)


def test_where_the_fused_encoder_does_not_run_outputs_are_the_same_bits() -> None:
    model = encoder(dropout=0.2).train()
    x = torch.randn(B, T, E)
    torch.manual_seed(1)
    plain = model(x)
    torch.manual_seed(1)
    with watch(model):
        watched = model(x)
    assert torch.equal(watched, plain)


def test_a_whole_transformer() -> None:
    model = nn.Transformer(E, H, 2, 3, 32, batch_first=True).eval()
    source, target = torch.randn(B, S, E), torch.randn(B, T, E)
    later = model.generate_square_subsequent_mask(T)
    plain = model(source, target, tgt_mask=later, tgt_is_causal=True)
    with watch(model, weights=True) as seen:
        watched = model(source, target, tgt_mask=later, tgt_is_causal=True)
    assert torch.equal(watched, plain)
    assert [(look.name, look.cross) for look in seen] == [
        *((f"encoder.layers.{i}.self_attn", False) for i in range(2)),
        *((f"decoder.layers.{i}.{kind}", cross) for i in range(3) for kind, cross in
          (("self_attn", False), ("multihead_attn", True))),
    ]  # fmt: skip
    causal = seen["decoder.layers.1.self_attn"][0].observed.weights
    assert causal.triu(1).eq(0).all()
    torch.testing.assert_close(causal.sum(-1), torch.ones(B, H, T))
    with watch(model, layers=["encoder", "decoder.layers.*.multihead_attn"]) as seen:
        model(source, target, tgt_mask=later)
    assert len(seen.names) == 5


@pytest.mark.filterwarnings("ignore:The PyTorch API of nested tensors")
def test_another_thread_keeps_its_fast_path() -> None:
    model, x = encoder(), torch.randn(B, T, E)
    padding = torch.arange(T) >= torch.tensor([[3], [T]])
    found: list[Tensor] = []

    def elsewhere() -> None:
        with torch.no_grad():
            found.append(model(x, src_key_padding_mask=padding))

    with torch.no_grad():
        plain = model(x, src_key_padding_mask=padding)
        with watch(model) as seen:
            thread = threading.Thread(target=elsewhere)
            thread.start()
            thread.join()
            assert len(seen) == 0
            model(x)
    assert torch.equal(found[0], plain)


def test_torchs_function_itself_called_by_a_module_of_ones_own() -> None:
    class Own(nn.MultiheadAttention):
        def forward(self, x: Tensor) -> Tensor:  # type: ignore[override]
            return nn.functional.multi_head_attention_forward(
                x, x, x, E, H, self.in_proj_weight * 2, self.in_proj_bias, None, None, False, 0.0,
                self.out_proj.weight * 2, self.out_proj.bias, training=False, need_weights=False
            )[0]  # fmt: skip

    model, x = nn.Sequential(Own(E, H)), torch.randn(T, B, E)
    with watch(model, weights=True) as seen:
        watched = model(x)
    assert torch.equal(watched, model(x))
    assert seen.names == ["0"]
