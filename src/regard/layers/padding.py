"""What is padding: lengths or flags, checked, and the padding made harmless before anything is computed.

Layers that project their input by themselves hide its padding first: 0 · NaN is NaN, forward and backward.
"""

import torch
from jaxtyping import Bool, Int
from torch import Tensor

from regard.equation.mask import Mask
from regard.equation.masks import dense

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


def sequence(states: Tensor, name: str = "states") -> tuple[int, int, torch.device]:
    """Batch, time and device of (batch, time, features); raises ValueError for anything else."""
    if states.dim() != 3:
        raise ValueError(f"{name}: expected (batch, time, features), got shape {tuple(states.shape)}")
    return states.shape[0], states.shape[1], states.device
