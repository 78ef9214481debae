"""Statistics of the softmax of dot products on a CPU, fused: scores meet what is taken of them in the cache.

The loops stand in `fused_loops.py` and want numba (`pip install 'regard[fast]'`); without it `plain.py` computes the
same. What the mask's bounds hide (the future, what lies outside a window or beyond a length) is skipped, and so is what
lies before the first and behind the last tile that the mask says it shows; between them it is asked only where it says
neither that all is hidden nor that nothing is. What is left to `plain.py`, at its pace, `refusals` tells: among it a
factor after the normaliser, which changes which weights are the largest, and float64, which would be another set of
loops for who checks a model, not for who reads one.
"""

from functools import cache, cached_property
from types import ModuleType

import torch
import torch.nn.functional as F
from torch import Tensor

from regard.equation.mask import Corners, Mask, Structure
from regard.equation.normalisers import Softmax
from regard.equation.precision import full, no_autocast
from regard.equation.prepare import Keys
from regard.equation.rules import Part
from regard.equation.scores import Dot
from regard.kernels.problem import Call, Problem
from regard.kernels.tiles import Tiles
from regard.observe.pooling import cell
from regard.observe.record import Map, Observe, Observed, TopK

FEW = 2**18
"""Pairs below which the plain way takes some milliseconds, and no import."""
STRIP = 2**22
"""Numbers of a strip of scores that waits for its queries' log-sum-exp: 16 MB a thread."""
TILE = 256
"""Keys that a mask is asked about at once, where it tells neither that all are hidden nor that none is."""
BUFFERS = 2**23
"""Numbers that threads gather apart from each other, and of prepared keys: 64 MB of float64 at most."""


def refusals(problem: Problem, call: Call, request: Observe) -> list[str]:
    """Why the loops do not take the call, or had better not; nothing where they take it."""
    reasons = []
    if problem.device != "cpu":
        reasons.append(f"they run on a CPU, not on {problem.device}")
    if not (problem.is_dot or problem.capped):
        reasons.append(f"they know dot products, not {problem.score}")
    if type(call.normaliser) is not Softmax:
        reasons.append(f"they know the softmax, not {problem.normalise}")
    if problem.after:
        reasons.append("a factor follows the normaliser")
    if problem.dtype == torch.float64:
        reasons.append("they compute in float32, not in float64")
    if request.weights:
        reasons.append("all weights are wanted")
    if request.gradient:
        reasons.append("gradient × attention is wanted")
    if problem.empty or problem.pairs < FEW:
        reasons.append("so few pairs")
    if not reasons and (missing := _missing()):
        reasons.append(missing)
    return reasons


def statistics(call: Call, request: Observe) -> Observed:
    """What is asked of a call that is not refused."""
    with no_autocast(call.q.device):
        return _Sweep(call, request).observed()


