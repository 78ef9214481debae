"""Scores: how well a query and a key match, e = score(q, k). One class a score; a newcomer adds one in ten lines.

A score splits into what concerns the query alone, the key alone (done once by `prepare`), and both:

    e = compare(query(q), project(k))

Scores are light: they hold tensors that belong to a layer, and gradients flow into them.
"""

import math
from collections.abc import Callable

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from regard.equation.mask import Mask
from regard.equation.precision import autocast, full
from regard.equation.prepare import Keys, hide_keys
from regard.equation.unrolled import linear
from regard.machine import rows


class Score:
    """A score; a subclass gives `compare`, and `query` or `project` where part of the work is one side's alone."""

    key: tuple[object, ...] = ()
    """Hashable: the kind and the shapes it wants."""
    tensors: tuple[Tensor, ...] = ()
    """Every tensor the score reads."""
    is_dot = False
    """Whether compare(q, k) is `factor` times the dot product: then dot-product kernels compute it."""

    def query(self, q: Tensor) -> Tensor:
        """What concerns the query alone."""
        return q

    def project(self, k: Tensor) -> Tensor:
        """What concerns the key alone."""
        return k

    def compare(self, q: Tensor, k: Tensor) -> Tensor:
        """Scores (B, H, Tq, Tk), in at least float32, of q (B, H, Tq, .) and k (B, H, Tk, .)."""
        raise NotImplementedError

    def factor(self, features: int) -> float:
        """What the dot product of `features` numbers is multiplied by, where `is_dot`."""
        return 1.0

    def widths(self) -> tuple[int | None, int | None]:
        """The feature sizes of q and k that the score wants; None for any, and then both alike."""
        return None, None

    def compared(self, features: int) -> int:
        """How many numbers `compare` sees of a query of so many features."""
        return features

    def cost(self, features: int) -> tuple[int, int]:
        """What `compare` costs per (query, key) pair: operations, and numbers written."""
        return 2 * self.compared(features), 1

    def check(self, q: Tensor, k: Tensor, prepared: bool) -> None:
        """Raise ValueError if queries (B, H, Tq, D) and keys, prepared or not, are not what the score takes."""
        want_q, want_k = self.widths()
        if want_q is not None and q.shape[3] != want_q:
            raise ValueError(f"q: {self} expects {want_q} features, got {q.shape[3]}")
        if prepared:
            want_k = self.compared(q.shape[3])
        elif want_k is None:
            want_k = q.shape[3]
        if k.shape[3] != want_k:
            raise ValueError(f"k: {self} expects {want_k} {'prepared ' * prepared}features, got {k.shape[3]}")
        for tensor in self.tensors:
            if tensor.dtype != q.dtype and not autocast(q.device):
                raise ValueError(f"q: {self} holds {tensor.dtype}, got {q.dtype}")

    def prepare(
        self,
        k: Float[Tensor, "batch key_heads keys features"],
        v: Float[Tensor, "batch key_heads keys value_features"] | None = None,
        mask: Mask | None = None,
    ) -> Keys:
        """Do once what concerns the keys alone, for a decoder that asks them many times.

        With a `mask` over batch rows and keys (`padding(lengths)`, or a dense one of shape (B, 1, 1, Tk)), keys and
        values under it are made harmless here, whatever they hold, and it stays in force whenever the keys are asked:
        `attend(q, keys, keys.values)`.
        """
        if mask is not None:
            if not mask.per_key:
                raise ValueError(
                    f"prepare: expected a mask over batch rows and keys, such as padding(lengths), got {mask}"
                )
            B, _, Tk, _ = k.shape
            mask.check(B, 1, 1, Tk)
            allowed = mask.dense(B, 1, 1, Tk, k.device)
            (k,) = hide_keys(allowed, k)
            v = None if v is None else hide_keys(allowed, v)[0]
        return Keys(self.project(k), self, v, mask)


