"""Whether one may look at a tensor's numbers to skip work: free on CPU; on a GPU it waits; compiled, it cannot be."""

import torch
from torch import Tensor


def may_look(x: Tensor) -> bool:
    """Whether `bool(x.any())` and the like cost next to nothing here. Results never depend on it, only work does."""
    return x.device.type == "cpu" and not torch.compiler.is_compiling()
