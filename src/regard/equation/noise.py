"""Where random draws come from: PyTorch's generator, or one of the caller's own, so that a draw can be made again.

A kernel that computes in parts and again for the gradient must draw the same numbers twice, while other threads draw
from PyTorch's generator as they like.
"""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import torch
import torch.nn.functional as F
from torch import Tensor


class _Source(threading.local):
    generator: torch.Generator | None = None


_source = _Source()


@contextmanager
def drawn_from(generator: torch.Generator) -> Iterator[None]:
    """Within it, in this thread, everything here draws from this generator."""
    before, _source.generator = _source.generator, generator
    try:
        yield
    finally:
        _source.generator = before


def gumbel(like: Tensor) -> Tensor:
    """-log(-log u), u uniform, for each number of `like`."""
    waits = torch.empty_like(like, memory_format=torch.contiguous_format).exponential_(generator=_source.generator)
    return -waits.clamp(min=torch.finfo(like.dtype).tiny).log()


def dropped(weights: Tensor, probability: float) -> Tensor:
    """Each weight 0 with this probability, the others scaled by 1 / (1 - probability)."""
    if _source.generator is None:
        return F.dropout(weights, probability)
    keep = torch.empty_like(weights, memory_format=torch.contiguous_format)
    return weights * keep.bernoulli_(1 - probability, generator=_source.generator).div_(1 - probability)
