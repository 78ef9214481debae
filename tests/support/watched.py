"""A model to watch, and whether a watch left anything in it."""

from __future__ import annotations

import sys
from typing import Any

from torch import Tensor, nn
from torch.overrides import _get_current_function_mode_stack

from regard import causal
from regard.layers import MultiHeadAttention
from regard.observe import listening

B, T, E, H = 2, 6, 16, 4


class Model(nn.Module):
    """Two layers of ours and one of torch."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.ModuleList([MultiHeadAttention(E, H, dropout=0.2), MultiHeadAttention(E, H, key_heads=2)])
        self.last = nn.MultiheadAttention(E, 2, batch_first=True)
        self.fails = False

    def forward(self, x: Tensor) -> Tensor:
        for layer in self.layers:
            x = x + layer(x, mask=causal())
        if self.fails:
            raise KeyError("in the model")
        return self.last(x, x, x, need_weights=False)[0]


NAMES = ["layers.0", "layers.1", "last"]


def everything_is_as_it_was(*models: nn.Module) -> bool:
    """No hook, no listener, no mode is left."""
    modules = [module for model in models for module in model.modules()]
    return (
        not any(module._forward_hooks or module._forward_pre_hooks for module in modules)
        and not any(module._forward_hooks_always_called or module._forward_hooks_with_kwargs for module in modules)
        and not _get_current_function_mode_stack()
        and listening._local.listeners == ()
        and listening._local.claims == 0
        and _door()._listeners == 0
        and _door()._listening.listener is None
    )


def _door() -> Any:
    return sys.modules["regard.attend"]
