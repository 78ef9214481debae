"""What strips cannot do, where they do worse than SDPA, and what they cost."""

import torch

from regard.kernels.kernel import not_softmax_of_dots
from regard.kernels.problem import Problem

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


def flops(problem: Problem, pairs: int) -> int:
    """Forward: 2 (D + Dv) for each pair; backward 2.5 times that (it computes the scores again)."""
    return int(pairs * 2 * (problem.D + problem.Dv) * (3.5 if problem.grad else 1))
