"""The plain computation as a kernel: it takes every problem, and builds the (Tq, Tk) matrices."""

from torch import Tensor

from regard.equation.reference import Attended, reference
from regard.kernels.kernel import Compute, Kernel
from regard.kernels.problem import Call, Problem


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


def _attended(call: Call) -> Attended:
    return reference(
        call.q,
        call.k,
        call.v,
        score=call.score,
        mask=call.mask,
        bias=call.bias,
        normaliser=call.normaliser,
        after=call.after,
        dropout=call.dropout,
    )


def _context(call: Call) -> Tensor:
    return _attended(call).context
