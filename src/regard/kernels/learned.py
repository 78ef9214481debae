"""What the parts of a call learn, for kernels that compute it block by block: every block has a share in a gradient.

Where shares are rounded to a half format, or their sum to its own digits at each block, errors grow with the number of
blocks, most of all for what stands in few numbers and is read everywhere: a sink, a scale, the width of a Gaussian.
So such a tensor is read in at least float32, its shares are added up in twice the digits, and the sum is rounded once.
"""

from copy import copy
from typing import Any

import torch
from torch import Tensor

from regard.equation.biases import Bias
from regard.equation.precision import full
from regard.equation.rules import Grid
from regard.kernels.problem import Call


def in_full(call: Call) -> Call:
    """The call with score, rules and normaliser that learn in at least float32, for blocks of prepared q, k and v."""
    if not torch.is_grad_enabled():
        return call
    parts = (call.score, call.bias, call.normaliser, call.after)
    score, bias, normaliser, after = (_in_full(part, {}) for part in parts)
    return call._replace(score=score, bias=bias, normaliser=normaliser, after=after)


def learned(*parts: Any) -> list[Tensor]:
    """The tensors of these parts that a gradient must reach, each once."""
    found = (x for part in parts for x in getattr(part, "tensors", ()))
    return list({id(x): x for x in found if x.requires_grad}.values())


def total(x: Tensor) -> Tensor:
    """Zeros like x, to which blocks add their shares of its gradient."""
    return torch.zeros_like(x, dtype=torch.float64 if full(x) is x else torch.float32)


class Gathered:
    """The gradient of one rule's tensors, gathered strip by strip."""

    def __init__(self, rule: Bias | None) -> None:
        self.rule = rule
        self.learned = learned(rule)
        self.wanted = bool(self.learned)
        self.sums = [total(tensor) for tensor in self.learned]
        self.gradient: Tensor | None = None

    def add(self, gradient: Tensor, values: Tensor, place: int) -> None:
        """Take in (tiles, height, width): of the rule's values (tiles, heads, height, width) for the head there."""
        if self.gradient is None:
            self.gradient = torch.zeros_like(values, dtype=gradient.dtype)
        here = self.gradient[:, place]
        here += gradient.sum_to_size(here.shape)

    def flow(self, grid: Grid) -> None:
        """Let what was taken in for this part of the grid flow into the tensors."""
        if self.gradient is None or self.rule is None:
            return
        with torch.enable_grad():
            values = self.rule.at(grid)
            found = torch.autograd.grad(values, self.learned, self.gradient.to(values.dtype), allow_unused=True)
        for place, part in zip(self.sums, found, strict=True):
            if part is not None:
                place += part
        self.gradient = None

    def gradients(self) -> list[Tensor]:
        """One for each of the rule's tensors that learns."""
        return [found.to(tensor.dtype) for found, tensor in zip(self.sums, self.learned, strict=True)]


def _in_full(part: Any, wide: dict[int, Tensor]) -> Any:
    """A copy that reads `wide`, tensors by the id of those they stand for, where the part learns in a half format.

    A part that keeps tensors elsewhere than in its attributes, or in those of its parts, is left as it is.
    """
    if not any(full(x) is not x for x in learned(part)):
        return part
    own = {name: x for name, x in vars(part).items() if isinstance(x, Tensor)}
    inner = {name: x for name, x in vars(part).items() if getattr(x, "tensors", ())}
    kept = {id(x) for x in (*own.values(), *(x for each in inner.values() for x in each.tensors))}
    if not kept.issuperset(map(id, part.tensors)):
        return part
    there = copy(part)
    for name, x in own.items():
        setattr(there, name, wide.setdefault(id(x), full(x)))
    for name, each in inner.items():
        setattr(there, name, _in_full(each, wide))
    there.tensors = tuple(wide.get(id(x), x) for x in part.tensors)
    return there
