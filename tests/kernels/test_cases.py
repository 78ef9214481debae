"""One set of cases over every kernel, against the equation written out here in float64; outputs and gradients.

A kernel computes a case or says why not. What it must refuse, and in which words, `refusal` says; all else it must
compute.
"""

import math
import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import pytest
import torch
from entmax import entmax15, sparsemax
from flex_on_cpu import flex_on_a_cpu
from torch import Tensor

from regard.attend import attend, plan
from regard.equation.biases import alibi, gaussian, relative
from regard.equation.mask import Mask
from regard.equation.masks import blocks, causal, dense, documents, padding, tokens, window
from regard.equation.normalisers import Hard, Softmax, TopK
from regard.equation.scores import Additive, Cosine, Dot, General
from regard.kernels import banded, blocksparse, tiles
from regard.kernels.plan import KERNELS, kernel
from regard.kernels.strips import strip

ELSEWHERE = ["additive", "lengths"]  # in their own test_*.py
if os.environ.get("REGARD_CHECK_SHAPES") == "1":
    ELSEWHERE.append("flex")  # PyTorch traces the rules' functions, which cannot check shapes then
NAMES = [known.name for known in KERNELS if known.name not in ELSEWHERE]
DROPPING = [name for name in NAMES if name != "flex"]


@pytest.fixture(autouse=True)
def _in_many_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    """What computes in parts has several of them, small as the cases are."""
    monkeypatch.setattr(tiles, "NUMBERS", 100)
    monkeypatch.setattr(tiles, "FEWEST", 2)
    monkeypatch.setattr(strip, "NUMBERS", 500)


@pytest.fixture
def two_threads() -> Iterator[None]:
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(1)


def by_softmax(e: Tensor, allowed: Tensor) -> Tensor:
    e = torch.where(allowed, e, 0)
    p = torch.exp(e - e.detach().amax(-1, keepdim=True) if e.shape[-1] else e) * allowed
    return p / p.sum(-1, keepdim=True).clamp(min=1e-30 if e.dtype != torch.float16 else 1e-7)


@dataclass
class Case:
    """Sizes B, H, Hk, Tq, Tk, D, Dv, and the parts; `make` functions take a maker of random tensors."""

    sizes: tuple[int, ...] = (2, 4, 4, 7, 7, 8, 8)
    score: Callable[[Any], Any] = lambda r: None
    mask: Callable[[], Any] = lambda: None
    bias: Callable[[Any], Any] = lambda r: None
    after: Callable[[Any], Any] = lambda r: None
    normalise: Callable[[Any], Any] = lambda r: "softmax"
    plain_score: Callable[..., Tensor] = lambda q, k: q @ k.mT / math.sqrt(q.shape[-1] or 1)
    plain_weights: Callable[..., Tensor] = by_softmax
    prepared: bool = False
    refused: dict[str, str] = field(default_factory=dict)
    """By SDPA, and so by those that compute what it computes, but for `taken`."""
    taken: tuple[str, ...] = ()


TILED = ("banded", "blocksparse")
NOT_SOFTMAX = {"sdpa": "normalises by softmax only"}
NOT_DOT = {"sdpa": "is not a dot product"}
SIZE_0 = {"sdpa": "a size is 0"}
EQUAL = (2, 4, 4, 7, 7, 8, 8)
SHORT = (2, 4, 2, 3, 7, 8, 8)
LONG = (2, 4, 2, 9, 7, 8, 8)
ODD = (1, 4, 2, 97, 111, 8, 8)


def additive(q: Tensor, k: Tensor, v: Tensor, w_query: Tensor, w_key: Tensor, b: Tensor | None = None) -> Tensor:
    hidden = (q @ w_query.mT)[..., :, None, :] + (k @ w_key.mT)[..., None, :, :] + (0 if b is None else b)
    return (v * hidden.tanh()).sum(-1)


def cosine(q: Tensor, k: Tensor, scale: Tensor | float = 3.0) -> Tensor:
    return scale * torch.cosine_similarity(q[..., :, None, :], k[..., None, :, :], dim=-1)


def holes(*shape: int) -> Tensor:
    mask = torch.rand(*shape, generator=torch.Generator().manual_seed(5)) > 0.5
    assert mask.any()
    assert not mask.all()
    return mask


