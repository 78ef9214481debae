"""The mechanisms as layers: shapes are (batch, time, features). Names load when they are first used.

What a file offers stands in its `__all__` and in no other list: a file with a new mechanism is found by itself.
"""
# ruff: noqa: F403, F405

import re
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:  # for editors and type checkers, which do not search
    from regard.layers.additive import *
    from regard.layers.channel import *
    from regard.layers.coattention import *
    from regard.layers.dot import *
    from regard.layers.dual_stage import *
    from regard.layers.gates import *
    from regard.layers.hard import *
    from regard.layers.hierarchical import *
    from regard.layers.linear import *
    from regard.layers.linear_sums import *
    from regard.layers.local import *
    from regard.layers.memory import *
    from regard.layers.multihead import *
    from regard.layers.names import *
    from regard.layers.non_local import *
    from regard.layers.penalties import *
    from regard.layers.pooling import *
    from regard.layers.positions import *
    from regard.layers.reinforce import *
    from regard.layers.sparse import *
    from regard.layers.spatial import *
    from regard.layers.store import *
    from regard.layers.temporal import *
    from regard.layers.torch_convention import *


def _homes() -> dict[str, str]:
    """The file of each name that is offered: read off the files' text, for running them would load PyTorch."""
    homes: dict[str, str] = {}
    for file in (file for folder in __path__ for file in Path(folder).glob("*.py")):
        offered = re.search(r"^__all__ = \[(.*?)\]", file.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
        homes |= dict.fromkeys(re.findall(r"\w+", offered[1]) if offered else (), file.stem)
    return homes


def __getattr__(name: str) -> Any:
    if name == "__all__":
        return sorted(_homes())
    home = None if name.startswith("_") else _homes().get(name)
    if home is None:
        raise AttributeError(f"module 'regard.layers' has no attribute {name!r}")
    value = globals()[name] = getattr(import_module(f"regard.layers.{home}"), name)
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_homes()})
