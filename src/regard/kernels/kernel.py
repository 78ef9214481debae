"""What a kernel is: it says what it cannot take, in words, what a problem costs it, and computes."""

from abc import ABC, abstractmethod
from collections.abc import Callable

from torch import Tensor

from regard.equation.reference import Attended
from regard.kernels.problem import Call, Problem

Compute = Callable[[Call], Tensor | Attended]
"""A kernel bound to a problem: a call to its context, or to `Attended` where the problem wants weights."""


class Kernel(ABC):
    """One way to compute the equation."""

    name: str

    @abstractmethod
    def refusals(self, problem: Problem) -> list[str]:
        """Why this kernel cannot take the problem, a sentence each; none when it can."""

    def doubts(self, problem: Problem) -> list[str]:
        """Why another kernel does better on a problem that this one can take; asked for by name, it takes it."""
        return []

    def leaves(self, problem: Problem, call: Call) -> str | None:
        """To which kernel this one leaves a call once it sees its numbers, and why; None where it computes it."""
        return None

    @abstractmethod
    def flops(self, problem: Problem) -> int:
        """Floating-point operations, a multiply-add counted as two; backward included where the problem has one."""

    @abstractmethod
    def bytes(self, problem: Problem) -> int:
        """Bytes to and from memory, at least; backward included where the problem has one."""

    @abstractmethod
    def bind(self, problem: Problem) -> Compute:
        """The computation for all calls like this one: whatever can be decided once is decided here."""


def not_softmax_of_dots(problem: Problem, *, capped: bool = False, sink: bool = False) -> list[str]:
    """Why a problem is not the context of a softmax of dot products, with a soft cap or a sink where that is told."""
    reasons = []
    if problem.weights:
        reasons.append("it does not return weights")
    if not (problem.is_dot or (capped and problem.capped)):
        reasons.append(f"the score {problem.score} is not a dot product")
    if not (problem.softmax or (sink and problem.sink)):
        reasons.append(f"it normalises by softmax only, not by {problem.normalise}")
    return reasons
