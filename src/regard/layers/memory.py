"""Attention over an external store: what was written stays until it is overwritten, and queries read it in hops.

layer = MemoryAttention(capacity=1000)
store = layer.write(states, lengths)                     # (B, time, features), a slot a time step
store = layer.write(more, after=store)                   # later; stores are records and never change
context = layer(query, store)                            # (B, steps, features)
"""

__all__ = ["MemoryAttention"]

from typing import Any

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from regard.attend import attend, attend_with_weights
from regard.equation.masks import dense, padding
from regard.equation.precision import autocast
from regard.equation.scores import Dot
from regard.layers.nearest import Index, best_slots
from regard.layers.source import checked_lengths, refuse_with_memory
from regard.layers.store import Read, Store


class MemoryAttention(nn.Module):
    """c = Σ_s α(s) v_s with α = softmax_s(hᵀ m_s), over the slots m_s, v_s that were written.

    With several hops the query takes home what it read and asks again: u_1 = h, o_k = read(u_k), u_{k+1} = u_k + o_k;
    the result is the last o_k (Sukhbaatar 2015, arXiv 1503.08895). With `top_k`, each query reads only the slots it
    matches best, and softmax is over those (Wu 2022, arXiv 2203.08913): of a plain store PyTorch finds them, exactly;
    of a very large one `layer.index(store)` has FAISS find them.

    Args:
        hops: How many times it reads; more than once needs values as wide as queries.
        capacity: How many slots a batch row has; beyond that the oldest is overwritten. Without, all is kept.
        top_k: How many slots a query reads; without, all.
        scale: What hᵀ m is multiplied by; None is 1/√features.

    Raises:
        ValueError: hops, capacity or top_k below 1, or a scale that is not above 0.
    """

    def __init__(
        self,
        *,
        hops: int = 1,
        capacity: int | None = None,
        top_k: int | None = None,
        scale: float | None = 1.0,
    ):
        super().__init__()
        for name, number in (("hops", hops), ("capacity", capacity), ("top_k", top_k)):
            if number is not None and (not isinstance(number, int) or isinstance(number, bool) or number < 1):
                raise ValueError(f"{name}: expected a whole number, 1 or more, got {number!r}")
        if scale is not None and not scale > 0:
            raise ValueError(f"scale: expected a number above 0, or None for 1/√features, got {scale}")
        self.hops, self.capacity, self.top_k = hops, capacity, top_k
        self.score = Dot(scale)

    def write(
        self,
        states: Float[Tensor, "batch time features"],
        lengths: Int[Tensor, " batch"] | None = None,
        *,
        values: Float[Tensor, "batch time value_features"] | None = None,
        after: Store | None = None,
    ) -> Store:
        """A store that holds what `after` holds, and then the states; `after` itself stays as it is.

        `lengths` say how many states of each batch row there are (default: all); `values` are what reading brings, the
        states unless given. Slots stand from the oldest to the newest; beyond the capacity the oldest ones go.
        Gradients flow back to what was written.

        Raises ValueError for shapes that do not fit each other or `after`.
        """
        if states.dim() != 3:
            raise ValueError(f"states: expected (batch, time, features), got shape {tuple(states.shape)}")
        values = states if values is None else values
        batch, time, _ = states.shape
        if values.dim() != 3 or values.shape[:2] != (batch, time):
            raise ValueError(f"values: expected ({batch}, {time}, features), as states, got {tuple(values.shape)}")
        if lengths is None:
            lengths = torch.full((batch,), time, device=states.device)
        new = Store(states, values, checked_lengths(lengths, batch, states.device))
        return (new if after is None else after.followed_by(new)).newest(self.capacity)

    def index(self, store: Store, factory: str = "Flat") -> Index:
        """The store, with FAISS to find each query's best slots: for `layer(query, index)` with `top_k`.

        `factory` is FAISS' own description: "Flat" searches exactly; "HNSW32", "IVF1024,Flat" and the like are faster
        and miss some. Searching is in float32, and one index for each batch row. FAISS keeps a copy of the keys, as
        they are now. Raises ValueError where FAISS is not installed.
        """
        return Index(store, factory)

    def forward(
        self,
        query: Float[Tensor, "batch steps features"],
        store: Store | Index | Float[Tensor, "batch time features"],
        lengths: Int[Tensor, " batch"] | None = None,
    ) -> Float[Tensor, "batch steps value_features"]:
        """What the last hop reads; 0 where nothing was written. `store` may be states themselves, with `lengths`."""
        store = self._store(query, store, lengths)
        for _ in range(self.hops - 1):
            query = query + self._glance(query, store)
        return self._glance(query, store)

    def reads(
        self,
        query: Float[Tensor, "batch steps features"],
        store: Store | Index | Float[Tensor, "batch time features"],
        lengths: Int[Tensor, " batch"] | None = None,
    ) -> tuple[Read, ...]:
        """What each hop asked, found and used, differentiable; the first hop first."""
        store = self._store(query, store, lengths)
        found = [self._look(query, store)]
        for _ in range(self.hops - 1):
            query = query + found[-1].context
            found.append(self._look(query, store))
        return tuple(found)

    def weights(
        self,
        query: Float[Tensor, "batch steps features"],
        store: Store | Index | Float[Tensor, "batch time features"],
        lengths: Int[Tensor, " batch"] | None = None,
    ) -> Float[Tensor, "batch steps slots"]:
        """The last hop's weights over all slots, 0 on those not read."""
        store = self._store(query, store, lengths)
        return self.reads(query, store)[-1].over(store.slots, "weights")

    def scores(
        self,
        query: Float[Tensor, "batch steps features"],
        store: Store | Index | Float[Tensor, "batch time features"],
        lengths: Int[Tensor, " batch"] | None = None,
    ) -> Float[Tensor, "batch steps slots"]:
        """The last hop's scores over all slots, −∞ on those not read."""
        store = self._store(query, store, lengths)
        return self.reads(query, store)[-1].over(store.slots, "scores")

    def _store(self, query: Tensor, store: Store | Index | Tensor, lengths: Tensor | None) -> Store | Index:
        if query.dim() != 3:
            raise ValueError(f"query: expected (batch, steps, features), got shape {tuple(query.shape)}")
        if isinstance(store, Tensor):
            store = self.write(store, lengths)
        else:
            refuse_with_memory(lengths=lengths)
        if isinstance(store, Index) and self.top_k is None:
            raise ValueError("store: an index finds each query's best slots, so the layer must have top_k=...")
        if query.shape[::2] != store.keys.shape[::2]:
            batch, _, features = store.keys.shape
            raise ValueError(f"query: expected ({batch}, steps, {features}), as the store, got {tuple(query.shape)}")
        if query.device != store.keys.device or not (query.dtype == store.keys.dtype or autocast(query.device)):
            raise ValueError(
                f"query: expected {store.keys.dtype} on {store.keys.device}, as the store, got {query.dtype} on "
                f"{query.device}"
            )
        if self.hops > 1 and store.values.shape[2] != query.shape[2]:
            raise ValueError(
                f"values: more than one hop adds what was read to the query, so expected {query.shape[2]} features, "
                f"got {store.values.shape[2]}"
            )
        return store

    def _glance(self, query: Tensor, store: Store | Index) -> Tensor:
        """The context alone."""
        if self.top_k is not None:
            return self._look(query, store).context
        arguments, parts = self._at_all(query, store)
        return attend(*arguments, **parts)[:, 0]

    def _at_all(self, query: Tensor, store: Store | Index) -> tuple[tuple[Tensor, Tensor, Tensor], dict[str, Any]]:
        """The arguments of `attend` for reading every slot."""
        q, k, v = (x[:, None] for x in (query, store.keys, store.values))
        return (q, k, v), {"score": self.score, "mask": padding(store.lengths)}

    def _look(self, query: Tensor, store: Store | Index) -> Read:
        batch, steps, _ = query.shape
        if self.top_k is None:
            arguments, parts = self._at_all(query, store)
            found = attend_with_weights(*arguments, **parts)
            return Read(query, found.context[:, 0], found.weights[:, 0], found.scores[:, 0], None)
        slots, known = self._best(query, store)
        k, v = (_at(x, slots).flatten(0, 1)[:, None] for x in (store.keys, store.values))
        mask = dense(known.flatten(0, 1)[:, None, None])
        found = attend_with_weights(query.flatten(0, 1)[:, None, None], k, v, score=self.score, mask=mask)
        context, weights, scores = (
            x[:, 0, 0].unflatten(0, (batch, steps)) for x in (found.context, found.weights, found.scores)
        )
        return Read(query, context, weights, scores, slots)

    def _best(
        self, query: Tensor, store: Store | Index
    ) -> tuple[Int[Tensor, "batch steps best"], Bool[Tensor, "batch steps best"]]:
        """Each query's best slots, and which of them are there (a store may hold fewer than top_k)."""
        assert self.top_k is not None
        if isinstance(store, Index):
            return store.best(query, self.top_k)
        return best_slots(query, store.keys, store.lengths, self.top_k)


def _at(x: Tensor, slots: Tensor) -> Tensor:
    """(B, S, D) at slots (B, T, K): (B, T, K, D)."""
    flat = slots.flatten(1)[..., None].expand(-1, -1, x.shape[2])
    return x.gather(1, flat).unflatten(1, slots.shape[1:])
