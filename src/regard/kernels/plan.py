"""Which kernel takes a problem, and why not the others.

Kernels stand in order of preference; the first that has nothing against the problem is chosen. A kernel asked for by
name (`with kernel("sdpa"):`) is chosen or raises its reasons: nothing falls back in silence.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace

from regard.kernels.additive import Additive
from regard.kernels.asked import asked as asked
from regard.kernels.asked import of_thread
from regard.kernels.banded import Banded
from regard.kernels.blocksparse import BlockSparse
from regard.kernels.flex import Flex
from regard.kernels.kernel import Compute, Kernel
from regard.kernels.lengths import Lengths
from regard.kernels.problem import Call, Problem
from regard.kernels.reference import Reference
from regard.kernels.sdpa import Sdpa
from regard.kernels.streamed import Streamed

KERNELS: tuple[Kernel, ...] = (
    Lengths(),
    Flex(),
    Banded(),
    BlockSparse(),
    Sdpa(),
    Additive(),
    Streamed(),
    Reference(),
)
"""In order of preference."""


@dataclass(frozen=True)
class Plan:
    """A problem, the kernel that takes it, and the computation, ready to be called."""

    problem: Problem
    kernel: str
    reasons: dict[str, list[str]]
    """For each kernel that refused: why."""
    flops: int
    """Floating-point operations, forward and, where gradients are wanted, backward."""
    bytes: int
    """Bytes to and from memory, at least."""
    compute: Compute
    left_to: str | None = None
    """To which kernel this one leaves a call with these numbers, and why; for who is told of one call."""

    def of(self, call: Call) -> "Plan":
        """This plan for one call, whose numbers may be read."""
        chosen = next(kernel for kernel in KERNELS if kernel.name == self.kernel)
        return replace(self, left_to=chosen.leaves(self.problem, call))

    def __str__(self) -> str:
        p = self.problem
        heads = f"{p.H} heads" if p.Hk == p.H else f"{p.H} heads in {p.Hk} groups"
        direction = "forward and backward" if p.grad else "forward"
        lines = [
            f"kernel    {self.kernel}" + (f", which leaves this call to {self.left_to}" if self.left_to else ""),
            f"problem   {p.B} rows, {heads}, {p.Tq} queries of {p.D}, {p.Tk} keys, values of {p.Dv}, "
            f"{str(p.dtype).removeprefix('torch.')} on {p.device}",
            f"score     {p.score}, {p.normalise}",
            f"mask      {p.mask or 'none'}",
            f"cost      {_quantity(self.flops)}FLOP, {_quantity(self.bytes)}B at least, {direction}",
        ]
        lines += [f"not {name}: {'; '.join(why)}" for name, why in self.reasons.items()]
        return "\n".join(lines)


def make(problem: Problem, name: str | None = None) -> Plan:
    """Choose a kernel, by name if given; raises ValueError with the reasons where the named one refuses."""
    refused: dict[str, list[str]] = {}
    for kernel in KERNELS:
        if name is not None and kernel.name != name:
            refused[kernel.name] = [f"{name} was asked for"]
            continue
        reasons = kernel.refusals(problem) or (kernel.doubts(problem) if name is None else [])
        if not reasons:
            return Plan(
                problem, kernel.name, refused, kernel.flops(problem), kernel.bytes(problem), kernel.bind(problem)
            )
        if name is not None:
            raise ValueError(f"kernel {name} was asked for and cannot take this call: {'; '.join(reasons)}")
        refused[kernel.name] = reasons
    raise AssertionError("the reference kernel refuses nothing")


@contextmanager
def kernel(name: str) -> Iterator[None]:
    """Ask for a kernel by name, in this thread, inside the `with`: it computes, or the call raises its reasons."""
    names = [known.name for known in KERNELS]
    if name not in names:
        raise ValueError(f"kernel: expected one of {', '.join(names)}, got {name!r}")
    before, of_thread.name = of_thread.name, name
    try:
        yield
    finally:
        of_thread.name = before


def _quantity(number: float) -> str:
    for unit in ("", "k", "M", "G", "T", "P"):
        if number < 1000:
            return f"{number:.3g} {unit}"
        number /= 1000
    return f"{number:.3g} E"