def minus_inf(r: Any) -> Tensor:
    return r(1, 4, 7, 7).detach().masked_fill(~holes(1, 4, 7, 7), -math.inf)


def sparse(normaliser: Callable[..., Tensor], e: Tensor, allowed: Tensor) -> Tensor:
    return normaliser(e.masked_fill(~allowed, torch.finfo(e.dtype).min / 4), -1) * allowed


def best_two(e: Tensor, allowed: Tensor) -> Tensor:
    e = e.detach().masked_fill(~allowed, -math.inf)
    return e >= e.topk(2).values[..., -1:]


def straight_through(e: Tensor, allowed: Tensor) -> Tensor:
    soft = by_softmax(e, allowed)
    winner = soft.detach() == soft.detach().amax(-1, keepdim=True)
    return (winner & allowed) + soft - soft.detach()


def with_a_sink(e: Tensor, allowed: Tensor, sink: Tensor) -> Tensor:
    sinks = sink[:, None, None].expand(*e.shape[:-1], 1)
    return by_softmax(torch.cat([sinks, e], -1), torch.cat([torch.ones_like(sinks).bool(), allowed], -1))[..., 1:]


CASES = {
    "plain": Case(),
    "odd sizes": Case((1, 2, 2, 97, 111, 16, 16)),
    "grouped heads": Case((2, 6, 2, 5, 7, 8, 8)),
    "one key head": Case((2, 4, 1, 5, 7, 8, 8)),
    "one query": Case((3, 2, 2, 1, 7, 8, 8), mask=causal),
    "one of everything": Case((1, 1, 1, 1, 1, 1, 1)),
    "wide values": Case((2, 4, 2, 5, 7, 8, 13)),
    "narrow values": Case((2, 4, 2, 5, 7, 8, 3), mask=lambda: padding([7, 2])),
    "no queries": Case((2, 4, 2, 0, 7, 8, 8), refused=SIZE_0),
    "no keys": Case((2, 4, 2, 5, 0, 8, 8), refused=SIZE_0),
    "no rows": Case((0, 4, 2, 5, 7, 8, 8), mask=causal, refused=SIZE_0),
    "no heads": Case((2, 0, 0, 5, 7, 8, 8), refused=SIZE_0),
    "no features": Case((2, 4, 2, 5, 7, 0, 8), refused=SIZE_0),
    "no values": Case((2, 4, 2, 5, 7, 8, 0), refused=SIZE_0),
    "unscaled dot": Case(score=lambda r: Dot(1.0), plain_score=lambda q, k: q @ k.mT),
    "soft cap": Case(
        (2, 4, 2, 6, 7, 8, 5),
        score=lambda r: Dot(cap=0.7),
        plain_score=lambda q, k: 0.7 * torch.tanh(q @ k.mT / (0.7 * math.sqrt(8))),
        mask=lambda: padding([7, 0]),
        bias=lambda r: alibi(4),
        refused=NOT_DOT,
        taken=(*TILED, "flex"),
    ),
    "soft cap and sink": Case(
        ODD,
        score=lambda r: Dot(cap=2.0),
        plain_score=lambda q, k: 2 * torch.tanh(q @ k.mT / (2 * math.sqrt(8))),
        mask=causal,
        normalise=lambda r: Softmax(r(4)),
        plain_weights=with_a_sink,
        refused=NOT_SOFTMAX,
        taken=TILED,
    ),
    "general": Case((2, 4, 2, 5, 7, 8, 8), score=lambda r: General(r(8, 8)), plain_score=lambda q, k, w: q @ w @ k.mT),
    "cosine": Case(score=lambda r: Cosine(3.0), plain_score=cosine),
    "cosine, learned scale": Case(score=lambda r: Cosine(r(4, 1, 1)), plain_score=cosine),
    "additive": Case(
        (2, 4, 2, 5, 7, 8, 3), lambda r: Additive(r(6), r(6, 8), r(6, 8)), plain_score=additive, refused=NOT_DOT
    ),
    "additive with bias, padded": Case(
        score=lambda r: Additive(r(6), r(6, 8), r(6, 8), r(6)),
        mask=lambda: padding([7, 2]),
        plain_score=additive,
        refused=NOT_DOT,
    ),
    "additive, prepared": Case(
        SHORT,
        score=lambda r: Additive(r(6), r(6, 8), r(6, 8)),
        mask=lambda: padding([0, 5]),
        plain_score=additive,
        prepared=True,
        refused=NOT_DOT,
    ),
    "general, prepared": Case(
        SHORT,
        score=lambda r: General(r(8, 8)),
        mask=lambda: padding([7, 5]),
        plain_score=lambda q, k, w: q @ w @ k.mT,
        prepared=True,
    ),
    "a callable": Case(score=lambda r: lambda q, k: q @ k.mT**3, plain_score=lambda q, k: q @ k.mT**3, refused=NOT_DOT),
    "causal": Case(mask=causal),
    "causal, long": Case((1, 2, 2, 111, 111, 8, 8), mask=causal),
    "causal, fewer queries": Case(SHORT, mask=causal),
    "causal, more queries": Case(LONG, mask=causal),
    "padding, an empty row": Case(mask=lambda: padding([0, 5])),
    "padding of both": Case(mask=lambda: padding([3, 5], queries=[7, 4])),
    "window": Case(SHORT, mask=lambda: window(2, 1)),
    "window before": Case(mask=lambda: window(2, 0)),
    "window with one end": Case(mask=lambda: window(2, 9)),
    "wide window": Case(mask=lambda: window(9, 0)),
    "documents": Case(mask=lambda: documents(torch.tensor([0, 0, 0, 1, 1, 2, 2]))),
    "blocks": Case(mask=lambda: blocks(holes(4, 4), 2)),
    "the sentence": Case(mask=lambda: causal() & padding([5, 7]) & (window(2, 0) | tokens([0, 3]))),
    "explicit mask": Case(mask=lambda: dense(holes(2, 4, 7, 7))),
    "explicit mask and causal": Case(mask=lambda: dense(holes(2, 1, 7, 7)) & causal()),
    "negated": Case(SHORT, mask=lambda: ~causal()),
    "bool tensor": Case(SHORT, mask=lambda: holes(2, 1, 1, 7)),
    "bias tensor": Case(bias=lambda r: r(2, 4, 7, 7).detach()),
    "bias tensor (queries, keys)": Case(SHORT, bias=lambda r: r(3, 7).detach(), mask=causal),
    "learned bias": Case(SHORT, bias=lambda r: r(1, 4, 3, 7), mask=lambda: padding([0, 4])),
    "bias that hides": Case(bias=minus_inf),
    "alibi, causal": Case(bias=lambda r: alibi(4), mask=causal),
    "learned table, square": Case(bias=lambda r: relative(r(8, 4)), mask=causal),
    "learned table": Case(SHORT, bias=lambda r: relative(r(8, 4)), mask=causal),
    "biases added": Case(bias=lambda r: r(1, 1, 7, 7) + alibi(4) + relative(r(8, 4))),
    "a learned table, twice": Case(bias=lambda r: relative(table := r(8, 4)) + relative(table), mask=causal),
    "learned Gaussian": Case(bias=lambda r: gaussian(r(2, 7), 2.0)),
    "factor on the weights": Case(
        SHORT,
        mask=lambda: padding([7, 4]),
        after=lambda r: gaussian(r(2, 4, 3), r(4, 1, 1)).exp(),
        refused={"sdpa": "takes no factor"},
        taken=TILED,
    ),
    **{
        f"{name}{of}": Case((2, 4, 2, 6, 7, 8, 8), mask=mask, refused=NOT_SOFTMAX, **given)
        for of, mask in (("", lambda: None), (" with a mask", lambda: causal() & padding([7, 3])))
        for name, given in {
            "sparsemax": {"normalise": lambda r: "sparsemax", "plain_weights": lambda e, a: sparse(sparsemax, e, a)},
            "entmax": {"normalise": lambda r: "entmax", "plain_weights": lambda e, a: sparse(entmax15, e, a)},
            "sigmoid": {"normalise": lambda r: "sigmoid", "plain_weights": lambda e, a: torch.sigmoid(e) * a},
            "top 2": {"normalise": lambda r: TopK(2), "plain_weights": lambda e, a: by_softmax(e, a & best_two(e, a))},
            "hard": {"normalise": lambda r: Hard(straight_through=True), "plain_weights": straight_through},
            "a sink": {"normalise": lambda r: Softmax(r(4)), "plain_weights": with_a_sink, "taken": TILED},
        }.items()
    },
    "width of a factor": Case(
        ODD,
        mask=causal,
        after=lambda r: gaussian(r(1, 4, 97), r(4, 1, 1)).exp(),
        refused={"sdpa": "takes no factor"},
        taken=TILED,
    ),
    "factor as a tensor": Case(after=lambda r: r(2, 1, 7, 7), refused={"sdpa": "takes no factor"}, taken=TILED),
}


