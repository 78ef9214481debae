"""Statistics of the weights against their definitions, written out here in float64 over the whole matrix."""

import math
import os
import platform
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import pytest
import torch
from largest import Largest
from torch import Tensor

from regard.attend import attend_with_weights, call
from regard.equation.biases import alibi, gaussian, relative
from regard.equation.masks import blocks, causal, dense, documents, padding, tokens, window
from regard.equation.normalisers import Entmax, Softmax, TopK
from regard.equation.patterns import bigbird, strided
from regard.equation.scores import Additive, Cosine, Dot, General, Score
from regard.observe import fused, plain
from regard.observe.fused import limits, sweep, visible
from regard.observe.record import Map, Observe, Observed
from regard.observe.statistics import observe, statistics

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


class Written(Squared):
    """Likewise; it says that it writes eight numbers for a pair."""

    def cost(self, features: int) -> tuple[int, int]:
        return 16, 8


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


@pytest.mark.parametrize(("dtype", "large"), [(torch.float64, 1.0), (torch.float32, 1.0), (torch.float32, 10.0)])
@pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())
def test_the_plain_way_gives_what_the_definitions_say(case: Case, dtype: torch.dtype, large: float) -> None:
    x, exact = draw(case, dtype, large), draw(case, torch.float64, large)
    request = fitting(case, weights=True, gradient=True)
    t = truth(case, exact)
    tolerance = (
        1e-9 if dtype == torch.float64 and case.after(lambda *s: torch.rand(s)) is None else 1e-5 * max(large, 1)
    )
    got = plain.statistics(x.call(case.prepared), request, x.gradient)
    check(got, request, t, tolerance)
    same(got.weights, t.weights, tolerance)
    assert t.allowed.all() if got.allowed is None else (got.allowed == t.allowed).all()
    assert got.gradient is not None
    same(got.gradient.queries, t.products.sum(-1), 10 * tolerance)
    same(got.gradient.keys, t.products.sum(2), 10 * tolerance)
    check_best(got.gradient.topk, t.products, t.allowed, request.topk, 10 * tolerance)
    check_map(got.gradient.map, t.products, t.allowed, request.map, 10 * tolerance)


@pytest.fixture
def _always_fused(monkeypatch: pytest.MonkeyPatch) -> None:
    if missing := limits.missing():
        pytest.skip(missing)
    monkeypatch.setattr(limits, "FEW", 0)


@pytest.mark.usefixtures("_always_fused")
@pytest.mark.parametrize("large", [1.0, 10.0])
@pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())
def test_the_loops_give_what_the_definitions_say_or_leave_it_to_the_plain_way(case: Case, large: float) -> None:
    x, exact = draw(case, torch.float32, large), draw(case, torch.float64, large)
    request, asked = fitting(case), x.call(case.prepared)
    seen = statistics(asked, request)
    assert (not seen.not_fused) == case.fused
    if case.fused:  # else the test above has it
        check(seen, request, truth(case, exact), 1e-5 * large)


@pytest.mark.usefixtures("_always_fused")
@pytest.mark.parametrize("threads", [1, 2])
def test_hidden_keys_may_hold_anything(threads: int) -> None:
    q, k, v = torch.randn(2, 2, 40, 8), torch.randn(2, 2, 40, 8), torch.randn(2, 2, 40, 8)
    request = Observe(topk=3, entropy=True, mass=True, distance=True, map=4, rows=[39], columns=[0, 39])
    mask = causal() & padding([40, 33], queries=[40, 33])
    clean = observe(q, k, v, request, mask=mask)
    for x in (q, k, v):
        x[1, :, 33:] = torch.tensor([math.nan, math.inf, -math.inf, 3e38]).repeat(2)
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        dirty = [statistics(call(q, k, v, None, mask, None, "softmax", None, 0.0, False), request)]
    finally:
        torch.set_num_threads(before)
    dirty.append(plain.statistics(call(q, k, v, None, mask, None, "softmax", None, 0.0, False), request))
    for got in dirty:
        for name in ("lse", "entropy", "mass", "distance", "rows", "columns"):
            same(getattr(got, name), getattr(clean, name).double(), 1e-6)
        same(got.map.mean, clean.map.mean.double(), 1e-6)
        assert (got.topk.positions == clean.topk.positions).all()


