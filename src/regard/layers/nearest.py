"""The slots that a query matches best, by inner product: found by PyTorch, or by FAISS where a store is very large."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from regard.equation.precision import full, no_autocast
from regard.layers.store import Store

_AT_ONCE = 1 << 16
"""Slots compared at a time: the matrix of all scores is never there whole."""


@torch.no_grad()
def best_slots(
    query: Float[Tensor, "batch steps features"],
    keys: Float[Tensor, "batch slots features"],
    lengths: Int[Tensor, " batch"],
    count: int,
) -> tuple[Int[Tensor, "batch steps best"], Bool[Tensor, "batch steps best"]]:
    """The `count` slots (or all, if there are fewer) with the highest q · k, and which of them are within the lengths.

    Exact; no gradient flows through the choice.
    """
    count = min(count, keys.shape[1])
    scores = full(query).new_zeros(*query.shape[:2], 0)
    slots = torch.zeros(scores.shape, dtype=torch.long, device=query.device)
    for start in range(0, keys.shape[1], _AT_ONCE):
        part = keys[:, start : start + _AT_ONCE]
        here = torch.arange(start, start + part.shape[1], device=query.device)
        with no_autocast(query.device):
            more = (full(query) @ full(part).mT).masked_fill(here >= lengths[:, None, None], -torch.inf)
        slots = torch.cat([slots, here.expand(more.shape)], 2)
        scores, at = torch.cat([scores, more], 2).topk(min(count, slots.shape[2]))
        slots = slots.gather(2, at)
    return slots, slots < lengths[:, None, None]


class Index:
    """A store with a FAISS index of each batch row's keys."""

    def __init__(self, store: Store, factory: str = "Flat") -> None:
        faiss = _faiss()
        self.store, self.factory = store, factory
        self._rows = []
        keys = full(store.keys.detach()).float().cpu()
        with _threads(faiss):
            for row, length in zip(keys, store.lengths.tolist(), strict=True):
                try:
                    index = faiss.index_factory(keys.shape[2], factory, faiss.METRIC_INNER_PRODUCT)
                except RuntimeError as error:
                    raise ValueError(
                        f"factory: expected a description that FAISS knows, such as 'Flat' or 'HNSW32', got {factory!r}"
                    ) from error
                written = row[:length].contiguous().numpy()
                if not index.is_trained:
                    index.train(written)
                index.add(written)
                self._rows.append(index)

    @property
    def keys(self) -> Tensor:
        """The store's."""
        return self.store.keys

    @property
    def values(self) -> Tensor:
        """The store's."""
        return self.store.values

    @property
    def lengths(self) -> Tensor:
        """The store's."""
        return self.store.lengths

    @property
    def slots(self) -> int:
        """The store's."""
        return self.store.slots

    @torch.no_grad()
    def best(
        self, query: Float[Tensor, "batch steps features"], count: int
    ) -> tuple[Int[Tensor, "batch steps best"], Bool[Tensor, "batch steps best"]]:
        """As `best_slots`, by FAISS."""
        faiss, count = _faiss(), min(count, self.slots)
        asked = full(query.detach()).float().cpu().contiguous()
        slots = torch.full((*query.shape[:2], count), -1)
        with _threads(faiss):
            for row, index in enumerate(self._rows):
                if count and query.shape[1]:
                    slots[row] = torch.from_numpy(index.search(asked[row].numpy(), count)[1])
        slots = slots.to(query.device)
        return slots.clamp(min=0), slots >= 0

    def __repr__(self) -> str:
        return f"Index({self.factory!r}, {len(self._rows)} rows, {self.slots} slots)"


def _faiss() -> Any:
    try:
        import faiss
    except ImportError as error:
        raise ValueError(
            "index: FAISS is not installed (pip install 'regard[memory]'); without it give the store itself, whose "
            "best slots PyTorch finds exactly"
        ) from error
    return faiss


@contextmanager
def _threads(faiss: Any) -> Iterator[None]:
    """FAISS brings threads of its own: as many as PyTorch's, while it works."""
    before = faiss.omp_get_max_threads()
    faiss.omp_set_num_threads(torch.get_num_threads())
    try:
        yield
    finally:
        faiss.omp_set_num_threads(before)