def told(mask: Any, name: str) -> Any:
    """The mask as the kernel wants to be told it: with a band on both sides, wide enough to hide nothing."""
    if name not in TILED:
        return mask
    everything = window(500, 500)
    return everything if mask is None else everything & (dense(mask) if isinstance(mask, Tensor) else mask)


@pytest.fixture(autouse=True)
def small_tiles(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> None:
    """So that small cases have many tiles, whole ones and others; but not where threads wait at every operation."""
    if "two_threads" not in request.fixturenames:
        monkeypatch.setattr(banded, "HEIGHT", 4)
        monkeypatch.setattr(blocksparse, "SIDE", 4)


@pytest.fixture(autouse=True)
def _flex_on_a_cpu(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> None:
    """In small tiles, and with gradients."""
    if "flex" in request.node.name:
        learned = any(word in request.node.name for word in ("learned", "biases added"))
        flex_on_a_cpu(monkeypatch, 4, captures=learned)


@dataclass
class Drawn:
    """A case's tensors in one dtype."""

    q: Tensor
    k: Tensor
    v: Tensor
    seed_of_output: Tensor
    score: Any
    mask: Any
    bias: Any
    after: Any
    normalise: Any

    @property
    def leaves(self) -> list[Tensor]:
        of = (self.score, self.bias, self.after, self.normalise)
        parts = [getattr(part, "tensors", (part,)) for part in of]
        found = [self.q, self.k, self.v, *(t for part in parts for t in part if isinstance(t, Tensor))]
        return [t for t in found if t.requires_grad]


def draw(case: Case, dtype: torch.dtype, rounded: torch.dtype, seed: int = 0) -> Drawn:
    generator = torch.Generator().manual_seed(seed)

    def random(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator, dtype=torch.float64).to(rounded).to(dtype).requires_grad_()

    B, H, Hk, Tq, Tk, D, Dv = case.sizes
    return Drawn(
        random(B, H, Tq, D),
        random(B, Hk, Tk, D),
        random(B, Hk, Tk, Dv),
        random(B, H, Tq, Dv).detach(),
        case.score(random),
        case.mask(),
        case.bias(random),
        case.after(random),
        case.normalise(random),
    )


def plainly(case: Case, x: Drawn) -> Tensor:
    """The equation, written out: a (B, H, Tq, Tk) matrix at every step, in the dtype of the inputs."""
    B, H, Hk, Tq, Tk, _, _ = case.sizes
    k, v = (t.repeat_interleave(H // (Hk or 1), 1) for t in (x.k, x.v))
    e = case.plain_score(x.q, k, *getattr(x.score, "tensors", ()))
    for name in ("bias", "after"):
        part = getattr(x, name)
        values = part.dense(B, H, Tq, Tk).to(e.dtype) if hasattr(part, "dense") else part
        if name == "bias":
            e = e if part is None else e + values
    allowed = x.mask.dense(B, H, Tq, Tk) if hasattr(x.mask, "dense") else x.mask
    allowed = (e > -math.inf) & (torch.ones_like(e, dtype=torch.bool) if allowed is None else allowed)
    weights = case.plain_weights(e, allowed, *getattr(x.normalise, "tensors", ()))
    return (weights if x.after is None else weights * values) @ v


def by_kernel(case: Case, x: Drawn, name: str) -> Tensor:
    k = x.k
    mask = x.mask
    v = x.v
    if case.prepared:
        k = x.score.prepare(x.k, x.v, x.mask)
        v, mask = k.values, None
    with kernel(name):
        parts = {"bias": x.bias, "after": x.after, "normalise": x.normalise}
        return attend(x.q, k, v, score=x.score, mask=told(mask, name), **parts)


def refusal(case: Case, name: str) -> str | None:
    """What the kernel says against the case."""
    return None if name in case.taken else case.refused.get("sdpa" if name in (*TILED, "flex") else name)


def with_gradients(out: Tensor, x: Drawn) -> list[Tensor]:
    return [
        out.detach(),
        *torch.autograd.grad(out, x.leaves, x.seed_of_output, allow_unused=True, materialize_grads=True),
    ]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())
def test_a_kernel_agrees_with_the_equation_in_float64_or_says_why_not(case: Case, name: str) -> None:
    x = draw(case, torch.float64, torch.float64)
    if reason := refusal(case, name):
        with pytest.raises(ValueError, match=f"kernel {name} was asked for.*{reason}"):
            by_kernel(case, x, name)
        return
    got = with_gradients(by_kernel(case, x, name), x)
    expected = with_gradients(plainly(case, x), x)
    for a, b in zip(got, expected, strict=True):
        torch.testing.assert_close(a, b, atol=1e-10, rtol=1e-10)


def rms(error: Tensor) -> float:
    return error.double().square().mean().sqrt().item() if error.numel() else 0.0


SHAPES = (EQUAL, SHORT, ODD, (1, 2, 2, 97, 111, 16, 16), (1, 2, 2, 111, 111, 8, 8), (2, 4, 2, 5, 7, 8, 13))
SHAPED = [name for name, case in CASES.items() if case.sizes in SHAPES]
ROUNDING = [name for name in NAMES if name != "flex"]  # on a CPU that is not what computes on CUDA: see test_flex.py
TAKEN = [(name, known) for name in SHAPED for known in ROUNDING if not refusal(CASES[name], known)]


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16], ids=str)
@pytest.mark.parametrize(("of", "name"), TAKEN, ids=[" ".join(pair) for pair in TAKEN])
def test_a_kernel_errs_at_most_twice_as_much_as_the_plain_computation(of: str, name: str, dtype: torch.dtype) -> None:
    case = CASES[of]
    squares: dict[tuple[str, int], float] = {}
    few = min(x.numel() for x in draw(case, dtype, dtype).leaves)
    for seed in range(4 if few > 4 else 8):  # root mean square over draws: a maximum over few numbers is chance
        exact, rounded = draw(case, torch.float64, dtype, seed), draw(case, dtype, dtype, seed)
        truth = with_gradients(plainly(case, exact), exact)
        outs = {"fast": by_kernel(case, rounded, name), "plain": plainly(case, rounded)}
        if name != "reference":
            outs["reference"] = by_kernel(case, rounded, "reference")
        for who, out in outs.items():
            for i, (a, b) in enumerate(zip(with_gradients(out, rounded), truth, strict=True)):
                squares[who, i] = squares.get((who, i), 0.0) + rms(a.double() - b) ** 2
    for i, exactly in enumerate(truth):
        floor = torch.finfo(dtype).eps * rms(exactly) / 4
        for plain in set(outs) - {"fast"}:
            fast, theirs = math.sqrt(squares["fast", i]), math.sqrt(squares[plain, i])
            assert fast <= 2 * theirs + floor, f"output or gradient {i}: {fast / theirs:.2f} of {plain}"


LONG_ROWS = {
    "512 keys": Case((1, 2, 1, 512, 512, 16, 16)),
    "1000 keys, other values": Case((1, 2, 2, 1000, 1000, 16, 24)),
    "1030 keys, causal": Case((1, 1, 1, 700, 1030, 16, 16), mask=causal),
    "600 keys, padded": Case((2, 1, 1, 500, 600, 16, 16), mask=lambda: padding([600, 555])),
    "512 keys, no scale": Case((1, 2, 2, 512, 512, 16, 16), lambda r: Dot(1.0), plain_score=lambda q, k: q @ k.mT),
}


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16], ids=str)
@pytest.mark.parametrize("case", LONG_ROWS.values(), ids=LONG_ROWS.keys())
def test_long_rows_cost_half_formats_no_digits(case: Case, dtype: torch.dtype) -> None:
    """SDPA itself, in the format, rounds its gradients anew with every block that it adds to them."""
    exact, rounded = draw(case, torch.float64, dtype), draw(case, dtype, dtype)
    truth = with_gradients(plainly(case, exact), exact)
    for name in ("sdpa", "reference"):
        found = with_gradients(by_kernel(case, rounded, name), rounded)
        with torch.no_grad():
            found.append(by_kernel(case, rounded, name))
        errors = [rms(a.double() - b) for a, b in zip(found, (*truth, truth[0]), strict=True)]
        if name == "sdpa":
            ours = errors
    for i, (fast, plain) in enumerate(zip(ours, errors, strict=True)):
        assert fast <= 2 * plain, f"output or gradient {i}: {fast / plain:.2f} of the reference"