WAYS = pytest.mark.parametrize("way", [fused, plain], ids=["fused", "plain"])
STATISTICS = ("lse", "entropy", "mass", "distance", "columns", "rows")


def problems(T: int = 150) -> dict[str, Any]:
    """Calls that the loops take, each in its own way."""
    generator = torch.Generator().manual_seed(0)
    q, k = torch.randn(1, 4, T, 16, generator=generator), torch.randn(1, 2, T, 16, generator=generator)

    def asked(score: Any = None, mask: Any = None, bias: Any = None, normalise: Any = "softmax") -> Any:
        return call(q, k, k, score, mask, bias, normalise, None, 0.0, False)

    return {
        "causal": asked(mask=causal()),
        "a cap and a sink": asked(Dot(cap=3.0), normalise=Softmax(torch.randn(4, generator=generator))),
        "documents": asked(mask=documents(torch.arange(T) // 40)),
        "a bias": asked(mask=window(60, 0), bias=alibi(4)),
    }


def request_of(T: int = 150) -> Observe:
    return Observe(topk=8, entropy=True, mass=True, distance=True, map=20, columns=[3, T - 1], rows=[T - 1])


@WAYS
@pytest.mark.usefixtures("_always_fused")
@pytest.mark.parametrize("name", problems())
def test_thread_counts_agree_and_each_with_itself_to_the_bit(name: str, way: Any) -> None:
    asked, request, seen = problems(700)[name], request_of(700), []
    before = torch.get_num_threads()
    try:
        for threads in (1, 2, 2):
            torch.set_num_threads(threads)
            seen.append(way.statistics(asked, request))
    finally:
        torch.set_num_threads(before)
    one, two, again = seen
    for statistic in STATISTICS:
        same(getattr(two, statistic), getattr(one, statistic).double(), 2e-6)
        assert torch.equal(getattr(two, statistic), getattr(again, statistic))
    for pooled in ("mean", "largest"):
        same(getattr(two.map, pooled), getattr(one.map, pooled).double(), 2e-6)
        torch.testing.assert_close(getattr(two.map, pooled), getattr(again.map, pooled), rtol=0, atol=0, equal_nan=True)
    assert torch.equal(two.topk.positions, again.topk.positions)


@WAYS
@pytest.mark.usefixtures("_always_fused")
def test_several_threads_at_once_see_what_each_sees_alone(way: Any) -> None:
    asked, request = list(problems().values()), request_of()
    expected = [way.statistics(one, request) for one in asked]

    def looks(which: int) -> bool:
        found = [way.statistics(asked[which % 4], request) for _ in range(5)]
        for seen in found:
            for statistic in STATISTICS:
                assert torch.equal(getattr(seen, statistic), getattr(expected[which % 4], statistic)), statistic
            assert torch.equal(seen.topk.positions, expected[which % 4].topk.positions)
        return True

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(looks, range(8)))


@pytest.mark.usefixtures("_always_fused")
@pytest.mark.parametrize("cap", [2.0, 50.0])
@pytest.mark.parametrize("spread", [1e-3, 0.3, 1.0, 8.0])
def test_a_cap_errs_at_most_twice_as_much_as_the_plain_way(spread: float, cap: float) -> None:
    """Of one key, the log-sum-exp is the score itself; of many, everything that follows."""
    torch.manual_seed(0)
    for keys, features in ((1, 1), (111, 16)):
        q, k = torch.randn(2, 3, 997, features) * spread * cap, torch.randn(2, 3, keys, features)
        request, found = Observe(entropy=True, columns=[0]), []
        for way, dtype in ((plain, torch.float64), (plain, torch.float32), (fused, torch.float32)):
            x = q.to(dtype), k.to(dtype), k.to(dtype)
            found.append(way.statistics(call(*x, Dot(cap=cap), None, None, "softmax", None, 0.0, False), request))
        for name in ("lse", "entropy", "columns"):
            exact, plainly_found, fused_found = (getattr(seen, name).double() for seen in found)
            floor = torch.finfo(torch.float32).eps * rms(exact) / 4
            assert rms(fused_found - exact) <= 2 * rms(plainly_found - exact) + floor, (name, keys)


def rms(x: Tensor) -> float:
    return x.square().mean().sqrt().item()


@pytest.mark.usefixtures("_always_fused")
def test_a_cap_is_reached_and_what_is_no_number_stays_none() -> None:
    q = torch.tensor([math.inf, -math.inf, 1e30, -0.0, 1e-30, math.nan]).view(1, 1, 6, 1)
    asked = call(
        q, torch.ones(1, 1, 1, 1), torch.ones(1, 1, 1, 1), Dot(1.0, cap=5.0), None, None, "softmax", None, 0.0, False
    )
    lse = statistics(asked, Observe()).lse.flatten()
    assert lse[:4].tolist() == [5.0, -5.0, 5.0, 0.0]
    assert lse[4].item() == pytest.approx(1e-30)
    assert lse[5].isnan()


@pytest.mark.usefixtures("_always_fused")
@pytest.mark.parametrize("tile", [0, 1])
def test_what_is_seen_is_seen_also_where_it_is_no_number(tile: int) -> None:
    """Keys of two of the loops' tiles; the mask hides a tile's others, or none."""
    k = torch.randn(1, 1, 1000, 4)
    k[0, 0, 600 * tile] = math.nan
    request = Observe(entropy=True, mass=True, map=4)
    for mask in (None, dense(torch.arange(1000)[None].expand(3, -1) % 600 == 0)):
        seen = statistics(call(k[:, :, -3:], k, k, None, mask, None, "softmax", None, 0.0, False), request)
        assert seen.lse.isnan().all()
        assert seen.entropy.isnan().all()
        assert seen.mass[..., 600 * tile].isnan().all()


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16], ids=str)
@WAYS
@pytest.mark.usefixtures("_always_fused")
def test_half_formats_are_read_as_the_numbers_they_hold(dtype: torch.dtype, way: Any) -> None:
    torch.manual_seed(0)
    q, k, v = (torch.randn(1, 2, 50, 16).to(dtype) for _ in range(3))
    request = Observe(topk=4, entropy=True, mass=True, map=5)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        got = way.statistics(call(q, k, v, None, causal(), None, "softmax", None, 0.0, False), request)
    expected = observe(q.float(), k.float(), v.float(), request, mask=causal())
    for name in ("lse", "entropy", "mass"):
        assert getattr(got, name).dtype == torch.float32
        same(getattr(got, name), getattr(expected, name).double(), 1e-6)


