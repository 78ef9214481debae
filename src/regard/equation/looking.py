"""Whether one may look at a tensor's numbers to skip work: free on CPU; on a GPU it waits; compiled, it cannot be."""

import torch


def may_look(device: str) -> bool:
    """Whether `bool(x.any())` and the like cost next to nothing there. Results never depend on it, only work does."""
    return device == "cpu" and not torch.compiler.is_compiling()
