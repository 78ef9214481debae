"""Scaled dot products over part of the keys: queries in strips, and for each strip only the keys it is given.

What `banded` and `blocksparse` share. A strip is some tiles of neighbouring queries with as many keys for each tile, so
few numbers that the scores stay in a core's own cache. Forward and backward are batched matrix products over a strip;
backward computes the weights again. Nothing (Tq, Tk) in size is built, and nothing of that size is kept.

    S = scale Q Kᵀ + bias, hidden where the mask hides;   P = softmax(S);   O = (P ∘ F) V,   F = after ∘ dropout
    dV = (P ∘ F)ᵀ dO;   dP = F ∘ dO Vᵀ;   dS = P ∘ (dP − Σ P ∘ dP);   dQ = scale dS K;   dK = scale dSᵀ Q

With a soft cap S = cap t + bias, t = tanh(scale Q Kᵀ / cap), and what flows through it is dS ∘ (1 − t²). With a sink
P = softmax(S) / (1 + e^{sink − lse}), dS is the same formula, and d sink = −Σ (Σ P ∘ dP) / (1 + e^{lse − sink}).
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from regard.equation.biases import Bias
from regard.equation.mask import Mask
from regard.equation.precision import full, no_autocast
from regard.equation.prepare import Keys, hide_keys, hide_queries, is_harmless
from regard.equation.rules import Grid, Rule
from regard.kernels.learned import in_full, learned, total
from regard.kernels.problem import Call, Problem
from regard.kernels.tiles import used

NUMBERS = 2**18
"""Scores in a strip, for each thread: 1 MB in float32, so that a core's own cache holds what a strip computes with."""


@dataclass(frozen=True)
class Window:
    """The keys of a strip: `width` neighbours, from `start` for the first tile, `step` further on for each next one."""

    start: int
    step: int
    width: int

    def index(self, tiles: int) -> Tensor:
        """The keys' numbers (tiles, width)."""
        return self.start + self.step * torch.arange(tiles)[:, None] + torch.arange(self.width)

    def of(self, x: Tensor, tiles: int, room: Tensor | None = None) -> Tensor:
        """These rows (tiles, width, D) of x (Tk, D): a view, in which tiles overlap, so it wants no room."""
        row = x.stride(0)
        size, strides = (tiles, self.width, x.shape[1]), (self.step * row, row, 1)
        return x.as_strided(size, strides, x.storage_offset() + self.start * row)

    def add_product(self, x: Tensor, y: Tensor, factor: float, into: Tensor, room: Tensor | None = None) -> None:
        """Add factor · xᵀ y, x (tiles, height, width) and y (tiles, height, D), to these rows of `into` (Tk, D)."""
        tiles = x.shape[0]
        if not self.step or tiles == 1:  # the tiles have the same keys, so their products' sum is one product
            into[self.start : self.start + self.width].addmm_(
                x.flatten(0, 1).mT, y.reshape(-1, y.shape[2]), alpha=factor
            )
            return
        for first in range(0, self.width, self.step):  # tiles overlap; slices no wider than the step do not
            piece = x[..., first : first + self.step]
            rows = Window(self.start + first, self.step, piece.shape[2]).of(into, tiles)
            torch.baddbmm(rows, piece.mT, y, alpha=factor, out=rows)


@dataclass(frozen=True)
class Blocks:
    """The keys of a strip: for each tile the blocks of keys with these numbers."""

    numbers: Tensor
    """(tiles, blocks)"""
    size: int

    @cached_property
    def of_all(self) -> Tensor:
        """The numbers, tile after tile."""
        return self.numbers.flatten()

    @cached_property
    def width(self) -> int:
        """Keys of a tile."""
        return self.numbers.shape[1] * self.size

    def index(self, tiles: int) -> Tensor:
        """The keys' numbers (tiles, width); there may be none such, in the last block."""
        return (self.numbers[..., None] * self.size + torch.arange(self.size)).flatten(1)

    def of(self, x: Tensor, tiles: int, room: Tensor | None) -> Tensor:
        """These rows (tiles, width, D) of x (Tk, D), Tk a multiple of the size: a copy, in the room given."""
        assert room is not None
        block = self.size * x.shape[1]
        torch.index_select(x.view(-1, block), 0, self.of_all, out=room.view(-1, block))
        return room

    def add_product(self, x: Tensor, y: Tensor, factor: float, into: Tensor, room: Tensor | None) -> None:
        """Add factor · xᵀ y, x (tiles, height, width) and y (tiles, height, D), to these rows of `into` (Tk, D)."""
        assert room is not None
        _product(x.mT, y, factor, room)
        block = self.size * into.shape[1]
        into.view(-1, block).index_add_(0, self.of_all, room.view(-1, block))


