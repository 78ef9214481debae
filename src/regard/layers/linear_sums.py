"""Linear attention's two sums over the keys, and the weighted means that queries read from them: time and memory O(T).

    S = Σ_s φ(k_s) v_sᵀ,   z = Σ_s φ(k_s),   c_t = φ(q_t)ᵀ S / φ(q_t)ᵀ z,   φ(x) = elu(x) + 1

This is a mechanism of its own, and no way to compute softmax attention: the weights φ(q_t)·φ(k_s) / Σ are others.
With causality each query has its own sums; they are kept once a chunk of positions, and within one the pairs are
compared one by one.
"""

__all__ = ["linear_attend"]

import math
from typing import NamedTuple, Self

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor

from regard.equation.precision import full, no_autocast

CHUNK = 64
"""Positions whose pairs are compared: as many as a head has features is where sums and pairs take equal time."""


class Sums(NamedTuple):
    """What linear attention keeps of a source, as large after a million positions as after one."""

    s: Float[Tensor, "batch heads features value_features"]
    """Σ_s φ(k_s) v_sᵀ, at least float32."""
    z: Float[Tensor, "batch heads features 1"]
    """Σ_s φ(k_s)."""

    def select(self, rows: Int[Tensor, " rows"]) -> Self:
        """Some of the batch rows."""
        return type(self)(self.s[rows], self.z[rows])


def linear_attend(
    q: Float[Tensor, "batch heads queries features"],
    k: Float[Tensor, "batch heads keys features"],
    v: Float[Tensor, "batch heads keys value_features"],
    *,
    causal: bool = False,
    lengths: Int[Tensor, " batch"] | None = None,
) -> Float[Tensor, "batch heads queries value_features"]:
    """Linear attention: a mean of the values in time and memory O(T), weighted by φ(q)·φ(k) and not by softmax.

        c_t = Σ_s φ(q_t)·φ(k_s) v_s / Σ_s φ(q_t)·φ(k_s),   φ(x) = elu(x) + 1

    Nothing is computed as (Tq, Tk); sums are at least float32. A query without keys gets context 0 and gradients 0; so
    does one whose products are all below 1e-31, as those of features below −71 are.

    Args:
        q: Queries (B, H, Tq, D).
        k: Keys (B, H, Tk, D).
        v: Values (B, H, Tk, Dv).
        causal: Whether no query sees a later key; the last query stands on the last key.
        lengths: How many keys of each row are there, (B,); what lies beyond is never read.

    Returns:
        The context (B, H, Tq, Dv), in the dtype of v.

    Raises:
        ValueError: Shapes that do not fit each other.

    Source: Katharopoulos 2020 (arXiv 2006.16236).
    """
    _check(q, k, v, lengths)
    with no_autocast(q.device):
        fq = feature_map(q)
        fk, values = seen_keys(k, v, lengths)
        return (_causal(fq, fk, values) if causal else read(fq, add_up(fk, values))).to(v.dtype)


def linear_weights(q: Tensor, k: Tensor, *, causal: bool, lengths: Tensor | None) -> Tensor:
    """The weights (B, H, Tq, Tk) that `linear_attend` never builds; at least float32."""
    with no_autocast(q.device):
        pairs = feature_map(q) @ seen_keys(k, k, lengths)[0].mT
        pairs = pairs.tril(k.shape[2] - q.shape[2]) if causal else pairs
        return mean(pairs, pairs.sum(-1, keepdim=True))


def feature_map(x: Float[Tensor, "*axes"]) -> Float[Tensor, "*axes"]:
    """φ(x) = elu(x) + 1: above 0 everywhere, x + 1 where x is; at least float32."""
    x = full(x)
    return x.relu() + x.clamp(max=0).exp()  # elu is exp - 1 below 0, and adding 1 again would lose its digits


