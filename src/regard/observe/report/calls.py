"""What a watch saw, made ready to be shown: one batch row, as arrays, the steps of a generation joined.

While a model generates, each step is a call with one query (or a few). Where the steps continue each other, their
rows belong to one matrix: the queries follow on, and the keys of a step are the last ones there are so far. Calls that
do not continue each other stay apart.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from torch import Tensor

from regard.observe.record import Observed
from regard.observe.seen import Look, Seen

TOPK = 8  # how many of the largest are named where whole matrices were kept
SINK = 0.3  # of all a head's attention on one key (the threshold of Gu et al. 2025)


@dataclass(frozen=True)
class Call:
    """One matrix for each head, and its statistics; None where they were not recorded."""

    name: str
    number: int
    """Which of the module's calls this is, from 0."""
    cross: bool
    heads: tuple[int, ...]
    """Which of the model's heads these are."""
    queries: int
    keys: int
    first: int
    """The first query's position on the keys' line (self-attention) or among the queries."""
    steps: list[int] = field(default_factory=list)
    """Queries of each step of a generation; one entry for a call that stands alone."""
    weights: np.ndarray | None = None
    """(H, Tq, Tk), NaN where the mask hides."""
    mean: np.ndarray | None = None
    largest: np.ndarray | None = None
    cell: tuple[int, int] = (1, 1)
    positions: np.ndarray | None = None
    """(H, Tq, k), −1 where there is none."""
    strongest: np.ndarray | None = None
    entropy: np.ndarray | None = None
    mass: np.ndarray | None = None
    distance: np.ndarray | None = None

    def share(self) -> np.ndarray:
        """(H, Tk): of each head's whole attention, what each key got. Only where the mass was recorded."""
        assert self.mass is not None
        return self.mass / np.maximum(self.mass.sum(-1, keepdims=True), 1e-30)

    def sinks(self, head: int) -> np.ndarray:
        """The keys that take more than SINK of a head's attention, and more than thrice an even share."""
        if self.mass is None or not self.keys:
            return np.zeros(0, int)
        return np.flatnonzero(self.share()[head] > max(SINK, 3 / self.keys))


def calls(seen: Seen, row: int) -> list[Call]:
    """All that was seen of this batch row, in the order of the modules, generations joined.

    Raises ValueError for a row that a call does not have.
    """
    found = []
    for name in seen.names:
        looks = seen[name]
        if _continue_each_other(looks):
            found.append(_joined([_call(look, 0, row) for look in looks]))
        else:
            found.extend(_call(look, number, row) for number, look in enumerate(looks))
    return found


def _call(look: Look, number: int, row: int) -> Call:
    observed = look.observed
    batch, count, queries, keys = observed.size
    heads = tuple(range(count)) if look.heads is None else tuple(look.heads)
    if not 0 <= row < batch:
        raise ValueError(f"row {row}: {look.name} was called with {batch} batch rows; expected 0 to {batch - 1}")
    call = Call(
        look.name, number, look.cross, heads, queries, keys,
        first=0 if look.cross else max(keys - queries, 0),
        steps=[queries],
        weights=_weights(observed, row),
        positions=_array(None if observed.topk is None else observed.topk.positions, row),
        strongest=_array(None if observed.topk is None else observed.topk.weights, row),
        entropy=_array(observed.entropy, row),
        mass=_array(observed.mass, row),
        distance=_array(observed.distance, row),
    )  # fmt: skip
    if observed.map is not None:
        cell = observed.map.cell_rows, observed.map.cell_columns
        call = replace(call, mean=_array(observed.map.mean, row), largest=_array(observed.map.largest, row), cell=cell)
    return _derived(call)


def _array(tensor: Tensor | None, row: int) -> np.ndarray | None:
    return None if tensor is None else tensor[row].detach().cpu().numpy()


def _weights(observed: Observed, row: int) -> np.ndarray | None:
    if observed.weights is None:
        return None
    weights = observed.weights[row].detach().float().cpu().numpy().copy()
    if observed.allowed is not None:
        allowed = observed.allowed.expand(observed.weights.shape)[row].cpu().numpy()
        weights[~allowed] = np.nan
    empty = observed.lse[row].cpu().numpy() == -np.inf
    weights[empty] = np.nan
    return weights


