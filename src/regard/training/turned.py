"""A matrix in the type that products take, as it stands and turned; and a turned one back.

oneDNN multiplies at its best what lies turned, and PyTorch's copy of a large turned matrix takes as long as half of the
product. In bfloat16 on a CPU compiled loops (`turned_loops.py`) do type, turning and factor in one pass, in a quarter
of the time, where numba is installed.
"""

from types import ModuleType

import torch
from jaxtyping import Float
from torch import Tensor

from regard.machine.loops import numbers, tried

FEW = 2**18  # numbers that take less than a millisecond, and no import
LANES = 16  # numbers at once: the columns are so many times a whole number


def both_ways(
    matrix: Float[Tensor, "rows columns"], dtype: torch.dtype
) -> tuple[Float[Tensor, "rows columns"], Float[Tensor, "columns rows"]]:
    """The matrix in `dtype`, as it stands and turned, each with its rows side by side."""
    loops = _loops_for(matrix, matrix.dtype, dtype)
    if loops is None:
        same = matrix.to(dtype).contiguous()
        return same, same.mT.contiguous()
    same, turned = matrix.new_empty(matrix.shape, dtype=dtype), matrix.new_empty(matrix.shape[::-1], dtype=dtype)
    loops.halve(numbers(matrix), len(matrix), numbers(same), numbers(turned))
    return same, turned


def turned_back(
    turned: Float[Tensor, "columns rows"], factor: Float[Tensor, ""], dtype: torch.dtype
) -> Float[Tensor, "rows columns"]:
    """`factor * turned.mT` in `dtype`, its rows side by side."""
    loops = _loops_for(turned.mT, dtype, turned.dtype)
    if loops is None:
        return (turned.to(dtype) * factor.to(dtype)).mT.contiguous()
    matrix = turned.new_empty(turned.shape[::-1], dtype=dtype)
    loops.widen(numbers(turned), len(matrix), factor.item(), numbers(matrix))
    return matrix


def _loops_for(matrix: Tensor, wide: torch.dtype, narrow: torch.dtype) -> ModuleType | None:
    """The loops, if they take such a matrix and it is worth it; ready for this thread."""
    fit = (wide, narrow) == (torch.float32, torch.bfloat16) and matrix.device.type == "cpu"
    loops = _loops() if fit and matrix.numel() >= FEW and matrix.shape[1] % LANES == 0 else None
    if loops is not None:
        loops.use_threads()
    return loops


@tried
def _loops() -> ModuleType:
    """The compiled loops."""
    from regard.training import turned_loops

    matrix, half = torch.zeros(16).numpy(), torch.zeros(16, dtype=torch.uint16).numpy()
    turned_loops.halve(matrix, 1, half, half.copy())
    turned_loops.widen(half, 1, 1.0, matrix)
    return turned_loops
