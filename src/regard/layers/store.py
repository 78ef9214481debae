"""What a memory holds and what a reading found: records of tensors, which no operation changes."""

__all__ = ["Store"]

from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor


class Store(NamedTuple):
    """Slots, from the oldest to the newest; what stands beyond a row's length is never read."""

    keys: Float[Tensor, "batch slots features"]
    """What queries are compared with: m."""
    values: Float[Tensor, "batch slots value_features"]
    """What reading brings."""
    lengths: Int[Tensor, " batch"]
    """How many slots of each batch row are written."""

    @property
    def slots(self) -> int:
        """How many slots there is room for, written or not."""
        return self.keys.shape[1]

    def followed_by(self, new: "Store") -> "Store":
        """Both one after the other, without a gap in any row; raises ValueError where they do not fit."""
        for name, old, more in (("states", self.keys, new.keys), ("values", self.values, new.values)):
            if old.shape[::2] != more.shape[::2]:
                raise ValueError(
                    f"{name}: expected ({old.shape[0]}, time, {old.shape[2]}), as in the store that it follows, got "
                    f"{tuple(more.shape)}"
                )
            if old.dtype != more.dtype or old.device != more.device:
                raise ValueError(
                    f"{name}: expected {old.dtype} on {old.device}, as in the store that it follows, got {more.dtype} "
                    f"on {more.device}"
                )
        width = self.slots + new.slots
        slot = torch.arange(width, device=self.keys.device)
        old = self.lengths[:, None]
        source = torch.where(slot < old, slot, slot - old + self.slots).clamp(max=max(width - 1, 0))
        keys, values = (
            _picked(torch.cat(pair, 1), source) for pair in ((self.keys, new.keys), (self.values, new.values))
        )
        return Store(keys, values, self.lengths + new.lengths)

    def newest(self, count: int | None) -> "Store":
        """The newest `count` slots of each row; all where it is None."""
        if count is None or self.slots <= count:
            return self
        first = (self.lengths - count).clamp(min=0)[:, None]
        source = first + torch.arange(count, device=self.keys.device)
        return Store(_picked(self.keys, source), _picked(self.values, source), self.lengths.clamp(max=count))

    def select(self, rows: Int[Tensor, " rows"]) -> "Store":
        """Some of the batch rows."""
        return Store(*(x[rows] for x in self))


class Read(NamedTuple):
    """One hop: what was asked, what was found, and where. Differentiable."""

    query: Float[Tensor, "batch steps features"]
    context: Float[Tensor, "batch steps value_features"]
    weights: Float[Tensor, "batch steps found"]
    scores: Float[Tensor, "batch steps found"]
    which: Int[Tensor, "batch steps found"] | None
    """The slots that weights and scores are of; None: all, in order."""

    def over(self, slots: int, what: str) -> Float[Tensor, "batch steps slots"]:
        """Weights or scores spread over all slots: 0 or −∞ where none was found."""
        found: Tensor = getattr(self, what)
        if self.which is None:
            return found
        # A row with fewer slots than were asked for fills up with slots of weight 0: adding spoils no other's.
        if what == "weights":
            return found.new_zeros(*found.shape[:2], slots).scatter_add(2, self.which, found)
        empty = found.new_full((*found.shape[:2], slots), -torch.inf)
        return empty.scatter_reduce(2, self.which, found, "amax")


def _picked(x: Tensor, source: Tensor) -> Tensor:
    """x (B, S, D) at the slots (B, S')."""
    return x.gather(1, source[..., None].expand(-1, -1, x.shape[2]))
