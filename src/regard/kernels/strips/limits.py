"""What strips cannot do, where they do worse than SDPA, and what they cost."""

import torch

from regard.kernels.kernel import not_softmax_of_dots
from regard.kernels.problem import Problem
from regard.kernels.strips import jobs, loops

FEW = 2**23
"""Products of features over the pairs of one batch row and head below which a call of SDPA with a mask takes less."""


def refusals(problem: Problem) -> list[str]:
    """What no strip can do, a sentence each."""
    reasons = not_softmax_of_dots(problem, capped=True, sink=True)
    if problem.device != "cpu":
        reasons.append(f"it computes on cpu, not on {problem.device}")
    if torch.compiler.is_compiling():
        reasons.append("torch.compile cannot look into it")
    if problem.empty:
        reasons.append("a size is 0")
    return reasons


def doubts(problem: Problem) -> list[str]:
    """Why strips do worse than SDPA with a mask, whatever the mask hides."""
    reasons = []
    if problem.Tq * problem.Tk * problem.D < FEW:
        reasons.append("so few pairs take less time in one call with a mask")
    if problem.learned_matrix:
        reasons.append("each strip's gradient would go through the whole matrix that is learned")
    return reasons


def cost(problem: Problem, pairs: int, asked: int = 0) -> int:
    """What so many pairs take, some of which the mask is asked about, in pairs of SDPA with a mask as a tensor."""
    slowly = 2 * pairs + asked
    if slowly < problem.pairs or not _by_loops(problem, pairs):  # loops are not imported to learn what is known
        return slowly
    return pairs + asked // 2


def _by_loops(problem: Problem, pairs: int) -> bool:
    """Whether compiled loops compute it, and no slower; SDPA multiplies half formats faster, but in backward."""
    more = problem.bias or problem.after or problem.dropout
    quick = problem.dtype == torch.float32 or (problem.grad and problem.dtype != torch.float64)
    return quick and not more and pairs * problem.D >= jobs.FEW and loops.ready() is not None


def flops(problem: Problem, pairs: int) -> int:
    """Forward: 2 (D + Dv) for each pair; backward 2.5 times that (it computes the scores again)."""
    return int(pairs * 2 * (problem.D + problem.Dv) * (3.5 if problem.grad else 1))