@dataclass(frozen=True)
class Strip:
    """Tiles of `height` neighbouring queries each, with the keys that each is given."""

    height: int
    keys: Window | Blocks
    first: int = 0
    """The first query, where tiles are neighbours."""
    count: int = 0
    """How many tiles, where they are neighbours."""
    numbers: Tensor | None = None
    """Otherwise: the tiles' numbers; tile i begins with query i * height."""
    asks: int = 0
    """About how many of a tile's keys, from the first, the mask must be asked; the others are all allowed."""
    added: Sequence[tuple[slice, Tensor]] = ()
    """For some of the keys: 0, or -inf where a pair is hidden, (tiles or 1, height, .), in all batch rows and heads."""
    empty: Tensor | None = None
    """Where `added` hides everything from a query: (tiles, height, 1)."""
    batch: Sequence[int] | None = None
    """The batch rows for which this strip stands; None for all."""
    heads: Sequence[int] | None = None
    """The heads likewise."""

    @property
    def tiles(self) -> int:
        """How many tiles."""
        return self.count if self.numbers is None else self.numbers.shape[0]

    @property
    def size(self) -> tuple[int, int, int]:
        """Tiles, queries of each, keys of each."""
        return self.tiles, self.height, self.keys.width

    @cached_property
    def row(self) -> Tensor:
        """The queries' numbers (tiles, 1, height, 1)."""
        of_tile = torch.arange(self.count) * self.height + self.first if self.numbers is None else None
        start = self.numbers * self.height if of_tile is None and self.numbers is not None else of_tile
        assert start is not None
        return start[:, None, None, None] + torch.arange(self.height)[:, None]

    def of(self, x: Tensor) -> Tensor:
        """The queries' rows (tiles, height, D) of x (Tq, D): a view where tiles are neighbours."""
        if self.numbers is None:
            return x[self.first : self.first + self.count * self.height].unflatten(0, (self.count, self.height))
        whole = x.shape[0] // self.height
        return x[: whole * self.height].unflatten(0, (whole, self.height)).index_select(0, self.numbers)

    def product(self, x: Tensor, y: Tensor, factor: float, into: Tensor) -> None:
        """Write factor · x y (tiles, height, D) into the queries' rows of `into` (Tq, D)."""
        if self.numbers is None:
            _product(x, y, factor, self.of(into))
            return
        whole = into.shape[0] // self.height
        found = _product(x, y, factor, x.new_empty(*x.shape[:2], y.shape[2]))
        into[: whole * self.height].view(whole, self.height, -1).index_copy_(0, self.numbers, found)