MIDDLE = torch.tensor([True, False, True])[None, None, :, None]
EMPTY_MIDDLE = {
    "mask": {"mask": dense(MIDDLE)},
    "mask and causal": {"mask": dense(MIDDLE) & causal()},
    "mask and bias": {"mask": dense(MIDDLE), "bias": alibi(2)},
    "bias": {"bias": torch.where(MIDDLE, 0.0, -math.inf).expand(1, 1, 3, 3)},
    "dropout": {"mask": dense(MIDDLE), "dropout": 0.1},
}


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16], ids=str)
@pytest.mark.parametrize("parts", EMPTY_MIDDLE.values(), ids=EMPTY_MIDDLE.keys())
def test_a_query_that_may_attend_to_nothing_gets_zero_and_gives_gradient_zero(
    name: str, dtype: torch.dtype, parts: dict[str, Any]
) -> None:
    q, k, v = (torch.randn(2, 2, 3, 4, dtype=dtype, requires_grad=True) for _ in range(3))
    with kernel(name):
        given = {**parts, "mask": told(parts.get("mask"), name)}
        if name == "flex" and "dropout" in parts:
            with pytest.raises(ValueError, match="it drops no weights"):
                attend(q, k, v, **given)
            return
        out = attend(q, k, v, **given)
    of_q, of_k, of_v = torch.autograd.grad(out, (q, k, v), torch.full_like(out, 7.0))
    assert (out[:, :, 1] == 0).all()
    assert (out[:, :, [0, 2]] != 0).any()
    assert (of_q[:, :, 1] == 0).all()
    assert all(gradient.isfinite().all() for gradient in (of_q, of_k, of_v))


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf, 3e38, 7.0])
@pytest.mark.parametrize("masked", ["padding", "dense", "query rows", "causal", "window", "heads"])
def test_what_no_query_may_see_changes_no_bit_and_gets_gradient_zero(name: str, bad: float, masked: str) -> None:
    T = 6
    q, k, v = (torch.randn(2, 4, T, 8), torch.randn(2, 2, T, 8), torch.randn(2, 2, T, 8))
    keep = torch.ones(2, 2, T, dtype=torch.bool)
    mask = {
        "padding": padding([6, 4]),
        "dense": dense(torch.tensor([[[[1, 1, 1, 1, 1, 1]]], [[[1, 1, 1, 1, 0, 0]]]]).bool()),
        "query rows": padding([6, 4], queries=[6, 4]),
        "causal": causal() & padding([6, 4]),
        "window": window(2, 0) & padding([6, 4]),
        "heads": dense(torch.ones(2, 4, T, T).bool()),
    }[masked]
    keep[1, :, 4:] = False
    if masked == "heads":  # the second key head's last keys are hidden from both of its query heads
        keep[:] = True
        keep[:, 1, 3:] = False
        mask = dense(keep.repeat_interleave(2, 1)[:, :, None].expand(2, 4, T, T))
    seen_queries = torch.ones(2, 4, T, dtype=torch.bool)
    if masked == "query rows":
        seen_queries[1, :, 4:] = False
    results = []
    for fill in (0.0, bad):
        x = [
            torch.where(seen_queries[..., None], q, fill).requires_grad_(),
            torch.where(keep[..., None], k, fill).requires_grad_(),
            torch.where(keep[..., None], v, fill).requires_grad_(),
        ]
        with kernel(name):
            out = attend(*x, mask=told(mask, name), bias=alibi(4) if masked == "dense" else None)
            with torch.no_grad():
                alone = attend(*x, mask=told(mask, name), bias=alibi(4) if masked == "dense" else None)
        results.append((out, alone, *torch.autograd.grad(out, x, torch.ones_like(out))))
    for clean, dirty in zip(*results, strict=True):
        assert torch.equal(clean, dirty)
        assert dirty.isfinite().all()
    _, _, of_q, of_k, of_v = results[1]
    assert (of_k[~keep] == 0).all()
    assert (of_v[~keep] == 0).all()
    assert (of_q[~seen_queries] == 0).all()


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("magnitude", [1e2, 1e4])
def test_large_scores_overflow_nowhere(name: str, magnitude: float) -> None:
    q, k, v = (torch.randn(1, 2, 9, 4, requires_grad=True) for _ in range(3))
    with kernel(name):
        out = attend(q * magnitude, k, v, mask=told(causal(), name))
    assert out.isfinite().all()
    assert all(g.isfinite().all() for g in torch.autograd.grad(out.sum(), (q, k, v)))
    exact = attend(*(x.double() for x in (q * magnitude, k, v)), mask=causal())
    torch.testing.assert_close(out, exact.float(), atol=magnitude * 1e-5, rtol=0)


