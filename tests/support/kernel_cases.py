"""One set of cases for every kernel, and the equation written out for them.

A kernel computes a case or says why not. What it must refuse, and in which words, `refusal` says; all else it must
compute.
"""

import math
import os
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch
from entmax import entmax15, sparsemax
from torch import Tensor

from regard.attend import attend
from regard.equation.biases import alibi, gaussian, relative
from regard.equation.masks import blocks, causal, dense, documents, padding, tokens, window
from regard.equation.normalisers import Hard, Softmax, TopK
from regard.equation.scores import Additive, Cosine, Dot, General
from regard.kernels.plan import KERNELS, kernel

ELSEWHERE = ["additive", "lengths"]  # in their own test_*.py
if os.environ.get("REGARD_CHECK_SHAPES") == "1":
    ELSEWHERE.append("flex")  # PyTorch traces the rules' functions, which cannot check shapes then
NAMES = [known.name for known in KERNELS if known.name not in ELSEWHERE]
DROPPING = [name for name in NAMES if name != "flex"]


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
    "general, scaled": Case(
        (2, 4, 2, 5, 7, 8, 8),
        score=lambda r: General(r(8, 8), 0.3),
        plain_score=lambda q, k, w: 0.3 * q @ w @ k.mT,
    ),
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


def rms(error: Tensor) -> float:
    return error.double().square().mean().sqrt().item() if error.numel() else 0.0