@dataclass
class Work:
    """One call on its strips: what forward and backward have in common."""

    strips: Sequence[Strip]
    size: tuple[int, int, int, int]
    """B, H, Tq, Tk."""
    scale: float
    mask: Mask | None
    bias: Bias | None
    after: Bias | None
    dropout: float
    cap: float | None = None
    sink: Tensor | None = None
    """(H,)"""
    lengths: list[int] | None = None
    """Keys from this number on are hidden from the batch row, beside what a strip says."""
    seed: int = 0
    """What dropout's draws begin with."""

    def context(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        """(B, H, Tq, Dv) of q, k, v in one dtype, float32 or float64; 0 for queries that no strip has."""
        out = q.new_zeros(*q.shape[:3], v.shape[3])
        group = q.shape[1] // k.shape[1]
        scratch = _Scratch(self.strips, q, max(k.shape[3], v.shape[3]))
        for part in self._parts():
            strip, b = part.strip, part.b
            for h in part.heads:
                keys, values = scratch.keys(strip, k[b, h // group], v[b, h // group])
                p = part.weights(strip.of(q[b, h]), keys, h, scratch)
                strip.product(part.dropped(p, h, scratch), values, 1.0, out[b, h])
        return out

    def gradients(self, q: Tensor, k: Tensor, v: Tensor, gradient: Tensor) -> tuple[Tensor | None, ...]:
        """Of q, k, v and the sink, and of every tensor that bias and factor learn."""
        dq, dk, dv = (torch.zeros(x.shape, dtype=x.dtype) for x in (q, k, v))
        sinks = None if self.sink is None else torch.zeros(self.sink.shape, dtype=torch.float64)
        group = q.shape[1] // k.shape[1]
        scratch = _Scratch(self.strips, q, max(k.shape[3], v.shape[3]))
        rules = _Learned(self.bias), _Learned(self.after)
        for part in self._parts():
            strip, b = part.strip, part.b
            for h in part.heads:
                queries, g = strip.of(q[b, h]), strip.of(gradient[b, h])
                keys, values = scratch.keys(strip, k[b, h // group], v[b, h // group])
                p = part.weights(queries, keys, h, scratch, keep=True)
                used = part.dropped(p, h, scratch)
                strip.keys.add_product(used, g, 1.0, dv[b, h // group], scratch.rows(strip, v))
                dp = torch.bmm(g, values.mT, out=scratch("dp", strip))
                if part.after is not None and rules[1].wanted:
                    rules[1].add(part.kept(dp * p, h), part.after, part.place(part.after, h))
                dp = part.factored(dp, h)
                if sinks is not None:
                    assert part.missed is not None
                    sinks[h] -= ((p * dp).sum(-1, keepdim=True) * part.missed).sum()
                ds = torch._softmax_backward_data(dp, p, -1, p.dtype, grad_input=dp)
                if part.bias is not None and rules[0].wanted:
                    rules[0].add(ds, part.bias, part.place(part.bias, h))
                if self.cap is not None:
                    torch.ops.aten.tanh_backward.grad_input(ds, scratch("tanh", strip), grad_input=ds)
                strip.product(ds, keys, self.scale, dq[b, h])
                strip.keys.add_product(ds, queries, self.scale, dk[b, h // group], scratch.rows(strip, k))
            for of_rule in rules:
                of_rule.flow(part.grid)
        return dq, dk, dv, sinks, *rules[0].gradients(), *rules[1].gradients()

    def _parts(self) -> Iterator["_Part"]:
        """Every strip for every batch row, with what the rules say there; said once where rows do not matter."""
        B, H, _, _ = self.size
        varies = any(_varies(rule, B) for rule in (self.mask, self.bias, self.after))
        for number, strip in enumerate(self.strips):
            part = None
            heads = range(H) if strip.heads is None else strip.heads
            for b in range(B) if strip.batch is None else strip.batch:
                length = None if self.lengths is None else self.lengths[b]
                if isinstance(strip.keys, Window) and length is not None and length <= strip.keys.start:
                    continue  # there is padding alone
                if part is None or varies or length is not None:
                    part = _Part.of(self, strip, b, heads, length)
                yield part.for_row(b, number)


@dataclass
class _Part:
    """A strip for one batch row."""

    work: Work
    strip: Strip
    b: int
    heads: Sequence[int]
    grid: Grid
    hidden: Tensor | None
    """(tiles, heads or 1, height, asked): where the mask hides."""
    empty: Tensor | None
    """(tiles, heads or 1, height, 1): queries that see nothing."""
    bias: Tensor | None
    after: Tensor | None
    number: int = 0
    missed: Tensor | None = None
    """(tiles, height, 1): what a sink takes of each query's weights, of the head asked last."""

    @classmethod
    def of(cls, work: Work, strip: Strip, b: int, heads: Sequence[int], length: int | None) -> "_Part":
        _, _, Tq, Tk = work.size
        index = strip.keys.index(strip.tiles)[:, None, None]
        head = torch.tensor(heads).view(1, -1, 1, 1)
        grid = Grid(torch.full((1, 1, 1, 1), b), head, strip.row, index.clamp(max=Tk - 1), Tk - Tq, Tk)
        asks = strip.asks
        if length is not None and length <= int(index[-1, 0, 0, -1]):
            asks = strip.keys.width
        hidden = empty = None
        if asks:
            assert work.mask is not None
            hidden = ~work.mask.at(grid._replace(key=grid.key[..., :asks]))
            if isinstance(strip.keys, Blocks):
                hidden = hidden | (index[..., :asks] >= Tk)
            if asks == strip.keys.width:
                empty = _all(hidden)
        if strip.empty is not None:
            empty = strip.empty[:, None] if empty is None else empty | strip.empty[:, None]
        bias, after = (None if rule is None else rule.at(grid) for rule in (work.bias, work.after))
        return cls(work, strip, b, heads, grid, hidden, empty, bias, after)

    def for_row(self, b: int, number: int) -> "_Part":
        """The same for another batch row, where rows do not matter."""
        self.b, self.number = b, number
        return self

    def weights(self, q: Tensor, k: Tensor, h: int, scratch: "_Scratch", *, keep: bool = False) -> Tensor:
        """P (tiles, height, width) of head h; with `keep`, the tangent that a cap bends scores by stays in scratch."""
        strip, work = self.strip, self.work
        s = scratch("p", strip)
        if work.cap is None:
            _product(q, k.mT, work.scale, s)
        else:
            t = scratch("tanh", strip) if keep else s
            torch.mul(_product(q, k.mT, work.scale / work.cap, t).tanh_(), work.cap, out=s)
        if self.bias is not None:
            s += self._of(self.bias, h)
        for keys, added in strip.added:
            s[..., keys] += added
        if self.hidden is not None:
            s[..., : self.hidden.shape[-1]].masked_fill_(self._of(self.hidden, h), -math.inf)
        empty = None if self.empty is None else self._of(self.empty, h)
        if self.bias is not None:  # it may hide, too
            empty = s.amax(-1, keepdim=True) == -math.inf
        p = torch.softmax(s, -1, out=s) if work.sink is None else self._beside(work.sink[h], s)
        return p if empty is None else p.masked_fill_(empty, 0)

    def _beside(self, sink: Tensor, s: Tensor) -> Tensor:
        """The softmax of each row, in its place, less what the sink takes."""
        most = s.amax(-1, keepdim=True)
        p = torch.softmax(s, -1, out=s)
        above = sink - (most - p.amax(-1, keepdim=True).log_())  # the largest weight is e^{most - lse}
        self.missed = torch.sigmoid(above)
        if self.empty is not None or self.bias is not None:  # who sees nothing has no largest weight
            self.missed = self.missed.nan_to_num_()
        return p.mul_(torch.sigmoid(-above))

    def dropped(self, p: Tensor, h: int, scratch: "_Scratch") -> Tensor:
        """P ∘ F."""
        if self.after is None and not self.work.dropout:
            return p
        return self.factored(scratch("dp", self.strip).copy_(p), h)

    def factored(self, x: Tensor, h: int) -> Tensor:
        """x ∘ F, in place."""
        if self.after is not None:
            x *= self._of(self.after, h)
        return self.kept(x, h)

    def kept(self, x: Tensor, h: int) -> Tensor:
        """What dropout leaves of x, in place: the same each time that this strip, row and head are asked."""
        rate = self.work.dropout
        if not rate:
            return x
        B, H, _, _ = self.work.size
        draws = torch.Generator().manual_seed(self.work.seed + (self.number * B + self.b) * H + h)
        return x.mul_(torch.empty_like(x).bernoulli_(1 - rate, generator=draws)).div_(1 - rate)

    def _of(self, x: Tensor, h: int) -> Tensor:
        """Head h's of (tiles or 1, heads or 1, ...)."""
        return x[:, self.place(x, h)]

    def place(self, x: Tensor, h: int) -> int:
        """Where head h stands in a rule's values."""
        return self.heads.index(h) if x.shape[1] > 1 else 0


class _Learned:
    """The gradient of one rule's tensors, gathered strip by strip."""

    def __init__(self, rule: Bias | None) -> None:
        self.rule = rule
        self.learned = learned(rule)
        self.wanted = bool(self.learned)
        self.sums = [total(tensor) for tensor in self.learned]
        self.gradient: Tensor | None = None

    def add(self, gradient: Tensor, values: Tensor, place: int) -> None:
        """Take in (tiles, height, width): of the rule's values (tiles, heads, height, width) for the head there."""
        if self.gradient is None:
            self.gradient = torch.zeros_like(values, dtype=gradient.dtype)
        here = self.gradient[:, place]
        here += gradient.sum_to_size(here.shape)

    def flow(self, grid: Grid) -> None:
        """Let what was taken in for this part of the grid flow into the tensors."""
        if self.gradient is None or self.rule is None:
            return
        with torch.enable_grad():
            values = self.rule.at(grid)
            found = torch.autograd.grad(values, self.learned, self.gradient.to(values.dtype), allow_unused=True)
        for place, part in zip(self.sums, found, strict=True):
            if part is not None:
                place += part
        self.gradient = None

    def gradients(self) -> list[Tensor]:
        """One for each of the rule's tensors that learns."""
        return [found.to(tensor.dtype) for found, tensor in zip(self.sums, self.learned, strict=True)]


class _Scratch:
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


def _product(x: Tensor, y: Tensor, factor: float, out: Tensor) -> Tensor:
    """factor · x y, matrix by matrix, into `out`."""
    return torch.baddbmm(out, x, y, beta=0, alpha=factor, out=out)


class _Attend(torch.autograd.Function):
    """The context of a work; the sink and the tensors of its rules come along so that gradients find them."""

    @staticmethod
    def forward(
        ctx: Any, work: Work, q: Tensor, k: Tensor, v: Tensor, sink: Tensor | None, *of_rules: Tensor
    ) -> Tensor:
        ctx.save_for_backward(q, k, v, *of_rules)
        ctx.work = work
        return work.context(q, k, v)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple:
        if torch.is_grad_enabled():
            raise RuntimeError(
                "the gradient of this gradient is not there: compute with regard.kernel('reference') for one"
            )
        q, k, v, *_ = ctx.saved_tensors
        return None, *ctx.work.gradients(q, k, v, gradient.contiguous())


def inputs(call: Call) -> tuple[Tensor, Tensor, Tensor]:
    """q, k, v as the score compares them, in one dtype and at least float32, harmless where no query may see them."""
    q, k, v, score = call.q, call.keys, call.v, call.score
    if call.mask is not None and not is_harmless(q, k, v):
        asking, seen = used(call.mask, (*q.shape[:3], k.shape[2]), q.device)
        q = hide_queries(asking, q)
        k, v = hide_keys(seen, k, v)
    q, k = score.query(q), k if isinstance(call.k, Keys) else score.project(k)
    dtype = torch.promote_types(torch.promote_types(full(q).dtype, k.dtype), v.dtype)
    q, k, v = (x.to(dtype) for x in (q, k, v))
    return q, k, v


def attend(
    call: Call, problem: Problem, strips: Sequence[Strip], *, lengths: list[int] | None = None, block: int = 1
) -> Tensor:
    """The context of a call, by its strips; keys are filled up to whole blocks where those are gathered."""
    with no_autocast(call.q.device):
        q, k, v = (x if x.stride(-1) == 1 else x.contiguous() for x in inputs(call))
        call = in_full(call)
        if block > 1:
            over = -problem.Tk % block
            k, v = ((F.pad(x, (0, 0, 0, over)) if over else x).contiguous() for x in (k, v))
        sink = getattr(call.normaliser, "sink", None)
        work = Work(
            strips,
            (problem.B, problem.H, problem.Tq, problem.Tk),
            call.score.factor(problem.D),
            call.mask,
            call.bias,
            call.after,
            call.dropout,
            getattr(call.score, "cap", None),
            sink,
            lengths,
            int(torch.randint(2**62, ()).item()) if call.dropout else 0,
        )
        return _Attend.apply(work, q, k, v, sink, *learned(call.bias), *learned(call.after)).to(call.v.dtype)


def refusals(problem: Problem) -> list[str]:
    """What no strip can do, a sentence each."""
    reasons = []
    if problem.weights:
        reasons.append("it does not return weights")
    if not (problem.is_dot or problem.capped):
        reasons.append(f"the score {problem.score} is not a dot product")
    if not (problem.softmax or problem.sink):
        reasons.append(f"it normalises by softmax only, not by {problem.normalise}")
    if problem.device != "cpu":
        reasons.append(f"it computes on cpu, not on {problem.device}")
    if torch.compiler.is_compiling():
        reasons.append("torch.compile cannot look into it")
    if problem.empty:
        reasons.append("a size is 0")
    return reasons


FEW = 2**23
"""Products of features over the pairs of one batch row and head below which a call of SDPA with a mask takes less."""


def doubts(problem: Problem) -> list[str]:
    """Why strips do worse than SDPA with a mask, whatever the mask hides."""
    reasons = []
    if problem.Tq * problem.Tk * problem.D < FEW:
        reasons.append("so few pairs take less time in one call with a mask")
    if problem.learned_matrix:
        reasons.append("each strip's gradient would go through the whole matrix that is learned")
    return reasons


def flops(problem: Problem, pairs: int) -> int:
    """Forward: 2 (D + Dv) for each pair; backward 2.5 times that (it computes the scores again)."""
    return int(pairs * 2 * (problem.D + problem.Dv) * (3.5 if problem.grad else 1))


def per_strip(tiles: int, pairs: int) -> int:
    """How many of so many tiles go into a strip, at so many pairs a tile."""
    return max(1, min(tiles, NUMBERS * torch.get_num_threads() // max(pairs, 1)))


def _varies(rule: Rule | None, B: int) -> bool:
    """Whether the rule's values are others for other batch rows."""
    if rule is None or B == 1:
        return False
    zero = torch.zeros(1, 1, 1, 1, dtype=torch.long)
    with torch.no_grad():
        return rule.at(Grid(torch.arange(B).view(B, 1, 1, 1), zero, zero, zero, 0, 1)).shape[0] > 1


def _all(hidden: Tensor) -> Tensor | None:
    """Queries from which everything is hidden; None where there are none."""
    rows = hidden.view(torch.uint8).amin(-1, keepdim=True).view(torch.bool)
    return rows if rows.any() else None
