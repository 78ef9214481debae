"""Padding, and nothing else hidden: each batch row asks its own keys alone, in a call of SDPA without a mask.

There is nothing behind the mask to make harmless, no mask to build, and no work on padding. Neighbours of equal length
share a call.
"""

from itertools import groupby

import torch
from torch import Tensor

from regard.equation.looking import may_look
from regard.equation.prepare import ready
from regard.kernels.kernel import Compute, Kernel
from regard.kernels.problem import Call, Problem
from regard.kernels.sdpa import Sdpa, fused

FEW = 2**21
"""Products of features over the pairs of one batch row below which calls of its own cost more than they save."""


class Lengths(Kernel):
    """`padding(lengths)`, with `causal()` or without, by SDPA over the keys that count."""

    name = "lengths"

    def refusals(self, problem: Problem) -> list[str]:
        """See `Kernel.refusals`."""
        reasons = Sdpa().refusals(problem)
        if problem.bias:
            reasons.append("it takes no bias")
        if not _is_padding(problem):
            reasons.append("the mask is not padding(lengths), alone or with causal() and a key for every query")
        elif not may_look(problem.device):
            reasons.append("it reads the lengths, which makes a GPU wait and torch.compile stop")
        return reasons

    def doubts(self, problem: Problem) -> list[str]:
        """See `Kernel.doubts`."""
        few = problem.H * problem.Tq * problem.Tk * problem.D < FEW
        return ["rows so short take less time in one call with a mask"] if few else []

    def flops(self, problem: Problem) -> int:
        """As SDPA's, at most: what padding saves is known when the lengths are."""
        pairs = problem.pairs // 2 if _is_causal(problem) else problem.pairs
        return int(pairs * 2 * (problem.D + problem.Dv) * (3.5 if problem.grad else 1))

    def bytes(self, problem: Problem) -> int:
        """Inputs and context once, the context again to put the rows together; backward two and a half times that."""
        context = problem.B * problem.H * problem.Tq * problem.Dv * problem.dtype.itemsize
        return int((problem.io_bytes + 2 * context) * (3.5 if problem.grad else 1))

    def bind(self, problem: Problem) -> Compute:
        """See `Kernel.bind`."""
        alone, causal = fused(problem), _is_causal(problem)

        def compute(call: Call) -> Tensor:
            q, k, v = ready(call.q, call.k, call.v, call.score, None)
            runs = _runs(call, problem.Tk)
            sizes = [rows for _, rows in runs]
            parts = zip(runs, q.split(sizes), k.split(sizes), v.split(sizes), strict=True)
            found = [
                alone(call, q, k[:, :, :length], v[:, :, :length], None, causal) if length else _nothing(q, k, v)
                for (length, _), q, k, v in parts
            ]
            return found[0] if len(found) == 1 else torch.cat(found)

        return compute


def _is_padding(problem: Problem) -> bool:
    s = problem.structure
    if s is None or not (s.exact and s.lengths) or s.block is not None or s.left is not None:
        return False
    return s.right is None or _is_causal(problem)


def _is_causal(problem: Problem) -> bool:
    return problem.structure is not None and problem.structure.right == 0 and problem.Tq == problem.Tk


def _runs(call: Call, most: int) -> list[tuple[int, int]]:
    """(length, how many neighbouring rows have it)."""
    assert call.mask is not None
    lengths = call.mask.key_lengths()
    assert lengths is not None
    return [(length, len(list(rows))) for length, rows in groupby(min(n, most) for n in lengths.tolist())]


def _nothing(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """Context 0 of queries without keys; a product over no keys has gradients, exactly 0."""
    heads = q.shape[1] // k.shape[1]
    none, nothing = (x[:, :, :0].repeat_interleave(heads, 1) for x in (k, v))
    return ((q @ none.mT.to(q.dtype)) @ nothing.to(q.dtype)).to(v.dtype)
