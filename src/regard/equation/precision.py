"""At least float32: scores, normalisers and statistics never run in a half format, with autocast or without."""

from contextlib import AbstractContextManager, nullcontext

import torch
from torch import Tensor

_HALF = (torch.bfloat16, torch.float16)


def full(x: Tensor) -> Tensor:
    """The tensor in at least float32."""
    return x.float() if x.dtype in _HALF else x


def autocast(device: torch.device) -> bool:
    """Whether autocast is on for the device."""
    return device.type != "meta" and torch.is_autocast_enabled(device.type)


def no_autocast(device: torch.device) -> AbstractContextManager[object]:
    """Switch autocast off where it is on."""
    if autocast(device):
        return torch.autocast(device.type, enabled=False)
    return nullcontext()
