"""Statistics of any call, the plain way: the weights of some queries at a time, by the call's own equation."""

import math
from collections.abc import Iterator

import torch
from torch import Tensor

from regard.equation.normalisers import Gumbel, Sample, log_sum_exp
from regard.equation.precision import full, no_autocast
from regard.equation.rules import Part
from regard.equation.scores import Additive, Cosine, Dot, General
from regard.kernels.problem import Call
from regard.kernels.tiles import Tiles
from regard.observe.pooling import Pool
from regard.observe.record import Observe, Observed, Products, TopK

NUMBERS = 2**19
"""What a score may write for a part: 2 MB in float32."""
WHOLE = 2**24
"""Pairs up to which a score that is not ours is asked for all at once: who knows whether it compares pair by pair."""

_PAIRWISE = (Dot, General, Additive, Cosine)


def statistics(call: Call, request: Observe, context_gradient: Tensor | None = None) -> Observed:
    """What is asked of a call whose arguments and request have been checked."""
    tiles = Tiles.of(call)
    taken = _Taken(tiles, request, context_gradient)
    drawn = isinstance(call.normaliser, Gumbel | Sample)
    state = _generator_state(tiles.q.device) if drawn else None
    with no_autocast(tiles.q.device):
        for part in _parts(tiles):
            e = _scores(tiles, part)
            weights = call.normaliser.weights(e)
            if (after := tiles.after(part)) is not None:
                weights = weights * after.to(weights.dtype)
            taken.add(part, e, weights)
    if state is not None:
        _set_generator_state(tiles.q.device, state)
    return taken.observed()


