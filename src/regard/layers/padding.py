"""What comes in: its format checked, and what nobody reads, told by lengths, flags or a mask, hidden before all else.

Layers that project their input hide first: a weight's gradient is gᵀ x, and with g exactly 0 and x NaN it is NaN.
"""

import torch
from jaxtyping import Bool, Int
from torch import Tensor

from regard.equation.looking import may_look
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


def blank(x: Tensor, unread: Tensor) -> Tensor:
    """x (B, T, features) with zeros where `unread` (B or 1, T); x itself where its numbers do no harm."""
    return x if harmless(x) else hidden(x, ~unread)


def harmless(*tensors: Tensor) -> bool:
    """Whether one may look and sees nothing that could do harm: no NaN, no products of products that overflow."""
    return all(may_look(x.device.type) and _tame(x) for x in tensors)


def _tame(x: Tensor) -> bool:
    norms = torch.linalg.vector_norm(x.detach(), dim=(-2, -1))  # of a slice, ten times as fast as one norm
    return bool((norms < torch.finfo(x.dtype).max ** 0.25).all())


def unread(mask: Mask, heads: int, batch: int, queries: int, keys: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """Which queries (B, Tq) may see nothing, and which keys (B, Tk) nobody may see, in no head."""
    mask.check(batch, heads, queries, keys)
    allowed = mask.dense(batch, heads, queries, keys, device).expand(-1, -1, queries, keys).any(1)
    return ~allowed.any(2), ~allowed.any(1)


def hides_whole_positions(mask: Mask, queries: int, keys: int) -> bool:
    """Whether a mask may leave a query without keys or a key without queries, as far as its structure tells."""
    s = mask.structure
    return not (s.exact and not s.lengths and s.block is None and queries == keys)


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
