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
    from regard.layers.local import LocalAttention
    from regard.layers.non_local import NonLocalAttention
    from regard.layers.pooling import AttentionPooling
    from regard.layers.spatial import QueriedSpatialAttention, SpatialAttention
    from regard.layers.temporal import TemporalAttention

_HOMES = {
    "additive": ("AdditiveAttention",),
    "channel": ("ChannelAttention",),
    "coattention": ("AlternatingCoAttention", "CoAttention", "ParallelCoAttention"),
    "dot": ("DotAttention", "GeneralAttention"),
    "dual_stage": ("DualStageAttention",),
    "gates": ("Cbam", "CbamChannelGate", "CbamSpatialGate", "EfficientChannelAttention", "SqueezeExcitation"),
    "local": ("LocalAttention",),
    "non_local": ("NonLocalAttention",),
    "pooling": ("AttentionPooling",),
    "spatial": ("QueriedSpatialAttention", "SpatialAttention"),
    "temporal": ("TemporalAttention",),
}
_HOME = {name: home for home, names in _HOMES.items() for name in names}

__all__ = [
    "AdditiveAttention",
    "AlternatingCoAttention",
    "AttentionPooling",
    "Cbam",
    "CbamChannelGate",
    "CbamSpatialGate",
    "ChannelAttention",
    "CoAttention",
    "DotAttention",
    "DualStageAttention",
    "EfficientChannelAttention",
    "GeneralAttention",
    "LocalAttention",
    "NonLocalAttention",
    "ParallelCoAttention",
    "QueriedSpatialAttention",
    "SpatialAttention",
    "SqueezeExcitation",
    "TemporalAttention",
]


def __getattr__(name: str) -> object:
    if name not in _HOME:
        raise AttributeError(f"module 'regard.layers' has no attribute {name!r}")
    value = globals()[name] = getattr(import_module(f"regard.layers.{_HOME[name]}"), name)
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOME})