def _parts(tiles: Tiles) -> Iterator[Part]:
    """Some queries at a time; or all, where the equation cannot be asked for some."""
    B, H, Tq, Tk = tiles.size
    score, pairwise = tiles.call.score, type(tiles.call.score) in _PAIRWISE
    drawn = isinstance(tiles.call.normaliser, Gumbel | Sample)  # a draw in parts would be another draw
    if drawn or not (pairwise or B * H * Tq * Tk > WHOLE):
        yield Part(slice(0, B), slice(0, Tq), slice(0, Tk))
    elif not pairwise:
        rows = max(1, NUMBERS // max(1, B * H * Tk * score.cost(tiles.q.shape[-1])[1]))
        for r in range(0, Tq, rows):
            yield Part(slice(0, B), slice(r, min(r + rows, Tq)), slice(0, Tk))
    else:
        yield from tiles.parts(NUMBERS)


def _scores(tiles: Tiles, part: Part) -> Tensor:
    """The part's scores; of some keys at a time where the score writes many numbers a pair."""
    H, written = tiles.size[1], tiles.call.score.cost(tiles.q.shape[-1])[1]
    if written <= 2 or type(tiles.call.score) not in _PAIRWISE:
        return tiles.scores(part)
    queries = H * (part.batch.stop - part.batch.start) * (part.rows.stop - part.rows.start)
    keys = max(1, 8 * NUMBERS // (queries * written))
    spans = [slice(j, min(j + keys, part.keys.stop)) for j in range(part.keys.start, part.keys.stop, keys)]
    return torch.cat([tiles.scores(part._replace(keys=span)) for span in spans or [part.keys]], -1)


class _Taken:
    """What has been taken of the parts seen so far."""

    def __init__(self, tiles: Tiles, request: Observe, context_gradient: Tensor | None) -> None:
        self.tiles, self.request = tiles, request
        B, H, Tq, Tk = self.size = tiles.size
        self.dtype, self.device = torch.promote_types(tiles.q.dtype, torch.float32), tiles.q.device
        self.lse = self._of_queries(-math.inf)
        self.entropy = self._of_queries() if request.entropy else None
        self.distance = self._of_queries() if request.distance else None
        self.mass = self._of_keys() if request.mass else None
        self.topk = _Best(self, request.topk) if request.topk else None
        self.pool = Pool(self.size, request.map, self.device) if request.map else None
        self.rows = self._new(B, H, len(request.rows), Tk) if request.rows else None
        self.columns = self._new(B, H, Tq, len(request.columns)) if request.columns else None
        self.weights = self._new(*self.size) if request.weights else None
        self.allowed = torch.zeros(self.size, dtype=torch.bool) if request.weights else None
        self.products = None if context_gradient is None else _Products(self, context_gradient)

    def _new(self, *shape: int) -> Tensor:
        """Results wait on the CPU: on a GPU, memory is scarcer."""
        return torch.zeros(shape, dtype=self.dtype)

    def _of_queries(self, value: float = 0.0) -> Tensor:
        return torch.full(self.size[:3], value, dtype=self.dtype)

    def _of_keys(self) -> Tensor:
        """Float64: as many numbers are added as there are queries."""
        B, H, _, Tk = self.size
        return torch.zeros(B, H, Tk, dtype=torch.float64, device=self.device)

    def add(self, part: Part, e: Tensor, weights: Tensor) -> None:
        """Take what is asked of a part's scores and weights (b, h, r, c)."""
        allowed = e != -math.inf
        at = part.batch, slice(None), part.rows
        self.lse[at] = log_sum_exp(e).cpu().to(self.dtype)
        if self.entropy is not None:
            self.entropy[at] = -torch.special.xlogy(weights, weights).sum(-1).cpu()
        if self.distance is not None:
            self.distance[at] = (weights * self._apart(part)).sum(-1).cpu()
        if self.mass is not None:
            self.mass[part.batch, :, part.keys] += weights.sum(2, dtype=torch.float64)
        if self.topk is not None:
            self.topk.add(part, weights, allowed)
        if self.pool is not None:
            self.pool.add(part, weights, allowed)
        if self.rows is not None:
            for i, row in enumerate(self.request.rows):
                if part.rows.start <= row < part.rows.stop:
                    self.rows[part.batch, :, i, part.keys] = weights[:, :, row - part.rows.start].cpu()
        if self.columns is not None:
            for i, column in enumerate(self.request.columns):
                if part.keys.start <= column < part.keys.stop:
                    self.columns[*at, i] = weights[..., column - part.keys.start].cpu()
        if self.weights is not None and self.allowed is not None:
            self.weights[*at, part.keys] = weights.cpu()
            self.allowed[*at, part.keys] = allowed.cpu()
        if self.products is not None:
            self.products.add(part, weights, allowed)

    def _apart(self, part: Part) -> Tensor:
        """|key - query| (r, c), on the keys' line."""
        _, _, Tq, Tk = self.size
        queries = torch.arange(part.rows.start, part.rows.stop, device=self.device)[:, None] + (Tk - Tq)
        keys = torch.arange(part.keys.start, part.keys.stop, device=self.device)
        return (keys - queries).abs().to(self.dtype)

    def observed(self) -> Observed:
        """All of it."""
        return Observed(
            self.size,
            self.lse,
            topk=None if self.topk is None else self.topk.topk(),
            entropy=self.entropy,
            mass=None if self.mass is None else self.mass.to("cpu", self.dtype),
            distance=self.distance,
            map=None if self.pool is None else self.pool.map(self.dtype),
            rows=self.rows,
            columns=self.columns,
            weights=self.weights,
            allowed=None if self.allowed is None or self.allowed.all() else self.allowed,
            gradient=None if self.products is None else self.products.products(),
        )


class _Best:
    """The k largest numbers of each query."""

    def __init__(self, taken: _Taken, k: int) -> None:
        B, H, Tq, _ = taken.size
        self.k = k
        self.numbers = taken._new(B, H, Tq, k)
        self.positions = torch.full((B, H, Tq, k), -1, dtype=torch.int32)

    def add(self, part: Part, x: Tensor, allowed: Tensor) -> None:
        """Take a part, which has all keys that its queries may see."""
        found = torch.where(allowed, x, -math.inf).topk(min(self.k, x.shape[-1]))
        none = found.values == -math.inf
        at = part.batch, slice(None), part.rows, slice(0, found.values.shape[-1])
        self.numbers[at] = found.values.masked_fill(none, 0).cpu()
        self.positions[at] = (found.indices + part.keys.start).masked_fill(none, -1).cpu().to(torch.int32)

    def topk(self) -> TopK:
        return TopK(self.numbers, self.positions)


class _Products:
    """Gradient × attention."""

    def __init__(self, taken: _Taken, context_gradient: Tensor) -> None:
        self.taken, request = taken, taken.request
        self.gradient = full(context_gradient.detach()).to(taken.device)
        self.queries, self.keys = taken._of_queries(), taken._of_keys()
        self.topk = _Best(taken, request.topk) if request.topk else None
        self.pool = Pool(taken.size, request.map, taken.device) if request.map else None

    def add(self, part: Part, weights: Tensor, allowed: Tensor) -> None:
        """Take a part's products."""
        of_queries, of_keys = self.gradient[part.batch, :, part.rows], self.taken.tiles.values[part.batch, :, part.keys]
        x = weights * (of_queries @ of_keys.mT)
        self.queries[part.batch, :, part.rows] = x.sum(-1).cpu().to(self.queries.dtype)
        self.keys[part.batch, :, part.keys] += x.sum(2, dtype=torch.float64)
        if self.topk is not None:
            self.topk.add(part, x, allowed)
        if self.pool is not None:
            self.pool.add(part, x, allowed)

    def products(self) -> Products:
        dtype = self.taken.dtype
        return Products(
            self.queries,
            self.keys.to("cpu", dtype),
            None if self.topk is None else self.topk.topk(),
            None if self.pool is None else self.pool.map(dtype),
        )


def _generator_state(device: torch.device) -> Tensor:
    return torch.get_rng_state() if device.type == "cpu" else torch.get_device_module(device).get_rng_state(device)


def _set_generator_state(device: torch.device, state: Tensor) -> None:
    if device.type == "cpu":
        torch.set_rng_state(state)
    else:
        torch.get_device_module(device).set_rng_state(state, device)
