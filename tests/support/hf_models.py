"""Tiny models of transformers with random weights, made offline: a maker for each family, and inputs for it."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
import torch
from torch import Tensor, nn

hf = pytest.importorskip("transformers")  # whoever imports these models is skipped without it

SMALL = {"hidden_size": 32, "intermediate_size": 40, "num_hidden_layers": 2, "num_attention_heads": 4}
GROUPED = {**SMALL, "num_key_value_heads": 2, "head_dim": 8}
SEQ2SEQ = {
    "d_model": 32,
    "encoder_layers": 2,
    "decoder_layers": 2,
    "encoder_attention_heads": 4,
    "decoder_attention_heads": 4,
    "encoder_ffn_dim": 37,
    "decoder_ffn_dim": 37,
    "max_position_embeddings": 64,
    "pad_token_id": 0,
    "bos_token_id": 1,
    "eos_token_id": 2,
    "decoder_start_token_id": 1,
    "forced_eos_token_id": None,
}


@dataclass(frozen=True)
class Family:
    """One architecture, small."""

    config: Callable[[], Any]
    model: Callable[[Any], nn.Module]
    kind: str
    """"encoder", "decoder", "seq2seq" or "image"."""
    flex: bool = True
    """Whether transformers has a flex form of it that runs on a CPU."""

    def make(self, attention: str = "eager", **changes: Any) -> nn.Module:
        """The model with the same random weights each time."""
        config = self.config()
        for name, value in changes.items():
            setattr(config, name, value)
        config._attn_implementation = attention
        torch.manual_seed(0)
        model = self.model(config).eval()
        for name, parameter in model.named_parameters():  # started at 0, they would hide what they do
            if name.endswith(("sinks", "relative_attention_bias.weight")):
                nn.init.normal_(parameter)
        return model

    def inputs(self, pad: str | None = None, batch: int = 2, time: int = 11) -> dict[str, Tensor]:
        """Arguments of the forward pass; `pad` "right" or "left" hides part of the second row."""
        generator = torch.Generator().manual_seed(1)
        if self.kind == "image":
            return {"pixel_values": torch.randn(batch, 3, 12, 12, generator=generator)}
        ids = torch.randint(3, 99, (batch, time), generator=generator)
        there = torch.ones(batch, time, dtype=torch.long)
        if pad is not None:
            there[1, (slice(-4, None) if pad == "right" else slice(0, 4))] = 0
            ids = ids * there
        inputs = {"input_ids": ids}
        if pad is not None:
            inputs["attention_mask"] = there
        if self.kind == "seq2seq":
            inputs["decoder_input_ids"] = torch.randint(3, 99, (batch, 6), generator=generator)
        return inputs


def _config(name: str, **settings: Any) -> Callable[[], Any]:
    return lambda: getattr(hf, name)(**{"vocab_size": 99, **settings})


def _of(name: str) -> Callable[[Any], nn.Module]:
    return lambda config: getattr(hf, name)(config)


FAMILIES = {
    "bert": Family(_config("BertConfig", **SMALL, max_position_embeddings=64), _of("BertModel"), "encoder"),
    "gpt2": Family(
        _config("GPT2Config", n_embd=32, n_layer=2, n_head=4, n_positions=64, bos_token_id=1, eos_token_id=2),
        _of("GPT2LMHeadModel"),
        "decoder",
        flex=False,
    ),
    "t5": Family(
        _config("T5Config", d_model=32, d_kv=8, d_ff=37, num_layers=2, num_heads=4, decoder_start_token_id=0),
        _of("T5ForConditionalGeneration"),
        "seq2seq",
    ),
    "bart": Family(_config("BartConfig", **SEQ2SEQ), _of("BartForConditionalGeneration"), "seq2seq"),
    "marian": Family(_config("MarianConfig", **SEQ2SEQ), _of("MarianMTModel"), "seq2seq"),
    "llama": Family(_config("LlamaConfig", **GROUPED), _of("LlamaForCausalLM"), "decoder"),
    "mistral": Family(_config("MistralConfig", **GROUPED, sliding_window=4), _of("MistralForCausalLM"), "decoder"),
    "gemma2": Family(
        _config("Gemma2Config", **GROUPED, sliding_window=4, attn_logit_softcapping=2.0, query_pre_attn_scalar=3),
        _of("Gemma2ForCausalLM"),
        "decoder",
    ),
    "gpt_oss": Family(
        _config("GptOssConfig", **GROUPED, sliding_window=4, num_local_experts=2, num_experts_per_tok=1),
        _of("GptOssForCausalLM"),
        "decoder",
        flex=False,
    ),
    "vit": Family(
        lambda: hf.ViTConfig(**SMALL, image_size=12, patch_size=4),
        _of("ViTModel"),
        "image",
    ),
}
"""Grouped heads, windows, soft caps, sinks, learned biases, cross-attention, images: what the families have."""


def through_the_interface(family: Family) -> bool:
    """Whether this version of transformers computes the model's attention through its interface (T5: since 5.15)."""
    return hasattr(sys.modules[type(family.make()).__module__], "ALL_ATTENTION_FUNCTIONS")
