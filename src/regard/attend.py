"""The one door all attention passes through: `attend`, and `attend_with_weights` for those who compute with weights.

A call is recognised by its sizes, formats and parts; the first of its kind is checked and planned, the others find
their plan and compute. Who looks on (`regard.watch`) stands beside the door: see `overheard`.
"""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from regard.equation.biases import Bias, as_bias
from regard.equation.mask import Mask
from regard.equation.masks import as_mask
from regard.equation.normalisers import Normaliser, as_normaliser
from regard.equation.precision import autocast
from regard.equation.prepare import Keys
from regard.equation.reference import Attended
from regard.equation.scores import Score, as_score
from regard.kernels.kernel import Compute
from regard.kernels.plan import Plan, asked, make
from regard.kernels.problem import Call, describe, reads

_MOST_PLANS = 4096
_plans: dict[tuple[object, ...], Plan] = {}

Listener = Callable[[Call, Compute], Any]
"""Takes a call and what computes it, and returns what that returns."""


class _Listening(threading.local):
    listener: Listener | None = None


_listening = _Listening()
_listeners = 0  # in all threads: where there are none, a call looks at this number and at nothing else
_counting = threading.Lock()


def attend(
    q: Float[Tensor, "batch heads queries features"],
    k: Float[Tensor, "batch key_heads keys key_features"] | Keys,
    v: Float[Tensor, "batch key_heads keys value_features"],
    *,
    score: Score | Callable[[Tensor, Tensor], Tensor] | None = None,
    mask: Mask | Bool[Tensor, "..."] | None = None,
    bias: Bias | Float[Tensor, "..."] | None = None,
    normalise: str | Normaliser = "softmax",
    after: Bias | Float[Tensor, "..."] | None = None,
    dropout: float = 0.0,
) -> Float[Tensor, "batch heads queries value_features"]:
    """Attend: for each query the weighted mean of the values, computed by the fastest exact kernel for the case.

        e_i = score(q, k_i) + bias_i,   α = normalise(e) * after,   context = sum_i α_i v_i

    over the i that `mask` admits. A query that may attend to nothing gets context 0 and gradients exactly 0.

    Args:
        q: Queries (B, H, Tq, D).
        k: Keys (B, Hk, Tk, Dk), H a multiple of Hk (grouped heads); or `score.prepare(keys)`, done once.
        v: Values (B, Hk, Tk, Dv).
        score: `Dot(scale, cap=)`, `General`, `Additive`, `Cosine`, or a callable of q, k; None is q . k / sqrt(D).
        mask: Rules combined with `&`, `|`, `~`, or a bool tensor that broadcasts to (B, H, Tq, Tk). True: may attend.
        bias: A rule such as `alibi(heads)`, or a tensor that broadcasts to (B, H, Tq, Tk); added to the scores.
        normalise: "softmax", "sparsemax", "entmax", "sigmoid", "hard", "sample", "gumbel", or one such as Entmax(1.2)
            or Softmax(sink).
        after: A factor on the normalised weights, rule or tensor like `bias`; the result is not normalised again.
        dropout: The probability with which a weight is dropped; the others are scaled by 1 / (1 - dropout).

    Returns:
        The context (B, H, Tq, Dv), in the dtype of v.

    Raises:
        ValueError: Arguments that do not fit each other, or a kernel asked for by name that cannot take the call.

    Source: Bahdanau 2014 (arXiv 1409.0473), Luong 2015 (arXiv 1508.04025), Vaswani 2017 (arXiv 1706.03762).
    """
    return _compute(call(q, k, v, score, mask, bias, normalise, after, dropout, False))


def attend_with_weights(
    q: Float[Tensor, "batch heads queries features"],
    k: Float[Tensor, "batch key_heads keys key_features"] | Keys,
    v: Float[Tensor, "batch key_heads keys value_features"],
    *,
    score: Score | Callable[[Tensor, Tensor], Tensor] | None = None,
    mask: Mask | Bool[Tensor, "..."] | None = None,
    bias: Bias | Float[Tensor, "..."] | None = None,
    normalise: str | Normaliser = "softmax",
    after: Bias | Float[Tensor, "..."] | None = None,
    dropout: float = 0.0,
) -> Attended:
    """Attend, and return the weights too, differentiable: for copying, coverage, penalties on weights, REINFORCE.

    The equation, the arguments and the errors are those of `attend`. Weights, scores and statistics are taken before
    dropout and are at least float32; a query that may attend to nothing has weights 0 and log-sum-exp -inf.

    Returns:
        `Attended`: context (B, H, Tq, Dv), weights (B, H, Tq, Tk), scores, and from these `lse` and `log_prob`.
    """
    return _compute(call(q, k, v, score, mask, bias, normalise, after, dropout, True))