def seen_keys(k: Tensor, v: Tensor, lengths: Tensor | None) -> tuple[Tensor, Tensor]:
    """φ(k) and v, both with zeros beyond the lengths, whatever stood there; at least float32."""
    if lengths is None:
        return feature_map(k), full(v)
    within = (torch.arange(k.shape[2], device=k.device) < lengths.to(k.device)[:, None])[:, None, :, None]
    return feature_map(torch.where(within, k, 0)) * within, torch.where(within, full(v), 0)


def add_up(fk: Tensor, v: Tensor) -> Sums:
    """S and z, of φ(k) (..., T, D) and v (..., T, Dv)."""
    return Sums(fk.mT @ v, fk.sum(-2)[..., None])


def read(fq: Tensor, sums: Sums) -> Tensor:
    """c = φ(q)ᵀ S / φ(q)ᵀ z."""
    return mean(fq @ sums.s, fq @ sums.z)


def _causal(fq: Tensor, fk: Tensor, v: Tensor) -> Tensor:
    """The last query stands on the last key: keys before all queries are a sum, queries before all keys get 0."""
    ahead = fk.shape[2] - fq.shape[2]
    before = add_up(fk[:, :, : max(ahead, 0)], v[:, :, : max(ahead, 0)])
    blind, asking = fq.split([max(-ahead, 0), fq.shape[2] - max(-ahead, 0)], 2)
    found = _in_chunks(asking, fk[:, :, max(ahead, 0) :], v[:, :, max(ahead, 0) :], before)
    return torch.cat([read(blind, before), found], 2) if ahead < 0 else found


def _in_chunks(fq: Tensor, fk: Tensor, v: Tensor, before: Sums) -> Tensor:
    """A key for every query: the sums hold the chunks before, and within a chunk all pairs are compared."""
    T, size = fq.shape[2], max(1, min(CHUNK, fq.shape[2]))
    chunks = -(-T // size)
    fq, fk, v = (F.pad(x, (0, 0, 0, chunks * size - T)).unflatten(2, (chunks, size)) for x in (fq, fk, v))
    s, z = (_before(own, first) for own, first in zip(add_up(fk, v), before, strict=True))
    pairs = (fq @ fk.mT).tril()
    found = mean(pairs @ v + fq @ s, pairs.sum(-1, keepdim=True) + fq @ z)
    return found.flatten(2, 3)[:, :, :T]


def _before(own: Tensor, first: Tensor) -> Tensor:
    """For each chunk (axis 2) the sum over all before it."""
    return torch.cat([first[:, :, None], own], 2).cumsum(2)[:, :, :-1]


def mean(total: Tensor, weight: Tensor) -> Tensor:
    """total / weight; 0, and gradient 0, where there is no weight, or so little that it has lost its digits."""
    kind = torch.finfo(weight.dtype)
    return total / weight.masked_fill(weight < kind.tiny / kind.eps, math.inf)


def _check(q: Tensor, k: Tensor, v: Tensor, lengths: Tensor | None) -> None:
    for name, x in (("q", q), ("k", k), ("v", v)):
        if x.ndim != 4 or not x.is_floating_point():
            raise ValueError(f"{name}: expected (batch, heads, time, features) in floating point, got {_kind(x)}")
    if k.shape[:2] != q.shape[:2] or k.shape[3] != q.shape[3]:
        raise ValueError(f"k: expected {tuple(q.shape[:2])} rows and heads and {q.shape[3]} features, got {_kind(k)}")
    if v.shape[:3] != k.shape[:3]:
        raise ValueError(f"v: expected {tuple(k.shape[:3])} rows, heads and keys, as k has, got {_kind(v)}")
    if lengths is not None and (lengths.shape != q.shape[:1] or lengths.is_floating_point()):
        raise ValueError(f"lengths: expected {q.shape[0]} whole numbers, one a batch row, got {_kind(lengths)}")


def _kind(x: Tensor) -> str:
    return f"{x.dtype} of shape {tuple(x.shape)}"
