"""Windows: each query sees neighbouring keys only, in O(T · window) time and memory, forward and backward.

Queries are taken in tiles of neighbours; the keys that a tile may see are neighbours too, and a view of the keys, not a
copy. Away from the ends all tiles look alike, and one small mask hides the corners of them all. Whatever else the mask
hides (padding, documents) is asked of it in the tile alone; so are a bias and a factor on the weights.
"""

import math
from collections.abc import Iterator
from functools import lru_cache

import torch
from torch import Tensor

from regard.kernels import strips
from regard.kernels.kernel import Compute, Kernel
from regard.kernels.problem import Call, Problem
from regard.kernels.strips import Strip, Window

HEIGHT = 64
"""Queries in a tile: fewer would starve the matrix products, more would compute more pairs that the band hides."""


class Banded(Kernel):
    """A mask that bounds key − query on both sides, and whatever else it hides."""

    name = "banded"

    def refusals(self, problem: Problem) -> list[str]:
        """See `Kernel.refusals`."""
        reasons = strips.refusals(problem)
        if _band(problem) is None:
            reasons.append("the mask does not say how far a query sees to both sides")
        return reasons

    def doubts(self, problem: Problem) -> list[str]:
        """See `Kernel.doubts`."""
        reasons = strips.doubts(problem)
        if strips.cost(problem, _pairs(problem)) >= problem.pairs:
            reasons.append("the window is so wide that one call with a mask takes no longer")
        return reasons

    def flops(self, problem: Problem) -> int:
        """Of all pairs in the tiles, some of which the band hides."""
        return strips.flops(problem, _pairs(problem))

    def bytes(self, problem: Problem) -> int:
        """Inputs and context once; backward two and a half times that. Scores stay in the processor's cache."""
        return int(problem.io_bytes * (3.5 if problem.grad else 1))

    def bind(self, problem: Problem) -> Compute:
        """See `Kernel.bind`."""
        s, band = problem.structure, _band(problem)
        assert s is not None
        assert band is not None
        only_band = s.exact and s.block is None

        def compute(call: Call) -> Tensor:
            assert call.mask is not None
            found = call.mask.key_lengths() if s.lengths else None
            cut = strips_of(problem.Tq, problem.Tk, *band, only_band, HEIGHT, torch.get_num_threads())
            lengths = None if found is None else found.tolist()
            return strips.attend(call, problem, cut, lengths=lengths, band=band if only_band else None)

        return compute


def _band(problem: Problem) -> tuple[int, int] | None:
    """(left, right), where the mask says both."""
    s = problem.structure
    return None if s is None or s.left is None or s.right is None else (s.left, s.right)


def _pairs(problem: Problem) -> int:
    """Pairs computed: those in the tiles."""
    left, right = _band(problem) or (problem.Tk, problem.Tk)
    height = min(HEIGHT, problem.Tq)
    return problem.B * problem.H * problem.Tq * max(0, min(problem.Tk, left + right + height))


@lru_cache(maxsize=64)
def strips_of(Tq: int, Tk: int, left: int, right: int, only_band: bool, height: int, threads: int) -> tuple[Strip, ...]:
    """The band cut into strips. With `only_band` they know what to hide; otherwise the mask must be asked."""
    found = []
    for first, count, rows in ((0, Tq // height, height), (Tq // height * height, 1, Tq % height)):
        if rows and count:
            found += list(_strips(first, count, rows, Tq, Tk, left, right, only_band))
    return tuple(found)


def _strips(
    first: int, count: int, height: int, Tq: int, Tk: int, left: int, right: int, only_band: bool
) -> Iterator[Strip]:
    """Strips of `count` tiles from query `first` on."""
    width = min(Tk, height + left + right)
    lowest = first + Tk - Tq - left  # the first key that the first tile may see
    begin = _clamped(-((lowest + left + height - 1 + right) // height), count)  # tiles before it see no key
    end = _clamped(-(-(Tk - lowest) // height), count)  # nor do those from this one on
    at_start = max(begin, _clamped(-(lowest // height), end))  # windows of tiles before begin before the first key
    at_end = max(at_start, _clamped((Tk - width - lowest) // height + 1, end))  # from this one on end behind the last
    per_strip = strips.per_strip(count, height * width)
    for start, stop, inside in ((begin, at_start, False), (at_start, at_end, True), (at_end, end, False)):
        for tile in range(start, stop, per_strip):
            at, row = lowest + tile * height, first + tile * height
            keys = Window(min(max(at, 0), Tk - width), height if inside else 0, width)
            yield _strip(keys, row, min(per_strip, stop - tile), height, Tk - Tq, left, right, only_band)


def _strip(
    keys: Window, row: int, tiles: int, height: int, shift: int, left: int, right: int, only_band: bool
) -> Strip:
    if not only_band:
        return Strip(height, keys, row, tiles, asks=keys.width)
    alike = 1 if keys.step else tiles  # inside, every tile hides as the first does
    query = row + shift + torch.arange(alike * height).view(alike, height, 1)
    distance = keys.index(alike)[:, None] - query
    hidden = (distance < -left) | (distance > right)
    empty = hidden.all(-1, keepdim=True)
    return Strip(height, keys, row, tiles, added=_corners(hidden), empty=empty if empty.any() else None)


def _corners(hidden: Tensor) -> tuple[tuple[slice, Tensor], ...]:
    """What hides the pairs, for the first keys and for the last: those between are seen by all."""
    seen = (~hidden.any(1).any(0)).nonzero()[:, 0].tolist()
    first, last = (seen[0], seen[-1] + 1) if seen else (hidden.shape[2], hidden.shape[2])
    ends = slice(0, first), slice(last, hidden.shape[2])
    return tuple((keys, torch.where(hidden[..., keys], -math.inf, 0.0)) for keys in ends if keys.start < keys.stop)


def _clamped(number: int, most: int) -> int:
    return min(max(number, 0), most)
