"""A call of `attend`, and its problem: everything about it that decides which kernel may take it, and nothing else.

A problem is made from a call once per kind of call; making it is also where a user's mistakes are found.
"""

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from regard.equation.biases import Bias
from regard.equation.mask import Mask, Structure
from regard.equation.normalisers import Normaliser, Softmax
from regard.equation.precision import autocast
from regard.equation.prepare import Keys
from regard.equation.scores import Additive, Dot, Score


class Call(NamedTuple):
    """One call: `attend`'s arguments, each part as an object."""

    q: Tensor
    k: Tensor | Keys
    v: Tensor
    score: Score
    mask: Mask | None
    bias: Bias | None
    normaliser: Normaliser
    after: Bias | None
    dropout: float
    weights: bool
    """Whether the caller wants weights and scores, not only the context."""

    @property
    def keys(self) -> Tensor:
        """The keys' tensor, prepared or not."""
        return self.k.k if isinstance(self.k, Keys) else self.k


@dataclass(frozen=True)
class Problem:
    """Sizes, formats and parts of one call, hashable."""

    B: int
    H: int
    Hk: int
    Tq: int
    Tk: int
    D: int
    """Features compared per query and key, after projection."""
    Dv: int
    dtype: torch.dtype
    """Of q, k and v; the widest of the three under autocast."""
    device: str
    score: str
    score_key: tuple[object, ...]
    is_dot: bool
    capped: bool
    """Whether the score is the dot product beneath a soft cap."""
    is_additive: bool
    """Whether the score is v . tanh(q + k) of its projections, and nothing of the user's own."""
    pair_flops: int
    """Operations of the score per (query, key) pair."""
    pair_numbers: int
    """Numbers the plain score writes per pair."""
    mask: str | None
    structure: Structure | None
    bias: bool
    bias_grad: bool
    """Whether a gradient must flow into the bias."""
    learned_matrix: bool
    """Whether a gradient must flow into a tensor of the bias or the factor with a number for each query and key."""
    normalise: str
    softmax: bool
    """Whether the weights are the plain softmax, without a sink."""
    sink: bool
    """Whether the weights are the softmax beside a sink."""
    after: bool
    dropout: bool
    grad: bool
    """Whether anything needs a gradient."""
    autocast: bool
    weights: bool
    """Whether the caller wants weights and scores, not only the context."""

    @property
    def pairs(self) -> int:
        """How many (query, key) pairs there are, masked ones included."""
        return self.B * self.H * self.Tq * self.Tk

    @property
    def io_bytes(self) -> int:
        """Bytes of q, k, v and the context, each once."""
        queries, keys = self.B * self.H * self.Tq, self.B * self.Hk * self.Tk
        return (queries + keys) * (self.D + self.Dv) * self.dtype.itemsize

    @property
    def empty(self) -> bool:
        """Whether some axis has no element."""
        return 0 in (self.B, self.H, self.Tq, self.Tk, self.D, self.Dv)


def describe(call: Call) -> Problem:
    """Check a call's arguments against each other and describe it; raises ValueError for what does not fit."""
    q, k, v, score, mask, bias, normaliser, after, dropout, weights = call
    keys = call.keys
    _check_inputs(q, keys, v, score, isinstance(k, Keys))
    B, H, Tq, _ = q.shape
    Tk = keys.shape[2]
    if not 0 <= dropout < 1:
        raise ValueError(f"dropout: expected a probability, 0 or more and below 1, got {dropout}")
    for rule in (mask, bias, after):
        if rule is not None:
            rule.check(B, H, Tq, Tk)
    of_normaliser = reads(normaliser)
    _check_devices(q, score, mask, bias, after)
    _check_sinks(q, normaliser)
    flops, numbers = score.cost(q.shape[3])
    differentiable: list[Tensor | Bias] = [
        q,
        keys,
        v,
        *score.tensors,
        *of_normaliser,
        *(rule for rule in (bias, after) if rule is not None),
    ]
    return Problem(
        B=B,
        H=H,
        Hk=keys.shape[1],
        Tq=Tq,
        Tk=Tk,
        D=score.compared(q.shape[3]),
        Dv=v.shape[3],
        dtype=torch.promote_types(torch.promote_types(q.dtype, keys.dtype), v.dtype),
        device=q.device.type,
        score=repr(score),
        score_key=score.key,
        is_dot=score.is_dot,
        capped=type(score) is Dot and score.cap is not None,
        is_additive=type(score) is Additive,
        pair_flops=flops,
        pair_numbers=numbers,
        mask=None if mask is None else repr(mask),
        structure=None if mask is None else mask.structure,
        bias=bias is not None,
        bias_grad=torch.is_grad_enabled() and bias is not None and bias.requires_grad,
        learned_matrix=torch.is_grad_enabled()
        and any(
            tensor.requires_grad and tensor.numel() >= Tq * Tk and min(tensor.shape[-2:], default=0) > 1
            for rule in (bias, after)
            if rule is not None
            for tensor in rule.tensors
        ),
        normalise=normaliser.name,
        softmax=type(normaliser) is Softmax and normaliser.sink is None,
        sink=type(normaliser) is Softmax and normaliser.sink is not None,
        after=after is not None,
        dropout=dropout > 0,
        grad=torch.is_grad_enabled() and any(x.requires_grad for x in differentiable),
        autocast=autocast(q.device),
        weights=weights,
    )


