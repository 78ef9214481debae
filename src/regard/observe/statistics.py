"""Exact statistics of the weights of one call of attention, at any length: nothing (Tq, Tk) in size is ever built.

    seen = observe(q, k, v, Observe(topk=8, entropy=True, mass=True, map=256), mask=causal())

Two ways lead there: `plain.py` computes the call's own equation on some queries at a time, whatever score, normaliser
or factor it has; `fused/` does the same for the softmax of dot products on a CPU, capped or not, many times as fast.
"""

from collections.abc import Callable
from dataclasses import replace

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from regard.attend import call
from regard.equation.biases import Bias
from regard.equation.mask import Mask
from regard.equation.normalisers import Normaliser
from regard.equation.prepare import Keys
from regard.equation.scores import Score
from regard.kernels.problem import Call, Problem, describe
from regard.observe import fused, plain
from regard.observe.record import Observe, Observed

_NOTHING_ASKED = Observe()


def observe(
    q: Float[Tensor, "batch heads queries features"],
    k: Float[Tensor, "batch key_heads keys key_features"] | Keys,
    v: Float[Tensor, "batch key_heads keys value_features"],
    request: Observe = _NOTHING_ASKED,
    *,
    score: Score | Callable[[Tensor, Tensor], Tensor] | None = None,
    mask: Mask | Bool[Tensor, "..."] | None = None,
    bias: Bias | Float[Tensor, "..."] | None = None,
    normalise: str | Normaliser = "softmax",
    after: Bias | Float[Tensor, "..."] | None = None,
    dropout: float = 0.0,
    context_gradient: Float[Tensor, "batch heads queries value_features"] | None = None,
) -> Observed:
    """Look at a call of `attend`: statistics of its weights, exact, in memory that grows with Tq + Tk.

        e_i = score(q, k_i) + bias_i,   α = normalise(e) * after,   and of α what `request` names

    Args:
        q: Queries, as in `attend`; so are k, v, score, mask, bias, normalise and after.
        k: Keys, or prepared ones.
        v: Values; only `request.gradient` reads them.
        request: What is wanted; the log-sum-exp is always given.
        score: As in `attend`. Of a callable, and of a score of your own, it is asked that it compares pair by pair:
            beyond 16 million pairs it is called for some queries at a time.
        mask: As in `attend`.
        bias: As in `attend`.
        normalise: As in `attend`. Where weights are drawn ("sample", "gumbel") this is a draw of its own, the matrix
            is built, and the generator is left as it was.
        after: As in `attend`; the weights are those that it has multiplied.
        dropout: Taken, so that a call's arguments can be handed on, and of no effect: statistics come before it.
        context_gradient: dL/dcontext (B, H, Tq, Dv), in the format of q, for `request.gradient`.

    Returns:
        `Observed`: detached, on the CPU, at least float32 (autocast or not). Compiled loops (numba) compute it for the
        softmax of dot products on a CPU, of `General` and `Cosine` too, with any cap, mask, bias and sink; for all
        else blocks of queries do, and `not_fused` says why.

    Raises:
        ValueError: Arguments that do not fit each other, or a request that asks for what is not there.

    Source: the softmax in one pass with a running maximum, Milakov and Gimelshein 2018 (arXiv 1805.02867).
    """
    asked = call(q, k, v, score, mask, bias, normalise, after, dropout, False)
    return statistics(asked, request, context_gradient)


def statistics(asked: Call, request: Observe, context_gradient: Tensor | None = None) -> Observed:
    """`observe`, of a call that is at hand as one."""
    problem = describe(asked)
    _check(problem, request, asked, context_gradient)
    refused = fused.refusals(problem, asked, request)
    with torch.no_grad():
        if not refused:
            return fused.statistics(asked, request)
        return replace(plain.statistics(asked, request, context_gradient), not_fused=tuple(refused))


def _check(problem: Problem, request: Observe, asked: Call, context_gradient: Tensor | None) -> None:
    """Raise ValueError for a request that this problem cannot answer."""
    for name in ("topk", "map"):
        number = getattr(request, name)
        if not isinstance(number, int) or isinstance(number, bool) or number < 0:
            raise ValueError(f"Observe: {name} must be a whole number, 0 or more, got {number!r}")
    for name, size, what in (("rows", problem.Tq, "queries"), ("columns", problem.Tk, "keys")):
        for index in getattr(request, name):
            if not 0 <= index < size:
                raise ValueError(f"Observe: {name} must name some of the {size} {what}, 0 to {size - 1}, got {index}")
    if request.gradient != (context_gradient is not None):
        raise ValueError(
            "context_gradient: Observe(gradient=True) and the context's gradient go together, got only "
            f"{'the request' if request.gradient else 'the gradient'}"
        )
    expected = (*asked.q.shape[:3], problem.Dv)
    if context_gradient is not None and tuple(context_gradient.shape) != expected:
        raise ValueError(
            f"context_gradient: expected the context's shape {expected}, got {tuple(context_gradient.shape)}"
        )
