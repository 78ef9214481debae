"""A call's equation on any part of the grid, with nothing (Tq, Tk) in size: what streamed kernels and statistics read.

    tiles = Tiles.of(call)
    for part in tiles.parts():                   # some queries of some batch rows, and every key they may see
        e, allowed = tiles.scores(part), tiles.allowed(part)

What concerns queries or keys alone is done once: projections, the conversion to at least float32, a head of keys for
each head of queries, and zeros in the place of what no query may see where that could do harm.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from regard.equation.mask import Mask
from regard.equation.precision import full, no_autocast
from regard.equation.prepare import Keys, hide_keys, hide_queries, is_harmless
from regard.equation.reference import Attended, biased, from_scores, per_query_head
from regard.equation.rules import WHOLE, Part
from regard.kernels.problem import Call

NUMBERS = 2**20
"""Scores in a part, where the caller does not say: 4 MB in float32, near enough to a core's own cache."""
FEWEST = 32
"""Queries in a part at least: fewer make a matrix product wait for memory."""


@dataclass(frozen=True)
class Tiles:
    """A call with its queries, keys and values ready, to be asked part by part."""

    call: Call
    q: Tensor
    """(B, H, Tq, .): as the score compares them, at least float32."""
    k: Tensor
    """(B, H, Tk, .): likewise, each head of queries with its own."""
    values: Tensor
    """(B, H, Tk, Dv): likewise."""

    @classmethod
    def of(cls, call: Call) -> "Tiles":
        """Prepare a call, whose arguments have been checked."""
        q, k, v = compared(call)
        heads = q.shape[1]
        return cls(call, full(q), per_query_head(full(k), heads), per_query_head(full(v), heads))

    @property
    def size(self) -> tuple[int, int, int, int]:
        """B, H, Tq, Tk."""
        return self.q.shape[0], self.q.shape[1], self.q.shape[2], self.k.shape[2]

    def inputs(self, part: Part = WHOLE) -> tuple[Tensor, Tensor, Tensor]:
        """The part's queries, keys and values, as views."""
        return part.of_queries(self.q), part.of_keys(self.k), part.of_keys(self.values)

    def scores(self, part: Part = WHOLE) -> Tensor:
        """e (b, H, r, c), bias included, -inf where the mask hides; at least float32."""
        q, k, _ = self.inputs(part)
        with no_autocast(self.q.device):
            return biased(self.call.score.compare(q, k), self._grid(part), self.allowed(part), self.call.bias)

    def allowed(self, part: Part = WHOLE) -> Tensor | None:
        """Which pairs may attend, bool, broadcasting to (b, H, r, c); None where there is no mask."""
        return None if self.call.mask is None else self.call.mask.dense(*self._grid(part))

    def after(self, part: Part = WHOLE) -> Tensor | None:
        """The factor on the weights, broadcasting to (b, H, r, c); None where there is none."""
        return None if self.call.after is None else self.call.after.dense(*self._grid(part))

    def attended(self, part: Part = WHOLE, inputs: Sequence[Tensor] | None = None) -> Attended:
        """The equation for these queries. Exact where the part has every key they may see, as `parts` gives them.

        `inputs` stand in the place of `self.inputs(part)`, where gradients are wanted of the part's own.
        """
        call = self.call
        q, k, values = self.inputs(part) if inputs is None else inputs
        with no_autocast(self.q.device):
            return from_scores(
                call.score.compare(q, k),
                values,
                self._grid(part),
                self.allowed(part),
                call.bias,
                call.normaliser,
                call.after,
                call.dropout,
                call.v.dtype,
            )

    def parts(self, numbers: int | None = None) -> Iterator[Part]:
        """The grid in parts of about `numbers` scores: some queries of some batch rows, and every key they may see."""
        numbers = NUMBERS if numbers is None else numbers
        B, H, Tq, Tk = self.size
        room = numbers // max(H, 1)
        band = self._band(Tk)
        # As many neighbours as a band is wide read half of what they share in vain, and more of them more.
        rows = min(band, room // (2 * band)) if band < Tk else room // max(Tk, 1)
        rows = min(Tq, max(FEWEST, rows))
        batch = max(1, room // max(rows * min(Tk, rows + band), 1))
        for b in range(0, B, batch):
            for r in range(0, Tq, max(rows, 1)):
                yield self.span(Part(slice(b, min(b + batch, B)), slice(r, min(r + rows, Tq))))

    def span(self, part: Part) -> Part:
        """The part, its keys narrowed to those that the mask's structure lets any of its queries see."""
        _, _, Tq, Tk = self.size
        first, last = part.rows.start + Tk - Tq, part.rows.stop - 1 + Tk - Tq
        low, high = part.keys.start or 0, Tk if part.keys.stop is None else part.keys.stop
        if self.call.mask is not None:
            s = self.call.mask.structure
            low = low if s.left is None else max(low, first - s.left)
            high = high if s.right is None else min(high, last + s.right + 1)
        return part._replace(keys=slice(min(low, Tk), max(high, min(low, Tk))))

    def _band(self, Tk: int) -> int:
        """How many keys a query may see at most."""
        s = None if self.call.mask is None else self.call.mask.structure
        if s is None or s.left is None or s.right is None:
            return Tk
        return max(1, min(Tk, s.left + s.right + 1))

    def _grid(self, part: Part) -> tuple:
        return *self.size, self.q.device, part


def compared(call: Call) -> tuple[Tensor, Tensor, Tensor]:
    """Queries and keys as the score compares them, and values: all harmless where no query may see them."""
    q, k, v, score = call.q, call.keys, call.v, call.score
    if call.mask is not None and not is_harmless(q, k, v):
        asking, seen = _used(call.mask, (*q.shape[:3], k.shape[2]), q.device)
        q = hide_queries(asking, q)
        k, v = hide_keys(seen, k, v)
    return score.query(q), k if isinstance(call.k, Keys) else score.project(k), v


def _used(mask: Mask, size: tuple[int, int, int, int], device: torch.device) -> tuple[Tensor, Tensor]:
    """Which queries see any key (., ., Tq, 1), which keys any query sees (., ., 1, Tk); the mask is read in strips."""
    B, H, Tq, Tk = size
    if mask.per_key:
        seen = mask.dense(B, H, Tq, Tk, device)
        return seen.any(3, keepdim=True), seen
    rows, asking, seen = max(1, NUMBERS // max(B * H * Tk, 1)), [], torch.zeros(1, 1, 1, 1, dtype=torch.bool)
    for r in range(0, Tq, rows):
        part = Part(rows=slice(r, min(r + rows, Tq)))
        strip = mask.dense(B, H, Tq, Tk, device, part)
        asking.append(strip.any(3, keepdim=True).expand(-1, -1, part.rows.stop - r, -1))
        seen = seen.to(device) | strip.any(2, keepdim=True)
    return torch.cat(asking, 2), seen