def test_huge_scores_and_gradients_asked_of_the_inputs_change_nothing() -> None:
    q = torch.tensor([1e4, -1e4, 0.0]).view(1, 1, 3, 1).requires_grad_()
    k = torch.tensor([1.0, -1.0, 0.5]).view(1, 1, 3, 1).requires_grad_()
    got = observe(q, k, k, Observe(entropy=True, mass=True, topk=1), score=Dot(1.0))
    same(got.lse, torch.tensor([[[1e4, 1e4, math.log(3)]]]).double())
    same(got.entropy, torch.tensor([[[0.0, 0.0, math.log(3)]]]).double())
    assert got.topk is not None
    assert got.topk.positions.flatten().tolist()[:2] == [0, 1]


@pytest.mark.parametrize("name", ["sample", "gumbel"])
def test_a_drawn_weight_is_the_one_attend_draws_next(name: str) -> None:
    q, k, v = (torch.randn(2, 2, 9, 4) for _ in range(3))
    torch.manual_seed(1)
    seen = observe(q, k, v, Observe(weights=True, mass=True), normalise=name)
    used = attend_with_weights(q, k, v, normalise=name).weights
    assert seen.weights is not None
    assert torch.equal(seen.weights, used)
    same(seen.mass, used.sum(2).double())


def test_gradient_times_attention_is_what_autograd_says() -> None:
    torch.manual_seed(0)
    q, k, v = torch.randn(1, 4, 6, 8).double(), torch.randn(1, 2, 9, 8).double(), torch.randn(1, 2, 9, 3).double()
    got = attend_with_weights(q.requires_grad_(), k, v, mask=causal())
    loss = (got.context**3).sum()
    of_context, of_weights = torch.autograd.grad(loss, (got.context, got.weights))
    seen = observe(q, k, v, Observe(gradient=True, topk=2), mask=causal(), context_gradient=of_context).gradient
    product = (got.weights * of_weights).detach()
    assert seen is not None
    same(seen.queries, product.sum(-1), 1e-12)
    same(seen.keys, product.sum(2), 1e-12)
    check_best(seen.topk, product, got.scores > -math.inf, 2, 1e-12)


