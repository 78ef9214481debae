"""Calls to look at, and their statistics by the definitions, in float64 over the whole matrix."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from regard.attend import call
from regard.equation.biases import alibi, gaussian, relative
from regard.equation.masks import blocks, causal, dense, documents, padding, tokens, window
from regard.equation.normalisers import Entmax, Softmax, TopK
from regard.equation.scores import Additive, Cosine, Dot, General, Score
from regard.observe.record import Map, Observe, Observed

EVERYTHING = Observe(topk=4, entropy=True, mass=True, distance=True, map=5, rows=[0, 3], columns=[4, 1, 1])


def plainly(q: Tensor, k: Tensor, *_: Tensor) -> Tensor:
    return q @ k.mT / math.sqrt(q.shape[-1])


def additively(q: Tensor, k: Tensor, v: Tensor, w_query: Tensor, w_key: Tensor) -> Tensor:
    return torch.tanh((q @ w_query.mT)[..., :, None, :] + (k @ w_key.mT)[..., None, :, :]) @ v


def holes(*shape: int) -> Tensor:
    return torch.rand(*shape, generator=torch.Generator().manual_seed(5)) > 0.5


def simplex(e: Tensor, alpha: float) -> Tensor:
    """α-entmax by bisection of its threshold: Σ max((α - 1) e - τ, 0)^{1/(α - 1)} = 1."""
    z = e * (alpha - 1)
    low, high = z.amax(-1, keepdim=True) - 1, z.amax(-1, keepdim=True)
    for _ in range(60):
        middle = (low + high) / 2
        above = ((z - middle).clamp(min=0) ** (1 / (alpha - 1))).sum(-1, keepdim=True) >= 1
        low, high = torch.where(above, middle, low), torch.where(above, high, middle)
    p = (z - low).clamp(min=0) ** (1 / (alpha - 1))
    return p / p.sum(-1, keepdim=True)


def softmax(e: Tensor) -> Tensor:
    p = torch.exp(e - e.amax(-1, keepdim=True))
    return p / p.sum(-1, keepdim=True)


def with_sink(e: Tensor, sink: Tensor) -> Tensor:
    return torch.exp(e - torch.logaddexp(e.logsumexp(-1), sink[:, None])[..., None])


class Squared(Score):
    """A score of one's own, which says nothing of itself."""

    def compare(self, q: Tensor, k: Tensor) -> Tensor:
        return (q @ k.mT).square()


def best_of(e: Tensor, k: int) -> Tensor:
    return softmax(torch.where(e >= e.sort(-1, descending=True).values[..., k - 1 : k], e, -math.inf))


@dataclass
class Case:
    """Sizes B, H, Hk, Tq, Tk, D, Dv, and the parts; functions take a maker of random tensors."""

    sizes: tuple[int, ...] = (2, 4, 4, 7, 7, 8, 8)
    score: Callable[[Any], Any] = lambda r: None
    compare: Callable[..., Tensor] = plainly
    mask: Callable[[], Any] = lambda: None
    bias: Callable[[Any], Any] = lambda r: None
    normalise: Callable[[Any], Any] = lambda r: "softmax"
    weigh: Callable[..., Tensor] = softmax
    after: Callable[[Any], Any] = lambda r: None
    prepared: bool = False
    fused: bool = True
    """Whether the loops know it."""