@pytest.mark.parametrize("name", NAMES)
def test_a_row_does_not_depend_on_its_batch(name: str) -> None:
    q, k, v = (torch.randn(5, 2, 7, 8, dtype=torch.float64) for _ in range(3))
    lengths = torch.tensor([7, 1, 4, 0, 6])
    with kernel(name):
        whole = attend(q, k, v, mask=told(causal() & padding(lengths), name))
        order = torch.tensor([3, 1, 4, 0, 2])
        shuffled = attend(q[order], k[order], v[order], mask=told(causal() & padding(lengths[order]), name))
        for b, n in enumerate(lengths.tolist()):
            row = attend(q[b : b + 1], k[b : b + 1], v[b : b + 1], mask=told(causal() & padding([n]), name))
            torch.testing.assert_close(row[0], whole[b], atol=1e-12, rtol=0)
    torch.testing.assert_close(shuffled, whole[order], atol=1e-12, rtol=0)


@pytest.mark.parametrize("name", NAMES)
def test_masking_is_deleting(name: str) -> None:
    q, k, v = (torch.randn(2, 2, 9, 8, dtype=torch.float64, requires_grad=True) for _ in range(3))
    keep = torch.tensor([0, 2, 3, 7])
    flags = torch.zeros(9, dtype=torch.bool).index_fill(0, keep, True)
    with kernel(name):
        masked = attend(q, k, v, mask=told(dense(flags[None, None, None]), name))
        deleted = attend(q, k[:, :, keep], v[:, :, keep], mask=told(None, name))
    torch.testing.assert_close(masked, deleted, atol=1e-12, rtol=0)
    one, two = (torch.autograd.grad(out.square().sum(), (q, k, v)) for out in (masked, deleted))
    for a, b in zip(one, two, strict=True):
        torch.testing.assert_close(a, b, atol=1e-12, rtol=0)


