"""timm's layers, an oracle, without the torchvision that timm asks for: there is none for PyTorch built for CPU alone.

timm is installed without what it depends on (`make test` does). Its front door imports every model it has, and those
want torchvision; its layers want one class of it, which SE, ECA and CBAM do not use. So the front door stays closed,
and an empty class stands in.
"""

from __future__ import annotations

import importlib
import sys
from importlib.util import find_spec
from types import ModuleType

import pytest
from torch import nn


def timm_layer(module: str) -> ModuleType:
    """A module of timm.layers; skips the test where timm is not installed."""
    found = find_spec("timm")
    if found is None:
        pytest.skip("timm is not installed: pip install --no-deps timm")
    before = set(sys.modules)
    try:
        sys.modules["timm"] = closed = ModuleType("timm")
        closed.__path__ = list(found.submodule_search_locations or ())
        for name in ("torchvision", "torchvision.ops", "torchvision.ops.misc"):
            sys.modules.setdefault(name, ModuleType(name))
        sys.modules["torchvision.ops.misc"].FrozenBatchNorm2d = nn.Identity  # type: ignore[attr-defined]
        return importlib.import_module(f"timm.layers.{module}")
    finally:  # others who look for torchvision or timm find what there was
        for name in set(sys.modules) - before:
            if name.split(".")[0] in ("timm", "torchvision"):
                del sys.modules[name]