class Dot(Score):
    """e = scale * q . k; `scale` None is 1 / sqrt(D) (Vaswani 2017), 1.0 is Luong's (2015).

    With a soft cap, e = cap * tanh(scale * q . k / cap): no score leaves (-cap, cap). Gemma 2 (arXiv 2408.00118).
    """

    key: tuple[object, ...] = ("dot",)
    is_dot = True

    def __init__(self, scale: float | None = None, *, cap: float | None = None) -> None:
        if cap is not None and not 0 < cap < math.inf:
            raise ValueError(f"Dot: cap must be a number above 0, or None for no cap, got {cap!r}")
        self.scale, self.cap = scale, cap
        if cap is not None:
            self.key, self.is_dot = ("dot", cap), False

    def factor(self, features: int) -> float:
        """See `Score.factor`."""
        return (1 / math.sqrt(features) if features else 1.0) if self.scale is None else self.scale

    def compare(self, q: Tensor, k: Tensor) -> Tensor:
        """See `Score.compare`."""
        if self.cap is None:
            return (full(q) * self.factor(q.shape[-1])) @ full(k).mT
        return self.cap * torch.tanh((full(q) * (self.factor(q.shape[-1]) / self.cap)) @ full(k).mT)

    def cost(self, features: int) -> tuple[int, int]:
        """The cap adds a tanh (counted as one), a product, and a number kept for backward."""
        operations, numbers = super().cost(features)
        return (operations, numbers) if self.cap is None else (operations + 2, numbers + 1)

    def __repr__(self) -> str:
        parts = [] if self.scale is None else [f"{self.scale:g}"]
        return f"Dot({', '.join(parts + ([] if self.cap is None else [f'cap={self.cap:g}']))})"


class General(Score):
    """e = scale * q . (W k), W (Dq, Dk); Luong 2015, where the scale is 1. Prepared keys are W k."""

    is_dot = True

    def __init__(self, w: Float[Tensor, "query_features key_features"], scale: float = 1.0) -> None:
        _is_matrix("General: W", w)
        self.w, self.scale = w, scale
        self.tensors = (w,)
        self.key = ("general", w.shape, w.dtype, w.device)

    def project(self, k: Tensor) -> Tensor:
        """See `Score.project`."""
        return F.linear(k, self.w)

    def factor(self, features: int) -> float:
        """See `Score.factor`."""
        return self.scale

    def compare(self, q: Tensor, k: Tensor) -> Tensor:
        """See `Score.compare`."""
        return (full(q) * self.scale) @ full(k).mT

    def widths(self) -> tuple[int | None, int | None]:
        """See `Score.widths`."""
        return self.w.shape[0], self.w.shape[1]

    def __repr__(self) -> str:
        scale = "" if self.scale == 1 else f", {self.scale:g}"
        return f"General(<{self.w.shape[0]}x{self.w.shape[1]}>{scale})"


class Additive(Score):
    """e = v . tanh(W_q q + W_k k + b), v (A,), W_q (A, Dq), W_k (A, Dk), b (A,) or none; Bahdanau 2014.

    Prepared keys are W_k k. Luong's `concat` is the same thing: one matrix for [q; k] is these two side by side.
    """

    def __init__(
        self,
        v: Float[Tensor, " hidden"],
        w_query: Float[Tensor, "hidden query_features"],
        w_key: Float[Tensor, "hidden key_features"],
        bias: Float[Tensor, " hidden"] | None = None,
    ) -> None:
        _is_matrix("Additive: w_query", w_query)
        _is_matrix("Additive: w_key", w_key)
        hidden = w_query.shape[0]
        for name, have in (("v", v.shape), ("w_key", w_key.shape[:1]), ("bias", (v if bias is None else bias).shape)):
            if have != (hidden,):
                raise ValueError(
                    f"Additive: w_query has {hidden} rows, so {name} must have {hidden}, got {tuple(have)}"
                )
        self.v, self.w_query, self.w_key, self.bias = v, w_query, w_key, bias
        self.tensors = (v, w_query, w_key) if bias is None else (v, w_query, w_key, bias)
        self.key = ("additive", w_query.shape, w_key.shape, v.dtype, v.device)

    def query(self, q: Tensor) -> Tensor:
        """See `Score.query`."""
        return linear(q, self.w_query, self.bias)

    def project(self, k: Tensor) -> Tensor:
        """See `Score.project`."""
        return full(rows.linear(k, self.w_key))

    def compare(self, q: Tensor, k: Tensor) -> Tensor:
        """See `Score.compare`."""
        hidden = full(q).unsqueeze(-2) + full(k).unsqueeze(-3)
        return hidden.tanh_() @ full(self.v)  # in place: (B, H, Tq, Tk, A) exists once, and is what backward needs

    def widths(self) -> tuple[int | None, int | None]:
        """See `Score.widths`."""
        return self.w_query.shape[1], self.w_key.shape[1]

    def compared(self, features: int) -> int:
        """See `Score.compared`."""
        return self.w_query.shape[0]

    def cost(self, features: int) -> tuple[int, int]:
        """An addition, a tanh (counted as one), a product and a sum for each hidden feature."""
        return 4 * self.w_query.shape[0], self.w_query.shape[0]

    def __repr__(self) -> str:
        return f"Additive(<{self.v.shape[0]}>)"