def test_dropout_is_taken_and_of_no_effect_and_the_generator_stays() -> None:
    q = torch.randn(1, 1, 5, 4)
    state = torch.get_rng_state()
    seen = observe(q, q, q, Observe(weights=True), dropout=0.5)
    assert torch.equal(state, torch.get_rng_state())
    assert seen.weights is not None
    same(seen.weights.sum(-1), torch.ones(1, 1, 5).double())


def test_what_is_not_asked_for_is_not_there() -> None:
    q = torch.randn(1, 1, 5, 4)
    seen = observe(q, q, q)
    assert seen.lse.shape == (1, 1, 5)
    rest = ("topk", "entropy", "mass", "distance", "map", "rows", "columns", "weights", "allowed", "gradient")
    assert all(getattr(seen, name) is None for name in rest)


@pytest.mark.plain
@pytest.mark.parametrize(
    ("request_", "more", "message"),
    [
        (Observe(topk=-1), {}, "Observe: topk must be a whole number, 0 or more, got -1"),
        (Observe(map=2.5), {}, "Observe: map must be a whole number, 0 or more, got 2.5"),  # type: ignore[arg-type]
        (Observe(rows=[5]), {}, "Observe: rows must name some of the 5 queries, 0 to 4, got 5"),
        (Observe(columns=[-1]), {}, "Observe: columns must name some of the 5 keys, 0 to 4, got -1"),
        (Observe(gradient=True), {}, "go together, got only the request"),
        (Observe(), {"context_gradient": torch.zeros(1, 1, 5, 4)}, "go together, got only the gradient"),
        (
            Observe(gradient=True),
            {"context_gradient": torch.zeros(1, 5, 4)},
            r"context's shape \(1, 1, 5, 4\), got \(1, 5, 4\)",
        ),
    ],
)
def test_a_request_that_cannot_be_answered_says_so(request_: Observe, more: dict, message: str) -> None:
    q = torch.randn(1, 1, 5, 4)
    with pytest.raises(ValueError, match=message):
        observe(q, q, q, request_, **more)


def test_a_factor_below_zero_leaves_no_entropy_and_everything_else() -> None:
    q, k, v = draw(Case(), torch.float64).q, draw(Case(), torch.float64).k, draw(Case(), torch.float64).v
    factor = torch.ones(2, 4, 7, 7).double()
    factor[:, :, 3, 2] = -2.0
    got = observe(q, k, v, Observe(topk=1, entropy=True, mass=True, weights=True), after=factor)
    expected = torch.softmax(plainly(q, k), -1) * factor
    same(got.weights, expected, 1e-9)
    same(got.mass, expected.sum(2), 1e-9)
    same(got.topk.weights, expected.amax(-1, keepdim=True), 1e-9)
    assert got.entropy.isnan().nonzero()[:, 2].unique().tolist() == [3]


MEASURE = """
import resource, sys, torch
from regard import Observe, attend, causal, observe
def peak(): return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
T = int(sys.argv[1])
torch.set_num_threads(1)
q, k, v = (torch.randn(1, 2, T, 16) for _ in range(3))
small = torch.randn(1, 1, 600, 16)
request = Observe(topk=8, entropy=True, mass=True, map=64, gradient=sys.argv[2] == "plain")
def look(q, k, v):
    return observe(q, k, v, request, mask=causal(), context_gradient=v if request.gradient else None)
look(small, small, small)
before = peak()
look(q, k, v)
print(peak() - before)
"""


@pytest.mark.slow
@pytest.mark.parametrize("way", ["fused", "plain"])
def test_nothing_the_size_of_the_matrix_is_built(way: str) -> None:
    T = 6000
    run = subprocess.run([sys.executable, "-c", MEASURE, str(T), way], capture_output=True, text=True, check=True)
    assert float(run.stdout) < 2 * T * T * 4 / 2**20 / 4  # MiB: a fourth of one float32 matrix of both heads


