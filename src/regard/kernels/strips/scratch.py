"""Memory for what strips compute, one after the other."""

import math
from collections.abc import Sequence

from torch import Tensor

from regard.kernels.strips.strip import Strip, Window


class Scratch:
    """Memory for what one strip computes, as much as the largest wants, used again for every strip."""

    def __init__(self, strips: Sequence[Strip], like: Tensor, features: int) -> None:
        self.like = like
        self.pairs = max((math.prod(s.size) for s in strips), default=0)
        self.rows_of_keys = max((s.tiles * s.keys.width for s in strips), default=0) * features
        self.taken: dict[str, Tensor] = {}
        self.strip: Strip | None = None
        self.of_strip: dict[tuple[str, int], Tensor] = {}

    def __call__(self, name: str, strip: Strip) -> Tensor:
        """(tiles, height, width): for scores or weights."""
        return self._room(name, strip, self.pairs, strip.height, strip.keys.width)

    def keys(self, strip: Strip, k: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
        """The strip's keys and values (tiles, width, D) of k and v (Tk, D)."""
        one, two = (strip.keys.of(x, strip.tiles, self.rows(strip, x, name)) for name, x in (("k", k), ("v", v)))
        return one, two

    def rows(self, strip: Strip, x: Tensor, name: str = "rows") -> Tensor | None:
        """(tiles, width, D): for rows of x (..., D), or for their gradient; None where they are no copies."""
        if isinstance(strip.keys, Window):
            return None
        return self._room(name, strip, self.rows_of_keys, strip.keys.width, x.shape[-1])

    def _room(self, name: str, strip: Strip, most: int, rows: int, columns: int) -> Tensor:
        if strip is not self.strip:
            self.strip, self.of_strip = strip, {}
        found = self.of_strip.get((name, columns))
        if found is None:
            if name not in self.taken:
                self.taken[name] = self.like.new_empty(most)
            found = self.taken[name][: strip.tiles * rows * columns].view(strip.tiles, rows, columns)
            self.of_strip[name, columns] = found
        return found
