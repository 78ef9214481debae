"""The mechanisms as layers: shapes are (batch, time, features). Names load when they are first used."""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from regard.layers.additive import AdditiveAttention
    from regard.layers.channel import ChannelAttention
    from regard.layers.coattention import AlternatingCoAttention, CoAttention, ParallelCoAttention
    from regard.layers.dot import DotAttention, GeneralAttention
    from regard.layers.dual_stage import DualStageAttention
    from regard.layers.gates import (
        Cbam,
        CbamChannelGate,
        CbamSpatialGate,
        EfficientChannelAttention,
        SqueezeExcitation,
    )
    from regard.layers.hard import HardAttention
    from regard.layers.hierarchical import HierarchicalAttention
    from regard.layers.linear import LinearAttention
    from regard.layers.linear_sums import linear_attend
    from regard.layers.local import LocalAttention
    from regard.layers.memory import MemoryAttention
    from regard.layers.multihead import MultiHeadAttention
    from regard.layers.names import (
        CrossAttention,
        GlobalAttention,
        MaskedSelfAttention,
        ScaledDotProductAttention,
        SelfAttention,
        SoftAttention,
    )
    from regard.layers.non_local import NonLocalAttention
    from regard.layers.penalties import doubly_stochastic
    from regard.layers.pooling import AttentionPooling
    from regard.layers.positions import Alibi, Rotary, T5Relative
    from regard.layers.reinforce import Reinforce
    from regard.layers.sparse import SparseAttention
    from regard.layers.spatial import QueriedSpatialAttention, SpatialAttention
    from regard.layers.store import Store
    from regard.layers.temporal import TemporalAttention
    from regard.layers.torch_masks import torch_masks

_HOMES = {
    "additive": ("AdditiveAttention",),
    "channel": ("ChannelAttention",),
    "coattention": ("AlternatingCoAttention", "CoAttention", "ParallelCoAttention"),
    "dot": ("DotAttention", "GeneralAttention"),
    "dual_stage": ("DualStageAttention",),
    "gates": ("Cbam", "CbamChannelGate", "CbamSpatialGate", "EfficientChannelAttention", "SqueezeExcitation"),
    "hard": ("HardAttention",),
    "hierarchical": ("HierarchicalAttention",),
    "linear": ("LinearAttention",),
    "linear_sums": ("linear_attend",),
    "local": ("LocalAttention",),
    "memory": ("MemoryAttention",),
    "multihead": ("MultiHeadAttention",),
    "names": (
        "CrossAttention",
        "GlobalAttention",
        "MaskedSelfAttention",
        "ScaledDotProductAttention",
        "SelfAttention",
        "SoftAttention",
    ),
    "non_local": ("NonLocalAttention",),
    "penalties": ("doubly_stochastic",),
    "pooling": ("AttentionPooling",),
    "positions": ("Alibi", "Rotary", "T5Relative"),
    "reinforce": ("Reinforce",),
    "sparse": ("SparseAttention",),
    "spatial": ("QueriedSpatialAttention", "SpatialAttention"),
    "store": ("Store",),
    "temporal": ("TemporalAttention",),
    "torch_masks": ("torch_masks",),
}
_HOME = {name: home for home, names in _HOMES.items() for name in names}

__all__ = [
    "AdditiveAttention",
    "Alibi",
    "AlternatingCoAttention",
    "AttentionPooling",
    "Cbam",
    "CbamChannelGate",
    "CbamSpatialGate",
    "ChannelAttention",
    "CoAttention",
    "CrossAttention",
    "DotAttention",
    "DualStageAttention",
    "EfficientChannelAttention",
    "GeneralAttention",
    "GlobalAttention",
    "HardAttention",
    "HierarchicalAttention",
    "LinearAttention",
    "LocalAttention",
    "MaskedSelfAttention",
    "MemoryAttention",
    "MultiHeadAttention",
    "NonLocalAttention",
    "ParallelCoAttention",
    "QueriedSpatialAttention",
    "Reinforce",
    "Rotary",
    "ScaledDotProductAttention",
    "SelfAttention",
    "SoftAttention",
    "SparseAttention",
    "SpatialAttention",
    "SqueezeExcitation",
    "Store",
    "T5Relative",
    "TemporalAttention",
    "doubly_stochastic",
    "linear_attend",
    "torch_masks",
]


def __getattr__(name: str) -> object:
    if name not in _HOME:
        raise AttributeError(f"module 'regard.layers' has no attribute {name!r}")
    value = globals()[name] = getattr(import_module(f"regard.layers.{_HOME[name]}"), name)
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOME})