LONG_CALLS = {
    "a soft cap": {"score": Dot(cap=5.0)},
    "a soft cap and a sink": {"score": Dot(cap=5.0), "normalise": Softmax(torch.ones(1))},
    "a sink": {"normalise": Softmax(torch.ones(1))},
    "a mask and a bias": {"mask": documents(torch.arange(4100) // 600) & causal(), "bias": alibi(1)},
    "general": {"score": General(torch.eye(4))},
    "cosine": {"score": Cosine(3.0)},
    "additive": {"score": Additive(torch.ones(2), torch.ones(2, 4), torch.eye(2, 4))},
    "a callable": {"score": lambda q, k: q @ k.mT},
    "a score of one's own": {"score": Written()},
    "sparsemax": {"normalise": "sparsemax"},
    "entmax": {"normalise": Entmax(1.5), "mask": window(500, 0)},
    "a factor": {"after": gaussian(torch.arange(4100.0)[None], 100.0).exp()},
}
IN_LOOPS = ("a soft cap", "a soft cap and a sink", "a sink", "a mask and a bias", "general", "cosine")


@pytest.mark.parametrize("name", LONG_CALLS)
def test_no_tensor_is_a_third_of_the_matrix(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of any score and normaliser, of one head: whether the loops take it or not."""
    T = 4100
    q = torch.randn(1, 1, T, 4)
    request = Observe(topk=2, entropy=True, mass=True, distance=True, map=8)
    fitting = name in IN_LOOPS and limits.missing() is None
    with Largest() as found:
        seen = observe(q, q, q, request, **LONG_CALLS[name])
    assert (not seen.not_fused) == fitting
    assert found.numbers < T * T / 3
    if fitting:
        monkeypatch.setattr(limits, "FEW", T * T + 1)
        with Largest() as found:
            blocks = observe(q, q, q, request, **LONG_CALLS[name])
        assert found.numbers < T * T / 3
        same(seen.entropy, blocks.entropy.double(), 2e-5)
        same(seen.mass, blocks.mass.double(), 2e-5)


SCORES = ["a callable", "a score of one's own", "additive, square"]


@pytest.mark.parametrize("name", SCORES)
def test_scores_in_parts(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plain, "WHOLE", 0)
    monkeypatch.setattr(plain, "NUMBERS", 64)
    square = Case(score=lambda r: Additive(r(6), r(6, 8), r(6, 8)), compare=additively)
    case = square if name == "additive, square" else CASES[name]
    x, request = draw(case, torch.float64), fitting(case)
    check(plain.statistics(x.call(False), request), request, truth(case, x), 1e-9)


def test_an_additive_score_never_writes_its_hidden_features_for_all_pairs_at_once() -> None:
    q = torch.randn(1, 1, 600, 4)
    with Largest() as found:
        observe(q, q, q, score=Additive(torch.ones(64), torch.ones(64, 4), torch.ones(64, 4)))
    assert found.numbers < 600 * 600 * 64 / 4


MASKS = [
    documents(torch.arange(300) // 70),
    causal() & documents(torch.tensor([[0] * 300, [*range(300)]])),
    strided(64),
    bigbird(16) & padding([300, 0]),
    window(40, 0) | tokens([3, 200]),
    dense(torch.rand(2, 4, 300, 300, generator=torch.Generator().manual_seed(1)) < 0.01),
    ~dense(torch.ones(300, 300).tril(-100).bool()),
]


@pytest.mark.parametrize("mask", MASKS, ids=repr)
@pytest.mark.parametrize("bias", [None, alibi(4)], ids=["", "with a bias"])
def test_tiles_that_a_mask_knows_are_skipped_and_nothing_else(
    mask: Any, bias: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In several spans of queries and many tiles of keys, some known to be empty or full and others asked."""
    monkeypatch.setattr(limits, "FEW", 0)
    monkeypatch.setattr(sweep, "STRIP", 64 * 300)
    monkeypatch.setattr(visible, "WRITTEN", 64 * 300)
    monkeypatch.setattr(visible, "TILE", 16)
    q, k, v = (torch.randn(2, 4, 300, 8) for _ in range(3))
    asked = call(q, k, v, None, mask, bias, "softmax", None, 0.0, False)
    request = Observe(topk=3, entropy=True, mass=True, distance=True, map=20, columns=(5, 210))
    if missing := limits.missing():
        pytest.skip(missing)
    found, expected = fused.statistics(asked, request), plain.statistics(asked, request)
    for name in ("lse", "entropy", "mass", "distance", "columns"):
        torch.testing.assert_close(getattr(found, name), getattr(expected, name), atol=2e-5, rtol=2e-5)
    torch.testing.assert_close(found.topk.weights, expected.topk.weights, atol=2e-5, rtol=2e-5)
    for name in ("mean", "largest"):
        pair = (getattr(seen.map, name) for seen in (found, expected))
        torch.testing.assert_close(*pair, atol=2e-5, rtol=2e-5, equal_nan=True)


def without_numba(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "numba", None)
    for name in [name for name in sys.modules if name.startswith("regard.observe.fused_loops")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.delattr(sys.modules["regard.observe"], "fused_loops", raising=False)


def without_a_compiler(monkeypatch: pytest.MonkeyPatch) -> None:
    def loops() -> None:
        raise RuntimeError("no target for this processor")

    monkeypatch.setattr(sweep, "_loops", loops)


@pytest.mark.usefixtures("_always_fused")
@pytest.mark.parametrize("name", problems())
@pytest.mark.parametrize(
    ("spoil", "why"),
    [
        (without_numba, "numba is not installed: pip install 'regard[fast]'"),
        (without_a_compiler, "numba does not work here: RuntimeError: no target for this processor"),
    ],
)
def test_without_numba_blocks_of_queries_give_the_same_and_it_is_said(
    name: str, spoil: Callable[[pytest.MonkeyPatch], None], why: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked, request = problems()[name], request_of()
    there = statistics(asked, request)
    assert there.not_fused == ()
    limits.missing.cache_clear()
    try:
        spoil(monkeypatch)
        absent = statistics(asked, request)
    finally:
        limits.missing.cache_clear()
    assert absent.not_fused == (why,)
    for statistic in STATISTICS:
        same(getattr(absent, statistic), getattr(there, statistic).double(), 2e-5)
    assert (absent.topk.positions == there.topk.positions).all()
    for pooled in ("mean", "largest"):
        same(getattr(absent.map, pooled), getattr(there.map, pooled).double(), 2e-5)


OTHER_PROCESSOR = """
import torch
from regard.attend import call
from regard.equation.masks import causal
from regard.equation.scores import Dot
from regard.observe import fused, plain
from regard.observe.fused import limits
from regard.observe.record import Observe
assert limits.missing() is None
q, k = torch.randn(1, 4, 97, 16), torch.randn(1, 2, 111, 16)
request = Observe(topk=3, entropy=True, mass=True, distance=True, map=9, columns=[5])
for score in (Dot(), Dot(cap=2.0)):
    asked = call(q, k, k, score, causal(), None, "softmax", None, 0.0, False)
    found, expected = fused.statistics(asked, request), plain.statistics(asked, request)
    for name in ("lse", "entropy", "mass", "distance", "columns"):
        torch.testing.assert_close(getattr(found, name), getattr(expected, name), atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(found.map.mean, expected.map.mean, atol=1e-5, rtol=1e-5, equal_nan=True)
"""


@pytest.mark.slow
@pytest.mark.skipif(platform.machine() != "x86_64", reason="names a processor of that family")
@pytest.mark.usefixtures("_always_fused")
def test_a_processor_without_avx_512_computes_the_same() -> None:
    settings = {"NUMBA_CPU_NAME": "haswell", "NUMBA_CPU_FEATURES": "+avx,+avx2,+fma"}
    subprocess.run([sys.executable, "-c", OTHER_PROCESSOR], check=True, env={**os.environ, **settings})


@pytest.mark.parametrize(
    ("more", "why"),
    [
        ({"score": lambda q, k: q @ k.mT}, "they know dot products, not <lambda>(q, k)"),
        ({"normalise": "sparsemax"}, "they know the softmax, not sparsemax"),
        ({"after": torch.ones(1, 1, 600, 600)}, "a factor follows the normaliser"),
        ({"request": Observe(weights=True)}, "all weights are wanted"),
    ],
)
def test_what_the_loops_leave_is_said(more: dict[str, Any], why: str) -> None:
    q = torch.randn(1, 1, 600, 4)
    assert observe(q, q, q, **more).not_fused == (why,)
    assert observe(q.double(), q.double(), q.double()).not_fused == ("they compute in float32, not in float64",)
    assert observe(q[:, :, :5], q, q).not_fused == ("so few pairs",)
