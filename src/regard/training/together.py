"""The processes of one run: those that torchrun started, or this one alone.

The first of them leads: it alone writes and speaks, and the others follow what it decides. Gradients of the processes
are summed, not averaged: each has already divided its loss by the tokens of all of them.
"""

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import TypeVar

import torch
import torch.distributed as dist
from torch import Tensor

from regard.errors import UserError

T = TypeVar("T")

PATIENCE = timedelta(days=1)  # the others wait while the first validates: no time limit for that


class Together:
    """This process among the `size` of a run; number 0 leads."""

    def __init__(self, number: int = 0, size: int = 1):
        self.number, self.size = number, size

    @property
    def leads(self) -> bool:
        """Whether this is the process that writes and speaks."""
        return self.number == 0

    def any(self, flag: bool) -> bool:
        """Whether it holds in any process; all learn the same."""
        return bool(self.sum(torch.tensor(float(flag)))) if self.size > 1 else flag

    def sum(self, tensor: Tensor) -> Tensor:
        """The sum over the processes, in place."""
        if self.size > 1:
            with self._company():
                dist.all_reduce(tensor)
        return tensor

    def sum_gradients(self, parameters: Iterable[torch.nn.Parameter]) -> None:
        """Replace each gradient by its sum over the processes; one that had nothing to learn from counts as 0."""
        if self.size == 1:
            return
        trained = [p for p in parameters if p.requires_grad]
        gradients = [torch.zeros_like(p) if p.grad is None else p.grad for p in trained]
        together = self.sum(torch.cat([gradient.flatten() for gradient in gradients]))
        for p, part in zip(trained, together.split([p.numel() for p in trained]), strict=True):
            p.grad = part.view_as(p)

    def leaders(self, value: T) -> T:
        """What the leading process has for `value`."""
        if self.size == 1:
            return value
        box = [value]
        with self._company():
            dist.broadcast_object_list(box, src=0, device=torch.device("cpu"))
        return box[0]

    @contextmanager
    def one_at_a_time(self) -> Iterator[None]:
        """The leading process does what is within, and only then the others."""
        if not self.leads:
            self.leaders(None)
        yield
        if self.leads:
            self.leaders(None)

    @contextmanager
    def _company(self) -> Iterator[None]:
        """When another process has ended before its time, it has said why: the leading one says how to go on."""
        try:
            yield
        except RuntimeError as error:
            if not self.leads:
                raise SystemExit(1) from None
            raise UserError("another process of the run has ended; mend what it says, and go on by --resume") from error


@contextmanager
def processes() -> Iterator[Together]:
    """The processes that torchrun started together with this one; within it, they can speak to each other.

    Without torchrun, this one alone. May be entered again inside itself.
    """
    size = int(os.environ.get("WORLD_SIZE", "1"))
    if size == 1:
        yield Together()
        return
    entered_before = dist.is_initialized()
    if not entered_before:
        gpu = torch.cuda.is_available()
        if gpu:
            torch.cuda.set_device(local_number())
        try:
            dist.init_process_group("cpu:gloo,cuda:nccl" if gpu else "gloo", timeout=PATIENCE)
        except ValueError as error:  # names the variable that is missing
            raise UserError(
                f"WORLD_SIZE is {size}, but {error}: start the processes with torchrun, or unset it"
            ) from None
    try:
        yield Together(dist.get_rank(), size)
    finally:
        if not entered_before:
            dist.destroy_process_group()


def local_number() -> int:
    """This process's number on its machine, which is also its GPU's."""
    return int(os.environ.get("LOCAL_RANK", "0"))
