"""FlexAttention: masks, biases and soft caps on a GPU, where nothing (Tq, Tk) is written and empty tiles are skipped.

The call's rules become FlexAttention's functions of one pair: the mask its `mask_mod`, with the tiles to skip
(`flex_masks.py`), cap and bias its `score_mod`. On CUDA PyTorch compiles it, once for each kind of call, when the
first comes; that takes seconds, so short calls are left to others. On a CPU it computes plainly and without
gradients: there it is a check of what a GPU would be told, and nothing chooses it.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from functools import lru_cache, reduce
from types import FunctionType
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from regard.equation.biases import Bias
from regard.equation.precision import no_autocast
from regard.equation.prepare import Keys, hide_keys, hide_queries, is_harmless
from regard.equation.rules import Grid
from regard.equation.scores import Dot
from regard.kernels.flex_masks import masking
from regard.kernels.kernel import Compute, Kernel, not_softmax_of_dots
from regard.kernels.problem import Call, Problem
from regard.kernels.sdpa import needs_tensor

if TYPE_CHECKING:
    from torch.nn.attention.flex_attention import BlockMask

COMPILED = ("cuda",)
"""Where it is compiled."""
TRAINED = ("cuda",)
"""Where it has gradients."""
NARROWEST = 16
"""Features that its compiled programs want at least."""
FEW = 2**24
"""Pairs of queries and keys below which compiling costs more than a mask or a bias written out."""


class Flex(Kernel):
    """`torch.nn.attention.flex_attention`."""

    name = "flex"

    def refusals(self, problem: Problem) -> list[str]:
        """See `Kernel.refusals`."""
        reasons = not_softmax_of_dots(problem, capped=True)
        if problem.after:
            reasons.append("it takes no factor on the weights")
        if problem.dropout:
            reasons.append("it drops no weights")
        if problem.grad and problem.device not in TRAINED:
            reasons.append(f"on {problem.device} it has no gradients")
        if torch.compiler.is_compiling():
            reasons.append("torch.compile cannot look into it")
        if problem.empty:
            reasons.append("a size is 0")
        elif problem.device in COMPILED and min(problem.D, problem.Dv) < NARROWEST:
            reasons.append(f"it wants queries and values of {NARROWEST} features or more")
        return reasons

    def doubts(self, problem: Problem) -> list[str]:
        """See `Kernel.doubts`."""
        if problem.device != "cuda":
            return [f"it is for cuda: on {problem.device} it computes plainly"]
        reasons = []
        if not (needs_tensor(problem) or problem.bias or problem.capped):
            reasons.append("SDPA takes this without a mask")
        if problem.Tq * problem.Tk < FEW:
            reasons.append("compiling for matrices so small costs more than writing them out")
        if problem.dtype == torch.float64:
            reasons.append("it is made for float32 and less")
        if problem.bias_grad:
            reasons.append("it adds up a bias's gradient in any order, so twice the same call gives two results")
        return reasons

    def flops(self, problem: Problem) -> int:
        """Of all pairs: how many tiles are empty is known when the mask's numbers are."""
        return int(problem.pairs * (problem.pair_flops + 2 * problem.Dv) * (3.5 if problem.grad else 1))

    def bytes(self, problem: Problem) -> int:
        """Inputs and context once; backward two and a half times that. Scores stay in the processor's cache."""
        return int(problem.io_bytes * (3.5 if problem.grad else 1))

    def bind(self, problem: Problem) -> Compute:
        """See `Kernel.bind`."""
        size = (problem.B, problem.H, problem.Tq, problem.Tk)
        grouped = problem.Hk != problem.H

        def compute(call: Call) -> Tensor:
            q, k, v, score, device = call.q, call.keys, call.v, call.score, call.q.device
            block_mask = None
            if call.mask is not None:
                block_mask, asking, seen = masking(call.mask, size, device)
                if not (asking is seen is None or is_harmless(q, k, v)):
                    q = q if asking is None else hide_queries(asking, q)
                    k, v = (k, v) if seen is None else hide_keys(seen, k, v)
            q, k = score.query(q), k if isinstance(call.k, Keys) else score.project(k)
            with no_autocast(device):
                q, k, v = _alike(q, k, v)
                if not problem.grad:  # on a CPU it looks at the tensors, not at whether gradients are wanted
                    q, k, v = q.detach(), k.detach(), v.detach()
                attend = program(problem) if problem.device in COMPILED else _plainly
                modified = _modifier(score.cap if isinstance(score, Dot) else None, call.bias, size, device)
                return attend(q, k, v, modified, block_mask, score.factor(problem.D), grouped).to(call.v.dtype)

        return compute


def _alike(*tensors: Tensor) -> list[Tensor]:
    """All in the widest of their dtypes, with features next to each other in memory."""
    dtype = reduce(torch.promote_types, [x.dtype for x in tensors])
    return [x.to(dtype) if x.stride(-1) == 1 else x.to(dtype).contiguous() for x in tensors]


ScoreMod = Callable[[Tensor, Tensor, Tensor, Tensor, Tensor], Tensor]


def _modifier(
    cap: float | None, bias: Bias | None, size: tuple[int, int, int, int], device: torch.device
) -> ScoreMod | None:
    """What becomes of the score of one pair: capped, with the bias added. None: nothing."""
    if cap is None and bias is None:
        return None
    _, _, Tq, Tk = size
    added = None if bias is None else bias.placed(Tk, device)

    def modified(score: Tensor, batch: Tensor, head: Tensor, row: Tensor, key: Tensor) -> Tensor:
        if cap is not None:
            score = cap * torch.tanh(score / cap)
        return score if added is None else score + added.at(Grid(batch, head, row, key, Tk - Tq, Tk))

    return modified


def _attend(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    modified: ScoreMod | None,
    block_mask: BlockMask | None,
    scale: float,
    grouped: bool,
) -> Tensor:
    from torch.nn.attention.flex_attention import flex_attention

    return flex_attention(q, k, v, score_mod=modified, block_mask=block_mask, scale=scale, enable_gqa=grouped)


_one_at_a_time = threading.Lock()


def _plainly(*arguments: Any) -> Tensor:
    """`_attend` not compiled: PyTorch then traces the functions of a pair at each call, which two threads cannot."""
    with _one_at_a_time:
        return _attend(*arguments)


@lru_cache(maxsize=256)
def program(problem: Problem) -> Callable[..., Tensor]:
    """`_attend` compiled for one kind of call.

    PyTorch stops compiling a function anew after some kinds of arguments, so each kind has a function of its own.
    """
    code = _attend.__code__.replace(co_name=f"flex_{abs(hash(problem))}")
    own: Any = FunctionType(code, _attend.__globals__)
    return torch.compile(own, fullgraph=True, dynamic=False)