@pytest.mark.parametrize("name", DROPPING)
@pytest.mark.parametrize("mask", [causal(), window(7, 2), None], ids=repr)
def test_dropout_keeps_or_drops_each_weight_and_scales_the_kept(name: str, mask: Mask | None) -> None:
    T, p = 16, 0.4
    q, k = (torch.randn(3, 2, T, T, dtype=torch.float64) for _ in range(2))
    v = torch.eye(T, dtype=torch.float64).expand(3, 2, T, T)  # the context is the weights
    with kernel(name):
        weights = attend(q, k, v, mask=told(mask, name))
        dropped = attend(q, k, v, mask=told(mask, name), dropout=p)
    kept = dropped != 0
    torch.testing.assert_close(dropped[kept], weights[kept] / (1 - p))
    share = kept.sum() / (weights != 0).sum()
    assert abs(share - (1 - p)) < 0.1


@pytest.mark.parametrize("name", DROPPING)
@pytest.mark.parametrize("mask", [causal(), window(7, 2), None], ids=repr)
def test_what_was_dropped_is_dropped_in_the_gradient_too(name: str, mask: Mask | None) -> None:
    T, p = 16, 0.4
    q, k = (torch.randn(3, 2, T, T, dtype=torch.float64, requires_grad=True) for _ in range(2))
    v = torch.eye(T, dtype=torch.float64).repeat(3, 2, 1, 1).requires_grad_()  # the context is the weights
    along = torch.randn(3, 2, T, T, dtype=torch.float64)
    with kernel(name):
        dropped = attend(q, k, v, mask=told(mask, name), dropout=p)
    found = torch.autograd.grad(dropped, (q, k, v), along)
    with kernel("reference"):
        same = attend(q, k, v, mask=mask, after=(dropped.detach() != 0).double() / (1 - p))
    torch.testing.assert_close(dropped, same)
    for a, b in zip(found, torch.autograd.grad(same, (q, k, v), along), strict=True):
        torch.testing.assert_close(a, b, atol=1e-10, rtol=1e-10)