class _Sweep:
    """One call's results, filled by the loops for some heads of one batch row at a time."""

    def __init__(self, call: Call, request: Observe) -> None:
        self.call, self.request, score = call, request, call.score
        k = call.keys if isinstance(call.k, Keys) else score.project(call.k)
        self.q, self.k = full(score.query(call.q.detach())), full(k.detach())
        B, H, Tq, _ = self.q.shape
        self.size = B, H, Tq, self.k.shape[2]
        self.heads = self.k.shape[1]
        self.lse = torch.empty(B, H, Tq)
        self.entropy = torch.empty(B, H, Tq if request.entropy else 0)
        self.distance = torch.empty(B, H, Tq if request.distance else 0)
        kept = min(request.topk, self.size[3])
        self.best = torch.full((B, H, Tq, kept), -torch.inf)
        self.positions = torch.full((B, H, Tq, kept), -1, dtype=torch.int32)
        self.columns = torch.full((B, H, Tq, len(request.columns)), -torch.inf)
        self.mass = torch.empty(B, H, self.size[3] if request.mass else 0)
        cells = request.map or 1
        self.cell = cell(Tq, cells), cell(self.size[3], cells)
        down, across = (
            -(-size // each) if request.map else 0 for size, each in zip(self.size[2:], self.cell, strict=True)
        )
        self.mean, self.largest = torch.empty(B, H, down, across), torch.empty(B, H, down, across)
        self.threads = _loops().use_threads()
        room = self.threads * self.q.shape[1] // self.heads * (self.mass.shape[2] + 3 * down * across)
        many = max(1, BUFFERS // max(room, self.k.shape[2] * self.k.shape[3]))
        for b in range(B):
            low, high = self._bounds(b)
            for i in range(0, self.heads, many):
                self._fill(b, slice(i, min(i + many, self.heads)), low, high)

    @property
    def _structure(self) -> Structure:
        return Structure(exact=True) if self.call.mask is None else self.call.mask.structure

    def _bounds(self, b: int) -> tuple[Tensor, Tensor]:
        """(Tq,) each: the keys, from one to another, that the mask's structure lets each query of a batch row see."""
        _, _, Tq, Tk = self.size
        s, position = self._structure, torch.arange(Tq) + (Tk - Tq)
        lengths = self.call.mask.key_lengths() if s.lengths and self.call.mask is not None else None
        end = Tk if lengths is None else min(Tk, int(lengths[b]))
        low = torch.zeros_like(position) if s.left is None else (position - s.left).clamp(0, Tk)
        high = torch.full_like(position, end) if s.right is None else (position + s.right + 1).clamp(0, max(end, 0))
        if self._asks:  # from the first tile that may show a pair to the last
            some = self._cover[0][min(b, self._cover[0].shape[0] - 1)].byte()
            first, behind = some.argmax(1) * TILE, (some.shape[1] - some.flip(1).argmax(1)) * TILE
            first, behind = (x.repeat_interleave(self._height)[:Tq] for x in (first, behind * some.any(1)))
            low, high = torch.maximum(low, first.clamp(max=Tk)), torch.minimum(high, behind)
        return low, torch.maximum(low, high)

    @property
    def _asks(self) -> bool:
        """Whether the mask hides more than its bounds tell."""
        s = self._structure
        return not (s.exact and s.block is None)

    def _fill(self, b: int, heads: slice, low: Tensor, high: Tensor) -> None:
        """Some heads of keys, with the queries that share them."""
        loops, np = _loops(), _loops().np
        _, _, Tq, Tk = self.size
        group = self.q.shape[1] // self.heads
        n = heads.stop - heads.start
        asking = slice(heads.start * group, heads.stop * group)

        def grouped(x: Tensor) -> Tensor:
            return x[b, asking].unflatten(0, (n, group))

        panels = self._panels(self.k[b, heads], loops.PANEL)
        gathered = self.threads, n, group
        down, across = self.mean.shape[2:]
        mass = torch.zeros(*gathered, self.mass.shape[2], dtype=torch.float64)
        sums = torch.zeros(*gathered, down, across, dtype=torch.float64)
        largest = torch.zeros(*gathered, down, across)
        counts = torch.zeros(*gathered, down, across, dtype=torch.int64)
        keys = panels.shape[1] * loops.PANEL
        height = max(8, min(64, STRIP // keys // 8 * 8)) if mass.shape[3] or sums.shape[3] else 64
        height = max(4, min(height, -(-Tq // (4 * self.threads)) * 4))
        factor, cap = self.call.score.factor(self.q.shape[3]), getattr(self.call.score, "cap", None)
        equation = loops.Equation(
            grouped(self.q).contiguous().numpy(),
            panels.numpy(),
            np.float32(factor / (cap or 1)),
            np.float32(cap or 0),
            self._sink(asking, group).numpy(),
        )
        found = [self.lse, self.entropy, self.distance, self.best, self.positions, self.columns]
        of_queries = loops.OfQueries(*(grouped(x).numpy() for x in found), np.array(self.request.columns, np.int64))
        of_keys = loops.OfKeys(*(x.numpy() for x in (mass, sums, largest, counts)), *self.cell)
        for rows in self._spans():
            added = self._added(b, asking, rows, group)
            shown = loops.Shown(low.numpy(), high.numpy(), added.numpy())
            span = loops.Span(rows.start, rows.stop, height, Tk - Tq)
            loops.sweep(self.threads, equation, shown, span, of_queries, of_keys)
        if mass.shape[3]:
            self.mass[b, asking] = mass.sum(0).flatten(0, 1).float()
        if sums.shape[3]:
            total = counts.sum(0).flatten(0, 1)
            self.mean[b, asking] = (sums.sum(0).flatten(0, 1) / total).float()
            self.largest[b, asking] = largest.amax(0).flatten(0, 1).masked_fill(total == 0, torch.nan)

    @staticmethod
    def _panels(k: Tensor, width: int) -> Tensor:
        """(n, Tk / width, D, width): keys side by side, 0 beyond the last."""
        k = F.pad(k, (0, 0, 0, -k.shape[1] % width))
        return k.unflatten(1, (-1, width)).mT.contiguous()

    def _spans(self) -> list[slice]:
        """All queries at once; or some, where the mask or the bias must be written out for them."""
        Tq = self.size[2]
        if self.call.bias is None and not self._asks:
            return [slice(0, Tq)]
        return [slice(r, min(r + self._height, Tq)) for r in range(0, Tq, self._height)]

    def _added(self, b: int, heads: slice, rows: slice, group: int) -> Tensor:
        """(n or 1, group or 1, rows, Tk): the bias, and -inf where the mask hides more than its bounds; or nothing."""
        mask, bias = self.call.mask, self.call.bias
        grid = *self.size, self.q.device, Part(slice(b, b + 1), rows)
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
                hidden.append((keys, ~mask.dense(B, H, Tq, Tk, self.q.device, Part(slice(b, b + 1), rows, keys))))
        heads = max([added.shape[1], *(x.shape[1] for _, x in hidden)])
        added = added.expand(1, heads, rows.stop - rows.start, Tk).clone()
        for keys, x in hidden:
            added[..., keys].masked_fill_(x, -torch.inf)
        return added

    @property
    def _height(self) -> int:
        """Queries for which the mask or the bias is written out at once."""
        return max(64, STRIP // self.size[3])

    @cached_property
    def _cover(self) -> tuple[Tensor, Tensor]:
        """(B or 1, spans of queries, tiles of keys) each: whether the mask may show a pair there, and whether all."""
        assert self.call.mask is not None
        some, all_of = self.call.mask.cover(Corners.of(*self.size, self._height, TILE))
        some, all_of = torch.broadcast_tensors(some, all_of)
        tiles = -(-self.size[2] // self._height), -(-self.size[3] // TILE)
        some, all_of = (x.expand(*x.shape[:2], *tiles) for x in (some, all_of))
        return some.any(1), all_of.all(1)

    def _sink(self, heads: slice, group: int) -> Tensor:
        """(n, group, 1), or nothing."""
        sink = getattr(self.call.normaliser, "sink", None)
        if sink is None:
            return torch.empty((heads.stop - heads.start) // group, group, 0)
        return full(sink.detach()).float()[heads].unflatten(0, (-1, group))[..., None].contiguous()

    def observed(self) -> Observed:
        """What was asked, of what was found."""
        request = self.request
        return Observed(
            self.size,
            self.lse,
            topk=self._topk() if request.topk else None,
            entropy=self.entropy if request.entropy else None,
            mass=self.mass if request.mass else None,
            distance=self.distance if request.distance else None,
            map=Map(self.mean, self.largest, *self.cell) if request.map else None,
            rows=self._rows() if request.rows else None,
            columns=self.columns if request.columns else None,
        )

    def _rows(self) -> Tensor:
        """Some queries' weights."""
        B, _, _, Tk = self.size
        tiles, everywhere = Tiles.of(self.call), slice(0, Tk)
        parts = [Part(slice(0, B), slice(row, row + 1), everywhere) for row in self.request.rows]
        return torch.cat([self.call.normaliser.weights(tiles.scores(part)) for part in parts], 2)

    def _topk(self) -> TopK:
        missing = 0, self.request.topk - self.best.shape[3]
        return TopK(F.pad(self.best, missing), F.pad(self.positions, missing, value=-1))


def _loops() -> ModuleType:
    from regard.observe import fused_loops

    return fused_loops


@cache
def _missing() -> str | None:
    """Why the loops cannot run here, if so: found out by running them once."""
    one = torch.ones(1, 1, 1, 1)
    try:
        _Sweep(Call(one, one, one, Dot(), None, None, Softmax(), None, 0.0, False), Observe())
    except ImportError:
        return "numba is not installed: pip install 'regard[fast]'"
    except Exception as error:  # whatever keeps a compiler from working must not keep anybody from looking
        return f"numba does not work here: {type(error).__name__}: {error}"
    return None
