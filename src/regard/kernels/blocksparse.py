"""Any mask that leaves tiles of the grid empty: blocks, strided, BigBird, documents, a window and global tokens.

The mask tells which tiles are empty and which are full (`Mask.cover`); only the others are asked pair by pair. For each
tile of queries the keys of its tiles are gathered, and those of tiles of queries with as many are computed together.

How many tiles are empty depends on the mask's numbers, so it is seen when they come: where too few are to save time,
the call is SDPA's, with the mask as a tensor (unless this kernel was asked for by name).
"""

from weakref import WeakKeyDictionary

import torch
from torch import Tensor

from regard.equation.mask import Corners, Mask, Structure
from regard.equation.reference import Attended
from regard.kernels import strips
from regard.kernels.asked import asked
from regard.kernels.kernel import Compute, Kernel
from regard.kernels.problem import Call, Problem
from regard.kernels.sdpa import Sdpa, needs_tensor
from regard.kernels.strips import Blocks, Strip

SIDE = 64
"""Queries and keys in a tile, where the mask has no blocks of its own: fewer would starve the matrix products."""
UNKNOWN = 2**25
"""Products of features a head below which a mask that tells nothing of itself is SDPA's."""
MANY = 2**28
"""Pairs of queries and keys whose mask, as a tensor, would take memory by the gigabyte."""


class BlockSparse(Kernel):
    """A mask that hides whole tiles; on the others, any mask."""

    name = "blocksparse"

    def refusals(self, problem: Problem) -> list[str]:
        """See `Kernel.refusals`."""
        reasons = strips.refusals(problem)
        if problem.structure is None:
            reasons.append("there is no mask")
        return reasons

    def doubts(self, problem: Problem) -> list[str]:
        """See `Kernel.doubts`."""
        reasons = strips.doubts(problem)
        if not (needs_tensor(problem) or Sdpa().refusals(problem)):
            reasons.append("SDPA hides as much without a mask")
        elif problem.structure == Structure() and problem.Tq * problem.Tk * problem.D < UNKNOWN:
            reasons.append("the mask does not say what it hides, and looking may cost more than it saves")
        return reasons

    def flops(self, problem: Problem) -> int:
        """Of all pairs: how many tiles are empty is known when the mask's numbers are."""
        return strips.flops(problem, problem.pairs)

    def bytes(self, problem: Problem) -> int:
        """Inputs and context once; backward two and a half times that. Scores stay in the processor's cache."""
        return int(problem.io_bytes * (3.5 if problem.grad else 1))

    def bind(self, problem: Problem) -> Compute:
        """See `Kernel.bind`."""
        otherwise = Sdpa().bind(problem) if _may_be_dense(problem) else None

        def compute(call: Call) -> Tensor | Attended:
            found, cost, side = _cut_for(problem, call)
            if cost < problem.pairs or otherwise is None or asked() == self.name:
                return strips.attend(call, problem, found, block=side)
            return otherwise(call)

        return compute

    def leaves(self, problem: Problem, call: Call) -> str | None:
        """See `Kernel.leaves`."""
        assert call.mask is not None
        told = all(tensor.device.type != "meta" for tensor in call.mask.tensors)
        if not (told and _may_be_dense(problem)) or asked() == self.name or _cut_for(problem, call)[1] < problem.pairs:
            return None
        return "sdpa: with these numbers its mask leaves too few tiles empty to save time"


def _may_be_dense(problem: Problem) -> bool:
    """Whether SDPA can compute it, with the mask as a tensor of no more than a few gigabytes."""
    return not Sdpa().refusals(problem) and problem.Tq * problem.Tk < MANY


def _cut_for(problem: Problem, call: Call) -> tuple[tuple[Strip, ...], int, int]:
    """The grid's strips, their cost, and the side of their tiles."""
    assert call.mask is not None
    side = side_of(None if problem.structure is None else problem.structure.block)
    found, pairs, asked_of = _cut_once(call.mask, (problem.B, problem.H, problem.Tq, problem.Tk), side)
    return found, strips.cost(problem, pairs, asked_of), side


