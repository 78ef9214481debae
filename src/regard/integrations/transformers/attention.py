"""`attn_implementation="regard"`: transformers' models computing their attention by `regard.attend`.

The registries of transformers are the process's own: what is written there is written once, and taken away as it was.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from torch import Tensor, nn

from regard.attend import attend
from regard.integrations.transformers import masks
from regard.integrations.transformers.arguments import equation

NAME = "regard"
_lock = threading.Lock()


def attention(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Any,
    dropout: float = 0.0,
    **arguments: Any,
) -> tuple[Tensor, None]:
    """The attention function: queries (B, H, Tq, D), keys and values (B, Hk, Tk, .) to a context (B, Tq, H, Dv).

    Raises ValueError for an argument that may change the result and is not known.
    """
    parts = equation(module, query, key, attention_mask, causal_without_mask=True, **arguments)
    context = attend(query, key, value, dropout=dropout if module.training else 0.0, **parts)
    return context.transpose(1, 2).contiguous(), None


def register() -> None:
    """Give transformers our attention, and our masks, under the name "regard"; again is the same as once.

    Raises ValueError if somebody else's attention or masks have that name.
    """
    from transformers import AttentionInterface, AttentionMaskInterface

    with _lock:
        for interface, ours in ((AttentionInterface, attention), (AttentionMaskInterface, masks.mask)):
            if interface._global_mapping.get(NAME, ours) is not ours:
                raise ValueError(f"register: transformers has another {interface.__name__} of the name {NAME!r}")
        AttentionInterface.register(NAME, attention)
        AttentionMaskInterface.register(NAME, masks.mask)


def unregister() -> None:
    """Take it away again; models that were loaded with it cannot run until it is back."""
    from transformers import AttentionInterface, AttentionMaskInterface

    with _lock:
        for interface, ours in ((AttentionInterface, attention), (AttentionMaskInterface, masks.mask)):
            if interface._global_mapping.get(NAME) is ours:
                del interface._global_mapping[NAME]


@contextmanager
def registered() -> Iterator[None]:
    """Within it, transformers knows "regard"; afterwards as before, also after an exception."""
    from transformers import AttentionInterface

    before = NAME in AttentionInterface._global_mapping
    register()
    try:
        yield
    finally:
        if not before:
            unregister()
