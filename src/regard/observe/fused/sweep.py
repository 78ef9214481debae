"""A call made ready for the loops, some heads of one batch row at a time, and what they find taken up."""

from types import ModuleType
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from regard.equation.precision import full, no_autocast
from regard.equation.prepare import Keys
from regard.equation.rules import Part
from regard.kernels.problem import Call
from regard.kernels.tiles import Tiles
from regard.observe.fused.sums import Sums
from regard.observe.fused.visible import Visible
from regard.observe.record import Observe, Observed, TopK

STRIP = 2**22
"""Numbers of a strip of scores that waits for its queries' log-sum-exp: 16 MB a thread."""
BUFFERS = 2**23
"""Numbers that threads gather apart from each other, and of prepared keys: 64 MB of float64 at most."""


def statistics(call: Call, request: Observe) -> Observed:
    """What is asked of a call that is not refused."""
    with no_autocast(call.q.device):
        return _Sweep(call, request).observed()


class _Sweep:
    """One call's results, filled by the loops."""

    def __init__(self, call: Call, request: Observe) -> None:
        self.call, self.request, score = call, request, call.score
        k = call.keys if isinstance(call.k, Keys) else score.project(call.k)
        self.q, self.k = full(score.query(call.q.detach())), full(k.detach())
        B, H, Tq, _ = self.q.shape
        self.size = B, H, Tq, self.k.shape[2]
        self.group = H // self.k.shape[1]
        self.lse = torch.empty(B, H, Tq)
        self.entropy = torch.empty(B, H, Tq if request.entropy else 0)
        self.distance = torch.empty(B, H, Tq if request.distance else 0)
        kept = min(request.topk, self.size[3])
        self.best = torch.full((B, H, Tq, kept), -torch.inf)
        self.positions = torch.full((B, H, Tq, kept), -1, dtype=torch.int32)
        self.columns = torch.full((B, H, Tq, len(request.columns)), -torch.inf)
        self.sums = Sums(request, self.size, _loops().use_threads())
        self.visible = Visible(call, self.size)

    def observed(self) -> Observed:
        """What was asked, of what is found."""
        self._fill()
        request = self.request
        return Observed(
            self.size,
            self.lse,
            topk=self._topk() if request.topk else None,
            entropy=self.entropy if request.entropy else None,
            mass=self.sums.mass if request.mass else None,
            distance=self.distance if request.distance else None,
            map=self.sums.map if request.map else None,
            rows=self._rows() if request.rows else None,
            columns=self.columns if request.columns else None,
        )

    def _fill(self) -> None:
        """As many heads of keys at once as there is room for."""
        B, heads, Tk, D = self.k.shape
        many = max(1, BUFFERS // max(self.group * self.sums.numbers, Tk * D))
        for b in range(B):
            low, high = (x.numpy() for x in self.visible.bounds(b))
            for i in range(0, heads, many):
                self._sweep(b, slice(i, min(i + many, heads)), low, high)

    def _sweep(self, b: int, heads: slice, low: np.ndarray, high: np.ndarray) -> None:
        """Some heads of keys, with the queries that share them."""
        loops, asking = _loops(), slice(heads.start * self.group, heads.stop * self.group)
        equation, of_queries = self._equation(b, heads, asking), self._of_queries(b, asking)
        room = self.sums.room(heads.stop - heads.start, self.group)
        of_keys = loops.OfKeys(*(x.numpy() for x in room), *self.sums.cell)
        height = self._height(equation.panels.shape[1] * loops.PANEL)
        _, _, Tq, Tk = self.size
        for rows in self.visible.spans():
            shown = loops.Shown(low, high, self.visible.added(b, asking, rows, self.group).numpy())
            span = loops.Span(rows.start, rows.stop, height, Tk - Tq)
            loops.sweep(self.sums.threads, equation, shown, span, of_queries, of_keys)
        self.sums.take(b, asking, *room)

    def _equation(self, b: int, heads: slice, asking: slice) -> Any:
        """What makes their scores and weights."""
        loops, D = _loops(), self.q.shape[3]
        factor, cap = self.call.score.factor(D), getattr(self.call.score, "cap", None)
        return loops.Equation(
            self._grouped(self.q, b, asking).contiguous().numpy(),
            self._panels(self.k[b, heads], loops.PANEL).numpy(),
            np.float32(factor / (cap or 1)),
            np.float32(cap or 0),
            self._sink(asking).numpy(),
        )

    def _of_queries(self, b: int, asking: slice) -> Any:
        """Where the loops write what they take of each query."""
        found = self.lse, self.entropy, self.distance, self.best, self.positions, self.columns
        arrays = (self._grouped(x, b, asking).numpy() for x in found)
        return _loops().OfQueries(*arrays, np.array(self.request.columns, np.int64))

    def _grouped(self, x: Tensor, b: int, asking: slice) -> Tensor:
        """(n, group, ...): some heads of a batch row of x (B, H, ...)."""
        return x[b, asking].unflatten(0, (-1, self.group))

    @staticmethod
    def _panels(k: Tensor, width: int) -> Tensor:
        """(n, Tk / width, D, width): keys side by side, 0 beyond the last."""
        k = F.pad(k, (0, 0, 0, -k.shape[1] % width))
        return k.unflatten(1, (-1, width)).mT.contiguous()

    def _sink(self, asking: slice) -> Tensor:
        """(n, group, 1), or nothing."""
        sink = getattr(self.call.normaliser, "sink", None)
        if sink is None:
            return torch.empty((asking.stop - asking.start) // self.group, self.group, 0)
        return full(sink.detach()).float()[asking].unflatten(0, (-1, self.group))[..., None].contiguous()

    def _height(self, keys: int) -> int:
        """Queries of a strip: fewer where it is kept and long, and where threads would have none."""
        height = max(8, min(64, STRIP // keys // 8 * 8)) if self.sums.numbers else 64
        return max(4, min(height, -(-self.size[2] // (4 * self.sums.threads)) * 4))

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
