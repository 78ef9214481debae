"""Everything that one watch saw: its calls of attention by module, ready to be looked at."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from regard.observe.record import Observed


@dataclass(frozen=True)
class Look:
    """One call of attention that was watched."""

    name: str
    """The module's path in the model, e.g. "encoder.layers.0.self_attn"; with "#2" for its second attention, if any."""
    step: int
    """Which call of this module it was, from 0: the step, while a model generates."""
    observed: Observed
    cross: bool = False
    """Whether queries and keys are positions of two different sequences; where sizes must tell, once the watch ends."""
    heads: Sequence[int] | None = None
    """Which of the model's heads these are; None: all."""


@dataclass
class Seen:
    """Everything one watch saw, in the order of the calls."""

    looks: list[Look] = field(default_factory=list)
    unread: dict[str, str] = field(default_factory=dict)
    """Attention that could not be read: the module's path, and why."""
    tokens: list[str] | None = None
    """The queries' tokens of the batch row that is shown (of a decoder: the target's)."""
    source_tokens: list[str] | None = None
    """The keys' tokens of cross-attention."""

    def __iter__(self) -> Iterator[Look]:
        return iter(self.looks)

    def __len__(self) -> int:
        return len(self.looks)

    def __getitem__(self, name: str) -> list[Look]:
        """The calls of the module of this name; raises KeyError with the names there are."""
        found = [look for look in self.looks if look.name == name]
        if not found:
            raise KeyError(f"nothing was seen of {name!r}; there are: {', '.join(dict.fromkeys(self.names)) or 'none'}")
        return found

    @property
    def names(self) -> list[str]:
        """The modules seen, each once, in order."""
        return list(dict.fromkeys(look.name for look in self.looks))

    def subset(self, pattern: str) -> Seen:
        """What was seen of the modules whose name matches, such as "decoder.*"; tokens come along."""
        looks = [look for look in self.looks if fnmatchcase(look.name, pattern)]
        unread = {name: why for name, why in self.unread.items() if fnmatchcase(name, pattern)}
        return Seen(looks, unread, self.tokens, self.source_tokens)

    def matrix(self, name: str, head: int, row: int = 0) -> Tensor:
        """The weights of one head of a module (queries, keys), 0 where the mask hides; of a generation, its steps
        below each other. It takes a watch with weights=True.

        Raises KeyError for a name that was not seen, ValueError without weights, for a head or batch row that is not
        there, and for calls that are not the steps of one generation.
        """
        from regard.observe.report.calls import calls

        looks = self[name]
        heads = range(looks[0].observed.size[1]) if looks[0].heads is None else looks[0].heads
        if head not in heads:
            raise ValueError(f"head: of {name} there are {', '.join(map(str, heads))}, got {head}")
        if any(look.observed.weights is None for look in looks):
            raise ValueError(f"{name}: its weights were not kept; take watch(model, weights=True)")
        found = calls(Seen(looks), row)
        if len(found) != 1:
            raise ValueError(
                f"{name} was called {len(looks)} times, with sizes that do not follow each other as the steps of one "
                f"generation do (of a beam search, queries are hypotheses: decode with one); look at each, "
                f"seen[{name!r}][step].observed.weights"
            )
        weights = found[0].weights
        assert weights is not None
        return torch.from_numpy(np.nan_to_num(weights[list(heads).index(head)], nan=0.0))

    def show(self, row: int = 0) -> None:
        """Print a line for each module: its sizes, and the entropy of each head in this batch row."""
        from regard.observe.overview import show

        show(self, row)

    def save(self, path: str | Path, **options: Any) -> None:
        """Write a report, one self-contained page: `path` ends in .html; options as `regard.observe.report.save`'s."""
        from regard.observe.report import save

        save(self, path, **options)

    def _repr_html_(self) -> str:
        from regard.observe.report import frame

        return frame(self)
