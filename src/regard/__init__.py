"""Attention in deep learning: every mechanism as one equation, and a translator that shows where it looks.

Names load when they are first used: `from regard import attend` brings PyTorch, and nothing of training or plotting.
"""

import sys
from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING

__version__ = "0.1.0"

if TYPE_CHECKING:
    from regard.attend import attend, attend_with_weights, explain, plan
    from regard.equation.biases import alibi, gaussian, relative
    from regard.equation.masks import blocks, causal, dense, documents, padding, tokens, window
    from regard.equation.normalisers import Entmax, Gumbel, Hard, Softmax, TopK
    from regard.equation.patterns import bigbird, fixed, strided
    from regard.equation.prepare import Keys
    from regard.equation.reference import Attended
    from regard.equation.scores import Additive, Cosine, Dot, General
    from regard.kernels.plan import kernel
    from regard.layers import (
        AdditiveAttention,
        ChannelAttention,
        CoAttention,
        CrossAttention,
        DotAttention,
        GeneralAttention,
        GlobalAttention,
        HardAttention,
        HierarchicalAttention,
        LocalAttention,
        MaskedSelfAttention,
        MemoryAttention,
        MultiHeadAttention,
        ScaledDotProductAttention,
        SelfAttention,
        SoftAttention,
        SparseAttention,
        SpatialAttention,
        TemporalAttention,
    )
    from regard.models.han import HAN
    from regard.observe.record import Observe
    from regard.observe.statistics import observe
    from regard.translator import load
    from regard.watch import watch

_HOMES = {  # of what is not in layers/, where each file says what it offers
    "regard.attend": ("attend", "attend_with_weights", "explain", "plan"),
    "regard.equation.biases": ("alibi", "gaussian", "relative"),
    "regard.equation.masks": ("blocks", "causal", "dense", "documents", "padding", "tokens", "window"),
    "regard.equation.normalisers": ("Entmax", "Gumbel", "Hard", "Softmax", "TopK"),
    "regard.equation.patterns": ("bigbird", "fixed", "strided"),
    "regard.equation.prepare": ("Keys",),
    "regard.equation.reference": ("Attended",),
    "regard.equation.scores": ("Additive", "Cosine", "Dot", "General"),
    "regard.kernels.plan": ("kernel",),
    "regard.models.han": ("HAN",),
    "regard.observe.record": ("Observe",),
    "regard.observe.statistics": ("observe",),
    "regard.translator": ("load",),
    "regard.watch": ("watch",),
}
_HOME = {name: home for home, names in _HOMES.items() for name in names}

__all__ = [
    "HAN",
    "Additive",
    "AdditiveAttention",
    "Attended",
    "ChannelAttention",
    "CoAttention",
    "Cosine",
    "CrossAttention",
    "Dot",
    "DotAttention",
    "Entmax",
    "General",
    "GeneralAttention",
    "GlobalAttention",
    "Gumbel",
    "Hard",
    "HardAttention",
    "HierarchicalAttention",
    "Keys",
    "LocalAttention",
    "MaskedSelfAttention",
    "MemoryAttention",
    "MultiHeadAttention",
    "Observe",
    "ScaledDotProductAttention",
    "SelfAttention",
    "SoftAttention",
    "Softmax",
    "SparseAttention",
    "SpatialAttention",
    "TemporalAttention",
    "TopK",
    "__version__",
    "alibi",
    "attend",
    "attend_with_weights",
    "bigbird",
    "blocks",
    "causal",
    "dense",
    "documents",
    "explain",
    "fixed",
    "gaussian",
    "kernel",
    "load",
    "observe",
    "padding",
    "plan",
    "relative",
    "strided",
    "tokens",
    "watch",
    "window",
]


def __getattr__(name: str) -> object:
    home = _HOME.get(name, "regard.layers")
    room = None if name.startswith("_") else import_module(home)
    if room is None or (name not in _HOME and name not in room.__all__):
        raise AttributeError(f"module 'regard' has no attribute {name!r}")
    value = globals()[name] = getattr(room, name)
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})


class _Package(ModuleType):
    """This package as a module whose `attend`, `observe` and `watch` are the functions, whatever was imported first."""

    def __setattr__(self, name: str, value: object) -> None:
        if name == "observe" and isinstance(value, ModuleType):
            return  # the room: `from regard.observe import ...` finds it; the function loads when it is asked for
        if name in ("attend", "watch") and isinstance(value, ModuleType):
            value = getattr(value, name)
        super().__setattr__(name, value)


sys.modules[__name__].__class__ = _Package