def side_of(block: int | None) -> int:
    """The side of a tile that the mask's blocks fit into, or that fits into them."""
    if block is None or block % SIDE == 0:
        return SIDE if block is None or block % (2 * SIDE) else 2 * SIDE
    if block <= 2 * SIDE:
        return block * max(1, SIDE // block)
    return next((side for side in range(2 * SIDE, SIDE // 2, -1) if block % side == 0), SIDE)


Size = tuple[int, int, int, int]
_Cut = tuple[tuple[Strip, ...], int, int]
_of_mask: WeakKeyDictionary[Mask, dict[object, _Cut]] = WeakKeyDictionary()


def _cut_once(mask: Mask, size: Size, side: int) -> _Cut:
    """`cut`, and its pairs; kept while the mask lives, for all layers, until its tensors are written to."""
    if any(tensor.is_inference() for tensor in mask.tensors):  # these do not count how often they are written to
        return _cut(mask, size, side)
    kept = _of_mask.setdefault(mask, {})
    now = (size, side, torch.get_num_threads(), *(tensor._version for tensor in mask.tensors))
    if now not in kept:
        kept.clear()
        kept[now] = _cut(mask, size, side)
    return kept[now]


def _cut(mask: Mask, size: Size, side: int) -> _Cut:
    found = cut(mask, size, side)
    return found, *_pairs(found, size)


def _pairs(found: tuple[Strip, ...], size: Size) -> tuple[int, int]:
    """How many the strips compute, and about how many of them the mask is asked."""
    queries = [strip.queries(*size[:2]) for strip in found]
    pairs = sum(rows * strip.keys.width for rows, strip in zip(queries, found, strict=True))
    return pairs, sum(rows * strip.asks for rows, strip in zip(queries, found, strict=True))


def cut(mask: Mask, size: Size, side: int) -> tuple[Strip, ...]:
    """The grid cut into strips that have every pair the mask allows."""
    _, _, Tq, Tk = size
    some, full = mask.cover(Corners.of(*size, side, side))
    if Tk % side:  # the last keys are filled up to a whole tile with what no query sees
        full = full.expand(*full.shape[:3], -(-Tk // side)).clone()
        full[..., -1] = False
    tiles = -(-Tq // side), -(-Tk // side)
    some, full = (x.expand(*x.shape[:2], *tiles) for x in torch.broadcast_tensors(some, full))
    found = []
    for b in range(some.shape[0]):
        for h in range(some.shape[1]):
            batch, heads = [b] if some.shape[0] > 1 else None, [h] if some.shape[1] > 1 else None
            found += _strips(some[b, h], full[b, h], Tq, side, batch, heads)
    return tuple(found)


def _strips(
    some: Tensor, full: Tensor, Tq: int, side: int, batch: list[int] | None, heads: list[int] | None
) -> list[Strip]:
    """The strips of one layout (tiles of queries, tiles of keys)."""
    order = torch.argsort(some.byte() + (some & ~full).byte(), dim=1, descending=True, stable=True)
    seen, asked = some.sum(1), (some & ~full).sum(1)  # the tiles to be asked come first
    whole = Tq // side
    found = []
    for (sees, asks), numbers in _alike(seen[:whole], asked[:whole]):
        per_strip = strips.per_strip(len(numbers), side * side * sees)
        for part in numbers.split(per_strip):
            keys = Blocks(order[part, :sees], side)
            first, count = int(part[0]) * side, len(part)
            neighbours = int(part[-1] - part[0]) == count - 1
            place = {"first": first, "count": count} if neighbours else {"numbers": part}
            found.append(Strip(side, keys, asks=asks * side, batch=batch, heads=heads, **place))
    if Tq % side and seen[-1]:
        keys = Blocks(order[-1:, : int(seen[-1])], side)
        found.append(Strip(Tq % side, keys, whole * side, 1, asks=int(asked[-1]) * side, batch=batch, heads=heads))
    return found


def _alike(seen: Tensor, asked: Tensor) -> list[tuple[tuple[int, int], Tensor]]:
    """Tiles of queries with as many tiles of keys to see and to ask: these two, and the tiles' numbers."""
    kinds, of_tile = torch.stack([seen, asked], 1).unique(dim=0, return_inverse=True)
    pairs = [(int(sees), int(asks)) for sees, asks in kinds.tolist()]
    return [(pair, (of_tile == kind).nonzero()[:, 0]) for kind, pair in enumerate(pairs) if pair[0]]