def large(mask: Mask | None = None, seed: int = 0) -> list[Tensor]:
    """A context and its gradients, at a size that threads share."""
    torch.manual_seed(seed)
    q, k, v = (torch.randn(2, 4, 130, 32, requires_grad=True) for _ in range(3))
    out = attend(q, k, v, mask=mask)
    return [out.detach(), *torch.autograd.grad(out, (q, k, v), torch.randn_like(out))]


@pytest.mark.parametrize("name", NAMES)
def test_two_threads_give_the_numbers_of_one_and_the_same_ones_each_time(
    name: str, two_threads: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    mask = window(50, 20) & padding([130, 77])
    monkeypatch.setattr(tiles, "FEWEST", 50)  # threads wait for each other at every operation
    with kernel(name):
        both, again = large(mask), large(mask)
        torch.set_num_threads(1)
        one = large(mask)
    for a, b, c in zip(both, again, one, strict=True):
        assert torch.equal(a, b)
        torch.testing.assert_close(a, c, atol=2e-5, rtol=2e-5)


@pytest.mark.parametrize("name", NAMES)
def test_calls_from_several_threads_at_once_do_not_meet(name: str) -> None:
    def ask(width: int) -> list[Tensor]:
        q, k, v = (torch.randn(2, 4, 40, 8, generator=torch.Generator().manual_seed(width)) for _ in range(3))
        q.requires_grad_()
        with kernel(name):
            out = attend(q, k, v, mask=window(width, 3), dropout=0.0)
        return [out.detach(), *torch.autograd.grad(out.square().sum(), q)]

    alone = [ask(width) for width in range(8)]
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(ask, list(range(8)) * 4))
    for i, found in enumerate(together):
        assert all(torch.equal(a, b) for a, b in zip(found, alone[i % 8], strict=True))


