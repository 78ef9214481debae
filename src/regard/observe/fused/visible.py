"""What of the keys each query of a call may see, as the loops are told: bounds, and where those do not tell all, -inf.

What the mask's bounds hide (the future, what lies outside a window or beyond a length) is skipped, and so is what lies
before the first and behind the last tile that the mask says it shows; between them it is asked only where it says
neither that all is hidden nor that nothing is.
"""

from functools import cached_property

import torch
from torch import Tensor

from regard.equation.mask import Corners, Mask, Structure
from regard.equation.precision import full
from regard.equation.rules import Part
from regard.kernels.problem import Call

WRITTEN = 2**22
"""Pairs of a head for which the mask or the bias is written out at once: 16 MB."""
TILE = 256
"""Keys that a mask is asked about at once, where it tells neither that all are hidden nor that none is."""


class Visible:
    """Of one call, of B, H, Tq, Tk."""

    def __init__(self, call: Call, size: tuple[int, int, int, int]) -> None:
        self.mask, self.bias, self.device, self.size = call.mask, call.bias, call.q.device, size

    @property
    def _structure(self) -> Structure:
        return Structure(exact=True) if self.mask is None else self.mask.structure

    @property
    def _asks(self) -> bool:
        """Whether the mask hides more than its bounds tell."""
        s = self._structure
        return not (s.exact and s.block is None)

    def bounds(self, b: int) -> tuple[Tensor, Tensor]:
        """(Tq,) each: the keys, from one to another, that the mask's structure lets each query of a batch row see."""
        _, _, Tq, Tk = self.size
        s, position = self._structure, torch.arange(Tq) + (Tk - Tq)
        lengths = self.mask.key_lengths() if s.lengths and self.mask is not None else None
        end = Tk if lengths is None else min(Tk, int(lengths[b]))
        low = torch.zeros_like(position) if s.left is None else (position - s.left).clamp(0, Tk)
        high = torch.full_like(position, end) if s.right is None else (position + s.right + 1).clamp(0, max(end, 0))
        if self._asks:  # from the first tile that may show a pair to the last
            some = self._cover[0][min(b, self._cover[0].shape[0] - 1)].byte()
            first, behind = some.argmax(1) * TILE, (some.shape[1] - some.flip(1).argmax(1)) * TILE
            first, behind = (x.repeat_interleave(self._height)[:Tq] for x in (first, behind * some.any(1)))
            low, high = torch.maximum(low, first.clamp(max=Tk)), torch.minimum(high, behind)
        return low, torch.maximum(low, high)

    def spans(self) -> list[slice]:
        """All queries at once; or some, where the mask or the bias must be written out for them."""
        Tq = self.size[2]
        if self.bias is None and not self._asks:
            return [slice(0, Tq)]
        return [slice(r, min(r + self._height, Tq)) for r in range(0, Tq, self._height)]

    def added(self, b: int, heads: slice, rows: slice, group: int) -> Tensor:
        """(n or 1, group or 1, rows, Tk): the bias, and -inf where the mask hides more than its bounds; or nothing."""
        mask, bias = self.mask, self.bias
        grid = *self.size, self.device, Part(slice(b, b + 1), rows)
        added = torch.zeros(1, 1, 1, 1) if bias is None else full(bias.dense(*grid).detach()).float()
        if mask is not None and self._asks:
            added = self._masked(added, b, rows, mask)
        elif bias is None:
            return torch.empty(1, 1, 0, self.size[3])
        added = added[0].expand(-1, rows.stop - rows.start, self.size[3])
        if added.shape[0] == 1:
            return added[None].contiguous()
        return added[heads].unflatten(0, (-1, group)).contiguous()

    def _masked(self, added: Tensor, b: int, rows: slice, mask: Mask) -> Tensor:
        """-inf where the mask hides: asked pair by pair only of tiles that it does not know to be empty or full."""
        B, H, Tq, Tk = self.size
        some, full_ones = (x[min(b, x.shape[0] - 1), rows.start // self._height].tolist() for x in self._cover)
        hidden: list[tuple[slice, Tensor]] = []
        for first, shows, is_full in zip(range(0, Tk, TILE), some, full_ones, strict=True):
            keys = slice(first, min(first + TILE, Tk))
            if not shows:
                hidden.append((keys, torch.ones(1, 1, 1, 1, dtype=torch.bool)))
            elif not is_full:
                hidden.append((keys, ~mask.dense(B, H, Tq, Tk, self.device, Part(slice(b, b + 1), rows, keys))))
        heads = max([added.shape[1], *(x.shape[1] for _, x in hidden)])
        added = added.expand(1, heads, rows.stop - rows.start, Tk).clone()
        for keys, x in hidden:
            added[..., keys].masked_fill_(x, -torch.inf)
        return added

    @property
    def _height(self) -> int:
        """Queries for which the mask or the bias is written out at once."""
        return max(64, WRITTEN // self.size[3])

    @cached_property
    def _cover(self) -> tuple[Tensor, Tensor]:
        """(B or 1, spans of queries, tiles of keys) each: whether the mask may show a pair there, and whether all."""
        assert self.mask is not None
        some, all_of = self.mask.cover(Corners.of(*self.size, self._height, TILE))
        some, all_of = torch.broadcast_tensors(some, all_of)
        tiles = -(-self.size[2] // self._height), -(-self.size[3] // TILE)
        some, all_of = (x.expand(*x.shape[:2], *tiles) for x in (some, all_of))
        return some.any(1), all_of.all(1)
