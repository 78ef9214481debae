"""What the loops leave to `plain.py`: what they do not know, and what takes longer to hand them than to compute.

Among it a factor after the normaliser, which changes which weights are the largest, and float64, which would be another
set of loops for who checks a model, not for who reads one.
"""

from functools import cache

import torch

from regard.equation.normalisers import Softmax
from regard.equation.scores import Dot
from regard.kernels.problem import Call, Problem
from regard.observe.fused.sweep import statistics
from regard.observe.record import Observe

FEW = 2**18
"""Pairs below which the plain way takes some milliseconds, and no import."""


def refusals(problem: Problem, call: Call, request: Observe) -> list[str]:
    """Why the loops do not take the call, or had better not; nothing where they take it."""
    reasons = []
    if problem.device != "cpu":
        reasons.append(f"they run on a CPU, not on {problem.device}")
    if not (problem.is_dot or problem.capped):
        reasons.append(f"they know dot products, not {problem.score}")
    if type(call.normaliser) is not Softmax:
        reasons.append(f"they know the softmax, not {problem.normalise}")
    if problem.after:
        reasons.append("a factor follows the normaliser")
    if problem.dtype == torch.float64:
        reasons.append("they compute in float32, not in float64")
    if request.weights:
        reasons.append("all weights are wanted")
    if request.gradient:
        reasons.append("gradient × attention is wanted")
    if problem.empty or problem.pairs < FEW:
        reasons.append("so few pairs")
    if not reasons and (why := missing()):
        reasons.append(why)
    return reasons


@cache
def missing() -> str | None:
    """Why the loops cannot run here, if so: found out by running them once."""
    one = torch.ones(1, 1, 1, 1)
    try:
        statistics(Call(one, one, one, Dot(), None, None, Softmax(), None, 0.0, False), Observe())
    except ImportError:
        return "numba is not installed: pip install 'regard[fast]'"
    except Exception as error:  # whatever keeps a compiler from working must not keep anybody from looking
        return f"numba does not work here: {type(error).__name__}: {error}"
    return None