@pytest.mark.parametrize("name", NAMES)
def test_strided_and_expanded_inputs(name: str) -> None:
    x = torch.randn(2, 7, 4, 8, dtype=torch.float64)  # (batch, time, heads, features), as a layer has it
    q, expanded = x.transpose(1, 2), torch.randn(1, 1, 7, 8, dtype=torch.float64).expand(2, 4, 7, 8)
    apart = torch.randn(2, 4, 8, 7, dtype=torch.float64).mT  # features lie apart in memory
    with kernel(name):
        got = attend(q, expanded, apart, mask=told(causal(), name))
        expected = attend(q.contiguous(), expanded.contiguous(), apart.contiguous(), mask=told(causal(), name))
    torch.testing.assert_close(got, expected, atol=1e-12, rtol=0)


def test_every_case_runs_on_some_kernel_but_the_reference_where_nothing_is_refused() -> None:
    for name, case in CASES.items():
        x = draw(case, torch.float32, torch.float32)
        k = x.score.prepare(x.k) if case.prepared else x.k
        chosen = plan(x.q, k, x.v, score=x.score, mask=x.mask, bias=x.bias, after=x.after, normalise=x.normalise)
        assert chosen.kernel == ("reference" if "sdpa" in case.refused else "sdpa"), name


HIDE_NOTHING = {"one query", "no rows"}  # a causal query that stands on the last key; no pair at all


def test_every_mask_of_a_case_hides_something_and_not_everything() -> None:
    for name, case in CASES.items():
        mask = case.mask()
        if mask is None or name in HIDE_NOTHING:
            continue
        B, H, _, Tq, Tk, _, _ = case.sizes
        allowed = mask if isinstance(mask, Tensor) else mask.dense(B, H, Tq, Tk)
        assert 0 < allowed.double().mean() < 1, name
