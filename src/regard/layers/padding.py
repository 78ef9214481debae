"""What comes in: its format checked, and its padding, told by lengths or flags, made harmless before all else.

Layers that project their input by themselves hide its padding first: 0 · NaN is NaN, forward and backward.
"""

import torch
from jaxtyping import Bool, Int
from torch import Tensor

from regard.equation.mask import Mask
from regard.equation.masks import dense
from regard.equation.precision import autocast

Within = Int[Tensor, " batch"] | Bool[Tensor, "batch time"]
"""How many positions of each batch row count, from the first on; or which ones do (True)."""


def within(lengths: Tensor | None, batch: int, width: int, device: torch.device, name: str = "lengths") -> Tensor:
    """Which of `width` positions count, (batch, width) bool; all where `lengths` is None. Errors call it by `name`."""
    if lengths is None:
        return torch.ones(batch, width, dtype=torch.bool, device=device)
    counts = lengths.dtype != torch.bool and not lengths.is_floating_point()
    if counts and lengths.shape == (batch,):
        return torch.arange(width, device=device) < lengths.to(device)[:, None]
    if lengths.dtype == torch.bool and lengths.shape == (batch, width):
        return lengths.to(device)
    raise ValueError(
        f"{name}: expected {batch} whole numbers, one a batch row, or a bool tensor ({batch}, {width}) that is True "
        f"where a position counts, got {lengths.dtype} of shape {tuple(lengths.shape)}"
    )


def hidden(states: Tensor, counts: Tensor) -> Tensor:
    """(batch, time, features) with zeros where `counts` (batch, time) is False, whatever stood there."""
    return torch.where(counts[..., None], states, 0)


def keys_within(counts: Tensor) -> Mask:
    """Every query may attend to the keys that count."""
    return dense(counts[:, None, None])


def both_within(queries: Tensor, keys: Tensor) -> Mask:
    """The queries that count may attend to the keys that count; the others to nothing."""
    return dense(queries[:, None, :, None]) & keys_within(keys)


def fits(x: Tensor, name: str, other: Tensor | None = None, whose: str = "the layer") -> None:
    """Raise ValueError unless x is in floating point and, where it meets another tensor, of its dtype and device."""
    if not isinstance(x, Tensor) or not x.is_floating_point():
        got = x.dtype if isinstance(x, Tensor) else repr(x)
        raise ValueError(f"{name}: expected a tensor in floating point, got {got}")
    if other is None:
        return
    if x.device != other.device:
        raise ValueError(f"{name}: expected on {other.device}, where {whose} is, got on {x.device}")
    if x.dtype != other.dtype and not autocast(x.device):
        raise ValueError(f"{name}: expected {other.dtype}, as {whose} has, got {x.dtype}")


def sequence(states: Tensor, name: str = "states", layer: Tensor | None = None) -> tuple[int, int, torch.device]:
    """Batch, time and device of (batch, time, features); raises ValueError for anything else."""
    fits(states, name, layer)
    if states.dim() != 3:
        raise ValueError(f"{name}: expected (batch, time, features), got shape {tuple(states.shape)}")
    return states.shape[0], states.shape[1], states.device
