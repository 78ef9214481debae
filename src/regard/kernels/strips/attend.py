"""A call by its strips, as a function with a gradient."""

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from regard.equation.precision import full, no_autocast
from regard.kernels.learned import in_full, learned
from regard.kernels.problem import Call, Problem
from regard.kernels.strips import loops, passes
from regard.kernels.strips.jobs import jobs_of
from regard.kernels.strips.part import Work
from regard.kernels.strips.strip import Strip
from regard.kernels.tiles import compared


def attend(
    call: Call,
    problem: Problem,
    strips: Sequence[Strip],
    *,
    lengths: list[int] | None = None,
    block: int = 1,
    band: tuple[int, int] | None = None,
) -> Tensor:
    """The context of a call, by its strips; keys are filled up to whole blocks where those are gathered.

    `band` says that a window so far to the left and right is all that hides, beside the lengths.
    """
    with no_autocast(call.q.device):
        q, k, v = (x if x.stride(-1) == 1 else x.contiguous() for x in inputs(call))
        call = in_full(call)
        if block > 1:
            over = -problem.Tk % block
            k, v = ((F.pad(x, (0, 0, 0, over)) if over else x).contiguous() for x in (k, v))
        sink = getattr(call.normaliser, "sink", None)
        work = Work(
            strips,
            (problem.B, problem.H, problem.Tq, problem.Tk),
            call.score.factor(problem.D),
            call.mask,
            call.bias,
            call.after,
            call.dropout,
            getattr(call.score, "cap", None),
            sink,
            lengths,
            band,
            int(torch.randint(2**62, ()).item()) if call.dropout else 0,
        )
        return _Attend.apply(work, q, k, v, sink, *learned(call.bias), *learned(call.after)).to(call.v.dtype)


def inputs(call: Call) -> tuple[Tensor, Tensor, Tensor]:
    """q, k, v as the score compares them, in one dtype and at least float32, harmless where no query may see them."""
    q, k, v = compared(call)
    dtype = torch.promote_types(torch.promote_types(full(q).dtype, k.dtype), v.dtype)
    return q.to(dtype), k.to(dtype), v.to(dtype)


class _Attend(torch.autograd.Function):
    """The context of a work; the sink and the tensors of its rules come along so that gradients find them."""

    @staticmethod
    def forward(
        ctx: Any, work: Work, q: Tensor, k: Tensor, v: Tensor, sink: Tensor | None, *of_rules: Tensor
    ) -> Tensor:
        ctx.save_for_backward(q, k, v, *of_rules)
        jobs = jobs_of(work, q)
        ctx.work, ctx.jobs = work, jobs if jobs is not None and loops.ready() is not None else None
        return passes.context(work, q, k, v) if ctx.jobs is None else loops.context(work, ctx.jobs, q, k, v)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple:
        if torch.is_grad_enabled():
            raise RuntimeError(
                "the gradient of this gradient is not there: compute with regard.kernel('reference') for one"
            )
        q, k, v, *of_rules = ctx.saved_tensors
        if ctx.jobs is None:
            return None, *passes.gradients(ctx.work, q, k, v, gradient.contiguous())
        return None, *loops.gradients(ctx.work, ctx.jobs, q, k, v, gradient), *(None for _ in of_rules)
