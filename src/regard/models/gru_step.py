"""The pointwise part of a GRU's step on a CPU: one compiled loop, and one for its gradient, where numba is installed.

PyTorch takes a dozen passes over the states for it, and autograd twenty for the gradient; in a recurrent translator
that is a tenth of its training. The equations are `GRUCell`'s, which is what runs wherever these loops do not.
"""

from types import ModuleType
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from regard.machine.loops import numbers, tried

FEW = 2**13  # numbers of a state, from which a loop and its gradient are sooner done than PyTorch's operations
MANY = 2**17  # the same of a step without gradient, where the import has to pay within a few sentences
_HALF = torch.bfloat16


def takes(products: Float[Tensor, "... gates"], h: Float[Tensor, "... hidden"], trains: bool) -> bool:
    """Whether the loops compute this step: float32 or bfloat16 on a CPU, in rows of whole vectors, not too few.

    trains: it is told, as within an autograd function gradients are never enabled.
    """
    fits = h.numel() >= (FEW if trains else MANY) and not h.shape[-1] % 16 and products.dtype in (torch.float32, _HALF)
    on_cpu = h.device.type == "cpu" and h.dtype in (torch.float32, _HALF)
    return fits and on_cpu and not torch.compiler.is_compiling() and _loops() is not None


def step(
    known: Float[Tensor, "*rows gates"],
    fed: Float[Tensor, "*rows gates"] | None,
    recurrent: Float[Tensor, "*rows gates"],
    h: Float[Tensor, "*rows hidden"],
) -> Float[Tensor, "*rows hidden"]:
    """h' from W x + b, in two parts where something is fed, W_h h + b_h and h.

    Without gradient h' is float32; with it, of the dtype of the products, as autograd would have it.
    """
    parts = [x for x in (known, fed, recurrent, h) if x is not None]
    if torch.is_grad_enabled() and any(x.requires_grad for x in parts):
        return _Step.apply(known, fed, recurrent, h)
    new = torch.empty(h.shape)
    forward(known, fed, recurrent, h, new)
    return new


class _Step(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, known: Tensor, fed: Tensor | None, recurrent: Tensor, h: Tensor) -> Tensor:
        new = torch.empty(h.shape, dtype=recurrent.dtype)
        kept = torch.empty(*h.shape[:-1], 4 * h.shape[-1], dtype=recurrent.dtype)
        forward(known, fed, recurrent, h, new, kept)
        ctx.save_for_backward(kept, h)
        ctx.dtypes = known.dtype, None if fed is None else fed.dtype
        return new

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, d: Tensor) -> tuple:
        kept, h = ctx.saved_tensors
        of_input, of_recurrent = (kept.new_empty(*h.shape[:-1], 3 * h.shape[-1]) for _ in range(2))
        of_h = torch.empty(h.shape, dtype=h.dtype)
        backward(d, kept, h, of_input, of_recurrent, of_h)
        known, fed = ctx.dtypes
        return of_input.to(known), None if fed is None else of_input.to(fed), of_recurrent, of_h


def forward(
    known: Tensor, fed: Tensor | None, recurrent: Tensor, h: Tensor, new: Tensor, kept: Tensor | None = None
) -> None:
    """Write h' into `new`, and r, z, n and W_hn h + b_hn into `kept`, side by side; both contiguous."""
    loops = _loops()
    assert loops is not None
    loops.use_threads()
    flat, apart = _rows(known)
    nothing = new[:0]
    loops.gru(
        flat, apart, numbers(nothing if fed is None else fed), numbers(recurrent), numbers(h), numbers(new),
        numbers(nothing if kept is None else kept), (h.shape[:-1].numel(), h.shape[-1]),
    )  # fmt: skip


def backward(d: Tensor, kept: Tensor, h: Tensor, of_input: Tensor, of_recurrent: Tensor, of_h: Tensor) -> None:
    """Write the gradients of the two products, and of h apart from its product, from that of h'; all contiguous."""
    loops = _loops()
    assert loops is not None
    loops.use_threads()
    arrays = (numbers(x) for x in (d, kept, h, of_input, of_recurrent, of_h))
    loops.gru_back(*arrays, (h.shape[:-1].numel(), h.shape[-1]))


@tried
def _loops() -> ModuleType:
    """The compiled loops."""
    from regard.models import cells_loops

    x = numbers(torch.zeros(3 * cells_loops.LANES, dtype=_HALF))
    cells_loops.gru(x, len(x), x[:0], x, x, x.copy(), x[:0], (1, cells_loops.LANES))
    return cells_loops


def _rows(x: Tensor) -> tuple[Any, int]:
    """What lies between its first number and its last in a flat array, and how far apart the rows begin."""
    x = x.detach().flatten(0, -2)
    if x.stride(-1) != 1:
        x = x.contiguous()
    rows, size = x.shape
    apart = x.stride(0) if rows > 1 else size
    return numbers(x.as_strided(((rows - 1) * apart + size,), (1,))), apart