def _derived(call: Call) -> Call:
    """The statistics that whole matrices hold anyway."""
    if call.weights is None:
        return call
    weights = np.nan_to_num(call.weights, nan=0.0)
    more: dict[str, Any] = {}
    if call.positions is None and call.keys:
        order = np.argsort(-weights, axis=-1, kind="stable")[..., :TOPK]
        strongest = np.take_along_axis(weights, order, -1)
        hidden = np.isnan(np.take_along_axis(call.weights, order, -1))
        more |= {"positions": np.where(hidden, -1, order), "strongest": np.where(hidden, 0.0, strongest)}
    if call.entropy is None:
        logs = np.log(weights, out=np.zeros_like(weights), where=weights > 0)
        more["entropy"] = -(weights * logs).sum(-1)
    if call.mass is None:
        more["mass"] = weights.sum(-2)
    if call.distance is None and not call.cross:
        apart = np.abs(np.arange(call.keys)[None] - (call.first + np.arange(call.queries))[:, None])
        more["distance"] = (weights * apart).sum(-1)
    return replace(call, **more)


def _continue_each_other(looks: Sequence[Look]) -> bool:
    """Whether calls are the steps of one generation, whose rows can be put into one matrix."""
    sizes = [look.observed.size for look in looks]
    if len(looks) < 2 or len({(*size[:2], look.cross) for size, look in zip(sizes, looks, strict=True)}) > 1:
        return False
    if not all(look.observed.weights is not None or look.observed.topk is not None for look in looks):
        return False
    so_far = sizes[0][3]
    for _, _, queries, keys in sizes[1:]:
        so_far += queries
        same_keys = keys == sizes[0][3] and queries == 1
        if not (same_keys if looks[0].cross else same_keys or keys == so_far):
            return False
    return True


def _joined(parts: Sequence[Call]) -> Call:
    """The steps as one call. A step's keys are the last there are so far, or a fixed store filled from the front."""
    first = parts[0]
    starts, so_far = [], first.keys
    for number, part in enumerate(parts):
        so_far += part.queries if number and not first.cross else 0
        starts.append(0 if first.cross or part.keys > so_far else so_far - part.keys)
    keys = max(start + part.keys for start, part in zip(starts, parts, strict=True))
    whole = replace(
        first,
        queries=sum(part.queries for part in parts),
        keys=keys,
        steps=[part.queries for part in parts],
        mean=None,
        largest=None,
        cell=(1, 1),
        weights=_placed([part.weights for part in parts], starts, keys),
        positions=_longest_k([_moved(part.positions, start) for part, start in zip(parts, starts, strict=True)], -1),
        strongest=_longest_k([part.strongest for part in parts], 0.0),
        entropy=_stacked([part.entropy for part in parts]),
        distance=_stacked([part.distance for part in parts]),
        mass=_added([part.mass for part in parts], starts, keys),
    )
    return whole


def _moved(positions: np.ndarray | None, start: int) -> np.ndarray | None:
    return None if positions is None else np.where(positions < 0, -1, positions + start)


def _stacked(arrays: Sequence[np.ndarray | None]) -> np.ndarray | None:
    there = [array for array in arrays if array is not None]
    return np.concatenate(there, axis=1) if len(there) == len(arrays) else None


def _longest_k(arrays: Sequence[np.ndarray | None], nothing: float) -> np.ndarray | None:
    there = [array for array in arrays if array is not None]
    if len(there) < len(arrays):
        return None
    k = max(array.shape[-1] for array in there)
    filled = [np.pad(a, ((0, 0), (0, 0), (0, k - a.shape[-1])), constant_values=nothing) for a in there]
    return np.concatenate(filled, axis=1)


def _placed(arrays: Sequence[np.ndarray | None], starts: Sequence[int], keys: int) -> np.ndarray | None:
    """Rows over all keys; what a step could not see is hidden."""
    rows = []
    for array, start in zip(arrays, starts, strict=True):
        if array is None:
            return None
        after = keys - start - array.shape[-1]
        rows.append(np.pad(array, ((0, 0), (0, 0), (start, after)), constant_values=np.nan))
    return np.concatenate(rows, axis=1)


def _added(arrays: Sequence[np.ndarray | None], starts: Sequence[int], keys: int) -> np.ndarray | None:
    total = None
    for array, start in zip(arrays, starts, strict=True):
        if array is None:
            return None
        padded = np.pad(array, ((0, 0), (start, keys - start - array.shape[-1])))
        total = padded if total is None else total + padded
    return total