SHORT, LONG, ODD = (2, 4, 2, 5, 7, 8, 8), (2, 4, 2, 9, 7, 8, 3), (1, 2, 1, 97, 111, 16, 16)
CASES = {
    "plain": Case(),
    "odd sizes": Case(ODD),
    "beyond a tile": Case((1, 2, 2, 70, 1111, 8, 8), mask=causal),
    "one query": Case((3, 2, 2, 1, 7, 8, 8), mask=causal),
    "one of everything": Case((1, 1, 1, 1, 1, 1, 1)),
    "no queries": Case((2, 4, 2, 0, 7, 8, 8), fused=False),
    "no keys": Case((2, 4, 2, 5, 0, 8, 8), fused=False),
    "no rows": Case((0, 4, 2, 5, 7, 8, 8), mask=causal, fused=False),
    "no features": Case((2, 4, 2, 5, 7, 0, 8), compare=lambda q, k: q @ k.mT, fused=False),
    "unscaled": Case(SHORT, lambda r: Dot(1.0), lambda q, k: q @ k.mT),
    "a soft cap": Case(SHORT, lambda r: Dot(cap=2.0), lambda q, k: 2 * torch.tanh(plainly(q, k) / 2)),
    "a soft cap, a mask, a bias and a sink": Case(
        (1, 6, 3, 97, 111, 16, 16),
        lambda r: Dot(0.5, cap=50.0),
        lambda q, k: 50 * torch.tanh(q @ k.mT / 100),
        mask=lambda: padding([100]) & documents(torch.arange(111) // 60, torch.arange(97) // 50),
        bias=lambda r: alibi(6),
        normalise=lambda r: Softmax(3 * r(6)),
        weigh=with_sink,
    ),
    "general": Case(SHORT, lambda r: General(r(8, 8)), lambda q, k, w: q @ w @ k.mT),
    "general, scaled": Case(SHORT, lambda r: General(r(8, 8), 0.3), lambda q, k, w: 0.3 * q @ w @ k.mT),
    "general, prepared": Case(
        SHORT,
        lambda r: General(r(8, 8)),
        lambda q, k, w: q @ w @ k.mT,
        mask=lambda: padding([7, 5]),
        prepared=True,
    ),
    "cosine": Case(
        SHORT, lambda r: Cosine(3.0), lambda q, k: 3 * torch.cosine_similarity(q[..., None, :], k[..., None, :, :], -1)
    ),
    "additive": Case(SHORT, lambda r: Additive(r(6), r(6, 8), r(6, 8)), additively, fused=False),
    "additive, long": Case(
        (1, 1, 1, 20, 2100, 8, 8), lambda r: Additive(r(128), r(128, 8), r(128, 8)), additively, fused=False
    ),
    "additive, prepared": Case(
        SHORT,
        lambda r: Additive(r(6), r(6, 8), r(6, 8)),
        additively,
        mask=lambda: padding([0, 5]),
        prepared=True,
        fused=False,
    ),
    "a callable": Case(SHORT, lambda r: lambda q, k: q @ k.mT**3, lambda q, k: q @ k.mT**3, fused=False),
    "a callable that knows its size": Case(
        score=lambda r: lambda q, k: q @ k.mT + torch.ones(7, 7).triu().to(q.dtype),
        compare=lambda q, k: q @ k.mT + torch.ones(7, 7).triu().to(q.dtype),
        fused=False,
    ),
    "a score of one's own": Case(SHORT, lambda r: Squared(), lambda q, k: (q @ k.mT).square(), fused=False),
    "causal": Case(ODD, mask=causal),
    "causal, fewer queries": Case(SHORT, mask=causal),
    "causal, more queries": Case(LONG, mask=causal),
    "padding, an empty row": Case(mask=lambda: padding([0, 5])),
    "padding of both": Case(mask=lambda: padding([3, 5], queries=[7, 4])),
    "window": Case((2, 2, 2, 97, 111, 8, 8), mask=lambda: window(9, 3)),
    "window without a key": Case(LONG, mask=lambda: window(1, 0)),
    "causal and padding": Case((2, 2, 2, 97, 97, 8, 8), mask=lambda: causal() & padding([40, 97])),
    "documents": Case(mask=lambda: documents(torch.tensor([0, 0, 0, 1, 1, 2, 2]))),
    "packed documents, beyond a tile": Case(
        (1, 2, 2, 100, 1300, 8, 8),
        mask=lambda: documents(torch.arange(1300) // 40, torch.arange(100) // 9 * 3),
    ),
    "blocks": Case(mask=lambda: blocks(holes(2, 4, 4, 4), 2)),
    "the sentence": Case(mask=lambda: causal() & padding([5, 7]) & (window(2, 0) | tokens([0, 3]))),
    "a mask for each head": Case(SHORT, mask=lambda: dense(holes(2, 4, 5, 7))),
    "a mask for all": Case(ODD, mask=lambda: dense(holes(1, 1, 97, 111)) & causal()),
    "nothing may": Case(SHORT, mask=lambda: dense(torch.zeros(5, 7, dtype=torch.bool))),
    "bias": Case(SHORT, bias=lambda r: r(2, 4, 5, 7)),
    "bias that hides": Case(bias=lambda r: r(1, 1, 7, 7).masked_fill(~holes(1, 1, 7, 7), -math.inf), mask=causal),
    "bias that nearly hides": Case(
        bias=lambda r: (~holes(1, 1, 7, 7)).to(r(1)) * torch.finfo(torch.float32).min, mask=causal
    ),
    "alibi": Case((2, 6, 3, 33, 40, 8, 8), mask=causal, bias=lambda r: alibi(6)),
    "learned table": Case(SHORT, bias=lambda r: relative(r(8, 4)), mask=causal),
    "sink": Case(SHORT, mask=lambda: padding([0, 5]), normalise=lambda r: Softmax(3 * r(4)), weigh=with_sink),
    "entmax": Case(SHORT, mask=causal, normalise=lambda r: Entmax(1.5), weigh=lambda e: simplex(e, 1.5), fused=False),
    "entmax, long": Case(
        (1, 1, 1, 300, 1800, 8, 8),
        mask=causal,
        normalise=lambda r: Entmax(),
        weigh=lambda e: simplex(e, 1.5),
        fused=False,
    ),
    "sparsemax": Case(ODD, normalise=lambda r: "sparsemax", weigh=lambda e: simplex(e, 2.0), fused=False),
    "sigmoid": Case(SHORT, mask=causal, normalise=lambda r: "sigmoid", weigh=torch.sigmoid, fused=False),
    "hard": Case(SHORT, normalise=lambda r: "hard", weigh=lambda e: (e == e.amax(-1, keepdim=True)).to(e), fused=False),
    "top": Case(ODD, normalise=lambda r: TopK(5), weigh=lambda e: best_of(e, 5), fused=False),
    "a factor": Case(
        SHORT, mask=lambda: padding([7, 4]), after=lambda r: gaussian(7 * r(2, 4, 5).abs(), 2.0).exp(), fused=False
    ),
}


@dataclass
class Drawn:
    q: Tensor
    k: Tensor
    v: Tensor
    score: Any
    mask: Any
    bias: Any
    normalise: Any
    after: Any
    gradient: Tensor

    def call(self, prepared: bool) -> Any:
        k, v, mask = self.k, self.v, self.mask
        if prepared:
            k = self.score.prepare(k, v, mask)
            v, mask = k.values, None
        return call(self.q, k, v, self.score, mask, self.bias, self.normalise, self.after, 0.0, False)


def draw(case: Case, dtype: torch.dtype, large: float = 1.0) -> Drawn:
    """The case's tensors: the same numbers, those of float32, in every dtype."""
    generator = torch.Generator().manual_seed(3)

    def random(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator).to(dtype)

    B, H, Hk, Tq, Tk, D, Dv = case.sizes
    q, k, v, gradient = large * random(B, H, Tq, D), random(B, Hk, Tk, D), random(B, Hk, Tk, Dv), random(B, H, Tq, Dv)
    score, mask, bias, normalise = case.score(random), case.mask(), case.bias(random), case.normalise(random)
    return Drawn(q, k, v, score, mask, bias, normalise, case.after(random), gradient)


@dataclass
class Truth:
    """The matrices, in float64."""

    e: Tensor
    allowed: Tensor
    weights: Tensor
    products: Tensor


def truth(case: Case, x: Drawn) -> Truth:
    B, H, Hk, Tq, Tk, _, _ = case.sizes
    k, v = (t.repeat_interleave(H // Hk, 1) for t in (x.k, x.v))
    e = case.compare(x.q, k, *getattr(x.score, "tensors", ()))
    if x.bias is not None:
        e = e + (x.bias if isinstance(x.bias, Tensor) else x.bias.dense(B, H, Tq, Tk)).to(e.dtype)
    allowed = torch.ones(B, H, Tq, Tk, dtype=torch.bool) if x.mask is None else x.mask.dense(B, H, Tq, Tk)
    e = torch.where(allowed, e, -math.inf).expand(B, H, Tq, Tk)
    sinks = getattr(x.normalise, "tensors", ())
    some = (e > -math.inf).any(-1, keepdim=True)
    weights = case.weigh(torch.where(some, e, 0), *sinks) * some if Tk else e
    if x.after is not None:
        weights = weights * x.after.dense(B, H, Tq, Tk)
    return Truth(e, e > -math.inf, weights, weights * (x.gradient @ v.mT))


def same(got: Tensor | None, expected: Tensor, tolerance: float = 1e-5) -> None:
    """Equal within the tolerance, absolute below 1 and relative above; NaN where NaN is expected."""
    assert got is not None
    assert not got.requires_grad
    torch.testing.assert_close(got.double(), expected, rtol=tolerance, atol=tolerance, equal_nan=True)


def check_best(got: Any, x: Tensor, allowed: Tensor, k: int, tolerance: float = 1e-5) -> None:
    """Largest first; each at its position; what there is not, 0 at -1."""
    assert got.weights.shape == got.positions.shape == (*x.shape[:3], k)
    assert got.positions.dtype == torch.int32
    few = min(k, x.shape[-1])
    expected = torch.where(allowed, x, -math.inf).sort(-1, descending=True).values[..., :few]
    none = expected == -math.inf
    same(got.weights[..., :few], expected.masked_fill(none, 0), tolerance)
    assert ((got.positions[..., :few] == -1) == none).all()
    assert (got.positions[..., few:] == -1).all()
    assert (got.weights[..., few:] == 0).all()
    if x.numel():
        at_positions = x.gather(-1, got.positions[..., :few].long().clamp(min=0)).masked_fill(none, 0)
        same(got.weights[..., :few], at_positions, tolerance)
        positions = got.positions[..., :few].sort(-1).values
        assert ((positions.diff(dim=-1) != 0) | (positions[..., 1:] == -1)).all()


def check_map(got: Map | None, x: Tensor, allowed: Tensor, cells: int, tolerance: float = 1e-5) -> None:
    B, H, Tq, Tk = x.shape
    assert got is not None
    down, across = -(-Tq // got.cell_rows), -(-Tk // got.cell_columns)
    assert got.mean.shape == got.largest.shape == (B, H, down, across)
    assert max(down, across) <= cells
    seen, least = x * allowed, torch.where(allowed, x, -math.inf)
    mean, largest = (x.new_zeros(B, H, down, across) for _ in range(2))
    for i in range(down):
        for j in range(across):
            cell = (
                ...,
                slice(i * got.cell_rows, (i + 1) * got.cell_rows),
                slice(j * got.cell_columns, (j + 1) * got.cell_columns),
            )
            count = allowed[cell].sum((-2, -1))
            mean[..., i, j] = seen[cell].sum((-2, -1)) / count
            largest[..., i, j] = least[cell].amax((-2, -1)).masked_fill(count == 0, math.nan)
    same(got.mean, mean, tolerance)
    same(got.largest, largest, tolerance)


def check(got: Observed, request: Observe, t: Truth, tolerance: float = 1e-5) -> None:
    B, H, Tq, Tk = t.weights.shape
    assert got.size == (B, H, Tq, Tk)
    same(got.lse, t.e.logsumexp(-1) if Tk else torch.full((B, H, Tq), -math.inf).double(), tolerance)
    w = t.weights
    same(got.entropy, -torch.where(w > 0, w * w.clamp(min=1e-300).log(), 0).sum(-1), tolerance)
    same(got.mass, w.sum(2), tolerance)
    far = (torch.arange(Tk) - (torch.arange(Tq)[:, None] + Tk - Tq)).abs()
    same(got.distance, (w * far).sum(-1), tolerance)
    check_best(got.topk, w, t.allowed, request.topk, tolerance)
    check_map(got.map, w, t.allowed, request.map, tolerance)
    if request.rows:
        same(got.rows, w[:, :, list(request.rows)], tolerance)
    if request.columns:
        same(got.columns, w[..., list(request.columns)], tolerance)


def fitting(case: Case, **more: Any) -> Observe:
    """Everything, of rows and columns that there are."""
    rows = [row for row in EVERYTHING.rows if row < case.sizes[3]]
    columns = [column for column in EVERYTHING.columns if column < case.sizes[4]]
    return Observe(topk=4, entropy=True, mass=True, distance=True, map=5, rows=rows, columns=columns, **more)