def plan(
    q: Tensor,
    k: Tensor | Keys,
    v: Tensor,
    *,
    score: Score | Callable[[Tensor, Tensor], Tensor] | None = None,
    mask: Mask | Tensor | None = None,
    bias: Bias | Tensor | None = None,
    normalise: str | Normaliser = "softmax",
    after: Bias | Tensor | None = None,
    dropout: float = 0.0,
    weights: bool = False,
) -> Plan:
    """The plan for a call of `attend` (or, with `weights`, of `attend_with_weights`) with these arguments.

    Only sizes and formats count, so tensors on the device "meta", which hold no numbers, will do: they stand for such
    tensors on a CPU.
    """
    problem = describe(call(q, k, v, score, mask, bias, normalise, after, dropout, weights))
    return make(replace(problem, device="cpu") if problem.device == "meta" else problem, asked())


def explain(q: Tensor, k: Tensor | Keys, v: Tensor, **arguments: Any) -> str:
    """Which kernel `attend` takes for these arguments, why not the others, and what it costs: text to print.

    The arguments are those of `plan`. Where a kernel decides by the mask's numbers, they are looked at.
    """
    given = call(q, k, v, **{**_LEFT_OUT, **arguments})
    return str(plan(q, k, v, **arguments).of(given))


_LEFT_OUT = {
    "score": None,
    "mask": None,
    "bias": None,
    "normalise": "softmax",
    "after": None,
    "dropout": 0.0,
    "weights": False,
}


@contextmanager
def overheard(listener: Listener) -> Iterator[None]:
    """Within it, in this thread, each call is handed to `listener`; what runs compiled is not heard.

    Inside another one it takes that one's place.
    """
    global _listeners
    before = _listening.listener
    with _counting:
        _listeners += 1
    _listening.listener = listener
    try:
        yield
    finally:
        _listening.listener = before
        with _counting:
            _listeners -= 1


def call(
    q: Any,
    k: Any,
    v: Any,
    score: Any,
    mask: Any,
    bias: Any,
    normalise: Any,
    after: Any,
    dropout: float,
    weights: bool,
) -> Call:
    """The call, its parts as objects; prepared keys bring their score and their mask."""
    if mask is not None:
        mask = as_mask(mask)
    if isinstance(k, Keys):
        score = _same_score(score, k)
        if k.mask is not None and mask is not k.mask:
            mask = k.mask if mask is None else k.mask & mask
    return Call(
        q,
        k,
        v,
        as_score(score),
        mask,
        None if bias is None else as_bias(bias),
        as_normaliser(normalise),
        None if after is None else as_bias(after, "after"),
        dropout,
        weights,
    )


def _same_score(score: Any, keys: Keys) -> Score:
    if score is None:
        return keys.score
    if as_score(score).key != keys.score.key:
        raise ValueError(f"score: the keys were prepared for {keys.score}, got {score}")
    return score


def _compute(call: Call) -> Any:
    """The call's result, by the plan for calls of its kind: from the cache, or made now."""
    if torch.compiler.is_compiling():  # once per compilation, on sizes that may be symbols
        return make(describe(call), asked()).compute(call)
    try:
        kind = _kind(call)
    except AttributeError:  # something that is no tensor: describing the call says what
        describe(call)
        raise
    found = _plans.get(kind)
    if found is None:
        found = make(describe(call), asked())
        if len(_plans) >= _MOST_PLANS:
            _plans.clear()
        _plans[kind] = found
    if _listeners and _listening.listener is not None:
        return _listening.listener(call, found.compute)
    return found.compute(call)


def _kind(call: Call) -> tuple[object, ...]:
    """What a call has in common with others of its kind."""
    q, k, v, score, mask, bias, normaliser, after, dropout, weights = call
    keys, prepared = (k.k, True) if isinstance(k, Keys) else (k, False)
    device = q.device
    grad: tuple[bool, ...] = ()
    if torch.is_grad_enabled():
        grad = (q.requires_grad, keys.requires_grad, v.requires_grad)
        of_normaliser = reads(normaliser)
        if score.tensors or of_normaliser or bias is not None or after is not None:
            of_rules = [rule.tensors for rule in (bias, after) if rule is not None]
            grad += tuple([x.requires_grad for tensors in (score.tensors, of_normaliser, *of_rules) for x in tensors])
    return (
        weights,
        prepared,
        q.shape,
        keys.shape,
        v.shape,
        q.dtype,
        keys.dtype,
        v.dtype,
        device,
        keys.device,
        v.device,
        grad,
        type(score),
        score.key,
        None if mask is None else mask.key,
        None if bias is None else bias.key,
        type(normaliser),
        normaliser.name,
        None if after is None else after.key,
        dropout,
        torch.is_autocast_enabled("cpu") if q.is_cpu else autocast(device),  # a device's name takes time to spell
        asked(),
    )
