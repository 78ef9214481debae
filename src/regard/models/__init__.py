"""Whole networks. Names load when they are first used."""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from regard.models.han import HAN
    from regard.models.memory_network import MemoryNetwork
    from regard.models.seq2seq import Seq2Seq

_HOME = {"HAN": "han", "MemoryNetwork": "memory_network", "Seq2Seq": "seq2seq"}

__all__ = ["HAN", "MemoryNetwork", "Seq2Seq"]


def __getattr__(name: str) -> object:
    if name not in _HOME:
        raise AttributeError(f"module 'regard.models' has no attribute {name!r}")
    value = globals()[name] = getattr(import_module(f"regard.models.{_HOME[name]}"), name)
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOME})
