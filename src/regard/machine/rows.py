"""Products of many rows in few sizes: in bfloat16 a CPU compiles each new size, which takes longer than computing it.

oneDNN compiles for 1 to 10 ms what it then often computes in a tenth of that, and keeps about a thousand sizes. A batch
of sentences nearly always has a number of tokens that no batch of late had. With rows of zeros up to the next multiple
of `MANY`, the same few sizes come again and again.
"""

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

MANY = 128
FEW = 16  # of one step of a recurrence: what the processor multiplies at once


def linear(
    x: Float[Tensor, "*batch features"], weight: Float[Tensor, "out features"], bias: Tensor | None = None
) -> Float[Tensor, "*batch out"]:
    """x Wᵀ + b, as `torch.nn.functional.linear`."""
    if torch.compiler.is_compiling() or x.dim() < 2 or not recurring(x, x.shape[:-1].numel()):
        return F.linear(x, weight, bias)
    return F.linear(filled(x.flatten(0, -2)), weight, bias)[: x.shape[:-1].numel()].unflatten(0, x.shape[:-1])


def recurring(x: Tensor, rows: int) -> bool:
    """Whether a product of so many rows such as x's is better made in a size that comes again."""
    if rows <= MANY or not rows % MANY or x.device.type != "cpu":
        return False
    return (torch.get_autocast_dtype("cpu") if torch.is_autocast_enabled("cpu") else x.dtype) == torch.bfloat16


def filled(x: Float[Tensor, "rows features"]) -> Float[Tensor, "more features"]:
    """With rows of zeros up to the next multiple of `MANY`, where that pays."""
    return F.pad(x, (0, 0, 0, -len(x) % MANY)) if recurring(x, len(x)) else x
