"""The mechanisms as layers: shapes are (batch, time, features)."""

from regard.layers.additive import AdditiveAttention
from regard.layers.dot import DotAttention, GeneralAttention
from regard.layers.local import LocalAttention

__all__ = ["AdditiveAttention", "DotAttention", "GeneralAttention", "LocalAttention"]