class Cosine(Score):
    """e = scale * q . k / (|q| |k|); a vector of zeros matches nothing (0). `scale` may be a learned tensor."""

    is_dot = True

    def __init__(self, scale: float | Float[Tensor, "..."] = 1.0) -> None:
        self.scale = scale
        self.tensors = (scale,) if isinstance(scale, Tensor) else ()
        self.key = ("cosine", scale.shape if isinstance(scale, Tensor) else None)

    def query(self, q: Tensor) -> Tensor:
        """See `Score.query`."""
        return _unit(q) * self.scale

    def project(self, k: Tensor) -> Tensor:
        """See `Score.project`."""
        return _unit(k)

    def compare(self, q: Tensor, k: Tensor) -> Tensor:
        """See `Score.compare`."""
        return full(q) @ full(k).mT

    def __repr__(self) -> str:
        return f"Cosine({'<tensor>' if isinstance(self.scale, Tensor) else format(self.scale, 'g')})"


class Custom(Score):
    """e = function(q, k), for any callable that takes (B, H, Tq, D) and (B, H, Tk, D) and gives (B, H, Tq, Tk).

    `attend` calls it once, with all of q and k. A kernel asked for by name and the statistics of a large call may call
    it with some rows, queries and keys at a time: then e[b, h, i, j] must depend on q[b, h, i] and k[b, h, j] alone.
    """

    key = ("custom",)

    def __init__(self, function: Callable[[Tensor, Tensor], Tensor]) -> None:
        self.function = function

    def check(self, q: Tensor, k: Tensor, prepared: bool) -> None:
        """What fits is the callable's business."""

    def compare(self, q: Tensor, k: Tensor) -> Tensor:
        """See `Score.compare`."""
        e = self.function(full(q), full(k))
        expected = (*q.shape[:3], k.shape[2])
        if tuple(e.shape) != expected:
            raise ValueError(f"score: expected the callable to give (B, H, Tq, Tk) = {expected}, got {tuple(e.shape)}")
        return full(e)

    def __repr__(self) -> str:
        return f"{getattr(self.function, '__name__', type(self.function).__name__)}(q, k)"


_SCALED_DOT = Dot()


def as_score(score: Score | Callable[[Tensor, Tensor], Tensor] | None) -> Score:
    """None is `Dot()`, a callable is `Custom`; a score is itself."""
    if score is None:
        return _SCALED_DOT
    if isinstance(score, Score):
        return score
    if callable(score):
        return Custom(score)
    raise ValueError(f"score: expected Dot, General, Additive, Cosine or a callable of q and k, got {score!r}")


def _unit(x: Tensor) -> Tensor:
    x = full(x)
    length = torch.linalg.vector_norm(x, dim=-1, keepdim=True)
    return x / length.masked_fill(length == 0, 1)


def _is_matrix(name: str, w: Tensor) -> None:
    if w.ndim != 2:
        raise ValueError(f"{name}: expected a matrix (out features, in features), got shape {tuple(w.shape)}")