def _check_inputs(q: Tensor, k: Tensor, v: Tensor, score: Score, prepared: bool) -> None:
    for name, x, axes in (
        ("q", q, "(batch, heads, queries, features)"),
        ("k", k, "(batch, key heads, keys, features)"),
        ("v", v, "(batch, key heads, keys, value features)"),
    ):
        if not isinstance(x, Tensor):
            raise ValueError(f"{name}: expected a tensor {axes}, got {x!r}")
        if x.ndim != 4:
            raise ValueError(
                f"{name}: expected 4 axes {axes}, got shape {tuple(x.shape)}; for (batch, time, features) insert a "
                f"head axis: {name}.unsqueeze(1)"
            )
        if not x.is_floating_point():
            raise ValueError(f"{name}: expected floating point, got {x.dtype}")
        if x.device != q.device:
            raise ValueError(f"{name}: expected on {q.device}, where q is, got on {x.device}")
        as_prepared = prepared and x is k  # a score may keep its keys in a finer format
        if x.dtype != q.dtype and not as_prepared and not autocast(q.device):
            raise ValueError(f"{name}: expected {q.dtype}, as q has, got {x.dtype}")
    for name, x in (("k", k), ("v", v)):
        if x.shape[0] != q.shape[0]:
            raise ValueError(f"{name}: expected {q.shape[0]} batch rows, as q has, got {x.shape[0]}")
    if v.shape[1:3] != k.shape[1:3]:
        raise ValueError(
            f"v: expected {k.shape[1]} heads and {k.shape[2]} keys, as k has, got {v.shape[1]} and {v.shape[2]}"
        )
    if q.shape[1] != k.shape[1] and (not k.shape[1] or q.shape[1] % k.shape[1]):
        raise ValueError(
            f"k: expected a number of heads that divides q's {q.shape[1]} (each key head serves a group of query "
            f"heads), got {k.shape[1]}"
        )
    score.check(q, k, prepared)


def reads(normaliser: Normaliser) -> tuple[Tensor, ...]:
    """Every tensor the normaliser reads: most read none, and need not say so."""
    return getattr(normaliser, "tensors", ())


def _check_sinks(q: Tensor, normaliser: Normaliser) -> None:
    if not isinstance(normaliser, Softmax) or normaliser.sink is None:
        return
    if len(normaliser.sink) != q.shape[1]:
        raise ValueError(
            f"normalise: {normaliser} has a sink for each of {len(normaliser.sink)} heads, q has {q.shape[1]}"
        )
    if normaliser.sink.device != q.device:
        raise ValueError(f"normalise: {normaliser} is on {normaliser.sink.device}, expected {q.device}, where q is")


def _check_devices(q: Tensor, score: Score, mask: Mask | None, bias: Bias | None, after: Bias | None) -> None:
    for tensor in score.tensors:
        if tensor.device != q.device and tensor.ndim:
            raise ValueError(f"score: {score} holds tensors on {tensor.device}, expected {q.device}, where q is")
    for name, rule in (("mask", mask), ("bias", bias), ("after", after)):
        if rule is not None and rule.device not in (None, q.device):
            raise ValueError(f"{name}: holds a tensor on {rule.device}, expected {q.device}, where q is")
