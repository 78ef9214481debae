"""A mask as FlexAttention wants it, made once: its tiles as a `BlockMask`, a rule for one pair, and what nobody sees.

Which tiles are empty and which are full the mask tells (`Mask.cover`); only for the others is the rule asked, pair by
pair, by FlexAttention. Queries that see no key, and keys that no query sees, may hold anything, so they are found here
too: a tile that is full settles all of its queries and keys, and the rule is asked in tiles that none settles.
"""

from __future__ import annotations

from collections import OrderedDict
from types import NoneType
from typing import TYPE_CHECKING, NamedTuple
from weakref import WeakKeyDictionary

import torch
from torch import Tensor

from regard.equation.mask import Corners, Mask, Structure
from regard.equation.rules import Grid, Rule

if TYPE_CHECKING:
    from torch.nn.attention.flex_attention import BlockMask

SIDE = 128
"""Queries and keys in a tile: FlexAttention's own, whatever the blocks of its programs."""
PAIRS = 2**24
"""Pairs that a rule is asked for at once."""
_MOST = 64
_NUMBERS = (int, float, str, tuple, Structure, NoneType)

Size = tuple[int, int, int, int]


class Masking(NamedTuple):
    """A mask of one size, on one device."""

    block_mask: BlockMask
    asking: Tensor | None
    """Which queries see any key (B or 1, H or 1, Tq, 1); None where all do."""
    seen: Tensor | None
    """Which keys any query sees (B or 1, H or 1, 1, Tk); None where all are seen."""


_by_numbers: OrderedDict[object, Masking] = OrderedDict()
_of_mask: WeakKeyDictionary[Mask, dict[object, Masking]] = WeakKeyDictionary()


def masking(mask: Mask, size: Size, device: torch.device) -> Masking:
    """The mask made ready: found again by its numbers, or while it lives, until its tensors are written to."""
    numbers = _numbers(mask)
    if numbers is not None:
        return _kept(_by_numbers, (numbers, size, device, SIDE), mask, size, device)
    if any(tensor.is_inference() for tensor in mask.tensors):  # these do not count how often they are written to
        return _made(mask, size, device)
    kept = _of_mask.setdefault(mask, {})
    now = (size, device, SIDE, *(tensor._version for tensor in mask.tensors))
    if now not in kept:
        kept.clear()
        kept[now] = _made(mask, size, device)
    return kept[now]


def _kept(into: OrderedDict[object, Masking], name: object, mask: Mask, size: Size, device: torch.device) -> Masking:
    found = into.get(name)
    if found is None:
        found = into[name] = _made(mask, size, device)
        while len(into) > _MOST:
            into.popitem(last=False)
    return found


def _numbers(rule: Rule) -> tuple[object, ...] | None:
    """All that a rule is, where it is made of numbers alone, such as `causal() & window(5, 0)`; else None."""
    if rule.tensors:
        return None
    found: list[object] = [type(rule)]
    for name, part in vars(rule).items():
        inner = _numbers(part) if isinstance(part, Rule) else part
        if (isinstance(part, Rule) and inner is None) or not isinstance(inner, _NUMBERS):
            return None
        found += [name, inner]
    return tuple(found)


def _made(mask: Mask, size: Size, device: torch.device) -> Masking:
    from torch.nn.attention.flex_attention import BlockMask

    _, _, Tq, Tk = size
    rule = mask.placed(Tk, device)
    some, full = _tiles(mask, size, device)

    def allows(batch: Tensor, head: Tensor, row: Tensor, key: Tensor) -> Tensor:
        return rule.at(Grid(batch, head, row, key, Tk - Tq, Tk))

    partly, fully = _listed(some & ~full), _listed(full)
    block_mask = BlockMask.from_kv_blocks(*partly, *fully, SIDE, allows, (Tq, Tk))
    asking, seen = _used(rule, some, full, size)
    return Masking(block_mask, None if asking.all() else asking[..., None], None if seen.all() else seen[..., None, :])


def _tiles(mask: Mask, size: Size, device: torch.device) -> tuple[Tensor, Tensor]:
    """Which tiles show anything, and which everything: (B or 1, H or 1, tiles of queries, tiles of keys)."""
    _, _, Tq, Tk = size
    some, full = mask.cover(Corners.of(*size, SIDE, SIDE, device))
    some, full = torch.broadcast_tensors(some, full)
    tiles = -(-Tq // SIDE), -(-Tk // SIDE)
    some, full = some.expand(*some.shape[:2], *tiles), full.expand(*full.shape[:2], *tiles).clone()
    if Tq % SIDE:  # a tile at the end is one of which not everything is there
        full[:, :, -1] = False
    if Tk % SIDE:
        full[..., -1] = False
    return some, full & some


def _listed(tiles: Tensor) -> tuple[Tensor, Tensor]:
    """For each tile of queries how many tiles of keys are set, and these first, then the others."""
    order = torch.argsort(tiles.byte(), dim=-1, descending=True, stable=True)
    return tiles.sum(-1, dtype=torch.int32), order.to(torch.int32).contiguous()


def _used(rule: Mask, some: Tensor, full: Tensor, size: Size) -> tuple[Tensor, Tensor]:
    """Which queries see any key (., ., Tq), which keys any query sees (., ., Tk)."""
    B, H, Tq, Tk = size
    settled = full.any(3, keepdim=True) & full.any(2, keepdim=True)
    asked = (some & ~settled).flatten(0, 1).any(0).nonzero()
    device = some.device
    within = torch.arange(SIDE, device=device)
    batch, head = (torch.arange(n, device=device) for n in (B, H))
    of_rows, of_keys = (full.any(dim).repeat_interleave(SIDE, -1).int() for dim in (3, 2))
    for tiles in asked.split(max(1, PAIRS // (B * H * SIDE * SIDE))):
        row, key = ((tile[:, None] * SIDE + within) for tile in tiles.T)
        grid = Grid(
            batch.view(-1, 1, 1, 1, 1),
            head.view(-1, 1, 1, 1),
            row.clamp(max=Tq - 1)[:, :, None],  # beyond the end the last one stands again, which changes nothing
            key.clamp(max=Tk - 1)[:, None, :],
            Tk - Tq,
            Tk,
        )
        allowed = rule.at(grid)
        allowed = allowed.view((1,) * (5 - allowed.ndim) + allowed.shape).expand(-1, -1, len(tiles), SIDE, SIDE)
        of_rows = _added(of_rows, row, allowed.any(4))
        of_keys = _added(of_keys, key, allowed.any(3))
    return of_rows[..., :Tq] > 0, of_keys[..., :Tk] > 0


def _added(counts: Tensor, places: Tensor, found: Tensor) -> Tensor:
    """The counts (b, h, positions), 1 more at the places (n, side) where it was found (b, h, n, side)."""
    batch, heads = (max(counts.shape[axis], found.shape[axis]) for axis in (0, 1))
    counts = counts.expand(batch, heads, -1).contiguous()
    return counts.index_add(2, places.flatten(), found.expand(batch, heads, -1, -1).flatten(2).int())
