"""The plain computation as a kernel: it takes every problem, and builds the (Tq, Tk) matrices."""

from typing import Any

from torch import Tensor

from regard.equation.biases import Bias
from regard.equation.mask import Mask
from regard.equation.normalisers import Normaliser
from regard.equation.prepare import Keys
from regard.equation.reference import Attended, reference
from regard.equation.scores import Score
from regard.kernels.kernel import Compute, Kernel
from regard.kernels.problem import Problem


class Reference(Kernel):
    """`equation.reference`, unchanged."""

    name = "reference"

    def refusals(self, problem: Problem) -> list[str]:
        """Nothing is refused."""
        return []

    def flops(self, problem: Problem) -> int:
        """Forward: pairs * (score + 2 Dv); backward twice that."""
        return problem.pairs * (problem.pair_flops + 2 * problem.Dv) * (3 if problem.grad else 1)

    def bytes(self, problem: Problem) -> int:
        """Inputs and context once; what the score writes, masked scores and weights twice; backward twice all that."""
        matrices = problem.pairs * (problem.pair_numbers + 2) * max(problem.dtype.itemsize, 4)
        return (problem.io_bytes + 2 * matrices) * (3 if problem.grad else 1)

    def bind(self, problem: Problem) -> Compute:
        """See `Kernel.bind`."""
        return _attended if problem.weights else _context


def _attended(
    q: Tensor,
    k: Tensor | Keys,
    v: Tensor,
    score: Score,
    mask: Mask | None,
    bias: Bias | None,
    normaliser: Normaliser,
    after: Bias | None,
    dropout: float,
) -> Attended:
    return reference(q, k, v, score=score, mask=mask, bias=bias, normaliser=normaliser, after=after, dropout=dropout)


def _context(*inputs: Any) -> Tensor:
    return _attended(*inputs).context
