"""Masks: which query may attend to which key, one rule a mask. **True means: may attend.**

    causal() & padding(lengths) & (window(128, 0) | tokens([0, 5]))

Mind the brackets: `&` binds tighter than `|`.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from regard.equation.mask import Corners, Cover, Mask, Structure
from regard.equation.rules import WHOLE, Grid, Part, broadcasts, four_axes, pick, zeros


class _Causal(Mask):
    """key <= query."""

    key = ("causal",)
    structure = Structure(right=0, exact=True)

    def at(self, grid: Grid) -> Tensor:
        return grid.key <= grid.query

    def __repr__(self) -> str:
        return "causal()"


class _Window(Mask):
    """-left <= key - query <= right."""

    def __init__(self, left: int, right: int) -> None:
        for name, steps in (("left", left), ("right", right)):
            if not isinstance(steps, int) or isinstance(steps, bool) or steps < 0:
                raise ValueError(f"window: {name} must be a whole number of positions, 0 or more, got {steps!r}")
        self.left, self.right = left, right
        self.key = ("window", left, right)
        self.structure = Structure(left, right, exact=True)

    def at(self, grid: Grid) -> Tensor:
        distance = grid.key - grid.query
        return (distance >= -self.left) & (distance <= self.right)

    def __repr__(self) -> str:
        return f"window({self.left}, {self.right})"


_LENGTHS, _BOTH_LENGTHS = Structure(lengths=True, exact=True), Structure(lengths=True)


class _Padding(Mask):
    """key < lengths[batch], and row < queries[batch] where given."""

    def __init__(self, lengths: Tensor | Sequence[int], queries: Tensor | Sequence[int] | None = None) -> None:
        self.lengths = _lengths("lengths", lengths)
        self.queries = None if queries is None else _lengths("queries", queries)
        self.tensors = (self.lengths,) if self.queries is None else (self.lengths, self.queries)
        self.key = ("padding", *(tensor.shape[0] for tensor in self.tensors))
        self.structure = _LENGTHS if self.queries is None else _BOTH_LENGTHS
        self.per_key = self.queries is None
        self._last: tuple[object, Tensor] = (None, self.lengths)

    def at(self, grid: Grid) -> Tensor:
        allowed = grid.key < self.lengths.to(grid.key.device)[grid.batch]
        if self.queries is not None:
            allowed = allowed & (grid.row < self.queries.to(grid.key.device)[grid.batch])
        return allowed

    def dense(
        self, B: int, H: int, Tq: int, Tk: int, device: torch.device | str | None = None, part: Part = WHOLE
    ) -> Tensor:
        if self.queries is not None:
            return super().dense(B, H, Tq, Tk, device, part)
        if part is not WHOLE or torch.compiler.is_compiling() or self.lengths.is_inference():
            return self._within(Tk, device, part)
        now, last = (Tk, device, self.lengths._version), self._last  # other threads may ask too
        if last[0] != now:  # a decoder asks the same at each step
            self._last = last = now, self._within(Tk, device, part)
        return last[1]

    def _within(self, Tk: int, device: torch.device | str | None, part: Part) -> Tensor:
        """The same as `at`, faster."""
        keys = torch.arange(Tk, device=device)[part.keys]
        return keys < self.lengths[part.batch].to(device)[:, None, None, None]

    def check(self, B: int, H: int, Tq: int, Tk: int) -> None:
        for name, tensor in zip(("lengths", "queries"), self.tensors, strict=False):
            if tensor.shape[0] != B:
                raise ValueError(f"padding: expected one of {name} per batch row, {B}, got {tensor.shape[0]}")

    def key_lengths(self) -> Tensor:
        return self.lengths

    def __repr__(self) -> str:
        sizes = f"<{self.lengths.shape[0]} lengths>"
        return f"padding({sizes})" if self.queries is None else f"padding({sizes}, queries={sizes})"


class _Documents(Mask):
    """ids[key] == ids[query]."""

    def __init__(self, ids: Tensor, queries: Tensor | None = None) -> None:
        self.ids = _per_position("ids", ids)
        self.queries = None if queries is None else _per_position("queries", queries)
        self.tensors = (self.ids,) if self.queries is None else (self.ids, self.queries)
        self.key = ("documents", *(tensor.shape for tensor in self.tensors))

    def at(self, grid: Grid) -> Tensor:
        of_key, known_key = _look_up(self.ids, grid, grid.key)
        if self.queries is None:
            of_query, known_query = _look_up(self.ids, grid, grid.query)
        else:
            of_query, known_query = _look_up(self.queries, grid, grid.row)
        return (of_key == of_query) & known_key & known_query

    def cover(self, corners: Corners) -> Cover:
        """By the smallest and the largest id in each tile: exact where a document's positions are neighbours."""
        first, last = corners
        of_query = (self.ids, first.query, last.query) if self.queries is None else (self.queries, first.row, last.row)
        least_q, most_q, known_q = _extremes(*of_query)
        least_k, most_k, known_k = (x.mT for x in _extremes(self.ids, first.key, last.key))
        one = (least_q == most_q) & (least_k == most_k) & (least_q == least_k)
        return (least_q <= most_k) & (least_k <= most_q), one & known_q & known_k

    def check(self, B: int, H: int, Tq: int, Tk: int) -> None:
        for name, tensor, steps in zip(("ids", "queries"), self.tensors, (Tk, Tq), strict=False):
            if tensor.shape[0] not in (1, B) or tensor.shape[1] != steps:
                raise ValueError(
                    f"documents: expected {name} of shape ({B}, {steps}) or ({steps},), got {tuple(tensor.shape)}"
                )

    def __repr__(self) -> str:
        sizes = ", ".join(f"<{_by(tensor)}>" for tensor in self.tensors)
        return f"documents({sizes})"


class _Tokens(Mask):
    """The query or the key is one of the global tokens."""

    def __init__(self, globals: Tensor | Sequence[int]) -> None:
        self.flags, self.shown = _flags(globals)
        self.tensors = (self.flags,)
        self.key = ("tokens", self.flags.shape)

    def at(self, grid: Grid) -> Tensor:
        key, key_known = _look_up(self.flags, grid, grid.key)
        query, query_known = _look_up(self.flags, grid, grid.query)
        return (key & key_known) | (query & query_known)

    def cover(self, corners: Corners) -> Cover:
        """By whether any, and whether all, of a tile's queries or keys are global."""
        first, last = corners
        flags = self.flags.long()
        least_q, most_q, known_q = _extremes(flags, first.query, last.query)
        least_k, most_k, known_k = (x.mT for x in _extremes(flags, first.key, last.key))
        return (most_q == 1) | (most_k == 1), ((least_q == 1) & known_q) | ((least_k == 1) & known_k)

    def check(self, B: int, H: int, Tq: int, Tk: int) -> None:
        if self.flags.shape[0] not in (1, B):
            raise ValueError(f"tokens: expected flags for {B} batch rows or for all alike, got {self.flags.shape[0]}")

    def __repr__(self) -> str:
        return f"tokens({self.shown})"


class _Blocks(Mask):
    """layout[row // size, key // size]."""

    def __init__(self, layout: Tensor, size: int) -> None:
        if not isinstance(layout, Tensor) or layout.dtype != torch.bool:
            raise ValueError(f"blocks: layout must be a bool tensor, got {_kind(layout)}")
        if size < 1:
            raise ValueError(f"blocks: size must be 1 or more positions, got {size}")
        self.blocks, self.size = four_axes("blocks: layout", layout), size
        self.tensors = (self.blocks,)
        self.key = ("blocks", self.blocks.shape, size)
        self.structure = Structure(block=size, exact=True)

    def at(self, grid: Grid) -> Tensor:
        coarse = grid._replace(row=grid.row // self.size, key=grid.key // self.size)
        return pick(self.blocks.to(grid.key.device), coarse)

    def check(self, B: int, H: int, Tq: int, Tk: int) -> None:
        broadcasts("blocks: layout", self.blocks, B, H, -(-Tq // self.size), -(-Tk // self.size))

    def layout(self, Tq: int, Tk: int, device: torch.device | str | None = None) -> Tensor:
        return self.blocks.to(device)

    def __repr__(self) -> str:
        return f"blocks(<{_by(self.blocks)}>, {self.size})"


class _Dense(Mask):
    """A bool tensor, given."""

    def __init__(self, allowed: Tensor) -> None:
        if not isinstance(allowed, Tensor) or allowed.dtype != torch.bool:
            raise ValueError(
                f"dense: expected a bool tensor (True: may attend), got {_kind(allowed)}; "
                f"numbers to be added to the scores are a bias: bias=..."
            )
        self.allowed = four_axes("dense", allowed)
        self.tensors = (self.allowed,)
        self.key = ("dense", self.allowed.shape, self.allowed.device)
        self.per_key = self.allowed.shape[1] == self.allowed.shape[2] == 1

    def at(self, grid: Grid) -> Tensor:
        return pick(self.allowed, grid)

    def dense(
        self, B: int, H: int, Tq: int, Tk: int, device: torch.device | str | None = None, part: Part = WHOLE
    ) -> Tensor:
        """The tensor itself, or a view of it."""
        return self.allowed if part is WHOLE else part.of(self.allowed)

    def cover(self, corners: Corners) -> Cover:
        """By looking at every entry."""
        first, last = corners
        most = least = self.allowed.view(torch.uint8).to(first.key.device)
        for dim, start, end in ((2, first.row, last.row), (3, first.key, last.key)):
            if most.shape[dim] > 1:
                size = int(end.flatten()[0] - start.flatten()[0]) + 1  # of all but, perhaps, the last
                most = torch.cat([part.amax(dim, keepdim=True) for part in most.split(size, dim)], dim)
                least = torch.cat([part.amin(dim, keepdim=True) for part in least.split(size, dim)], dim)
        return most.bool(), least.bool()

    @property
    def device(self) -> torch.device | None:
        return self.allowed.device

    def check(self, B: int, H: int, Tq: int, Tk: int) -> None:
        broadcasts("dense", self.allowed, B, H, Tq, Tk)

    def __repr__(self) -> str:
        return f"dense(<{_by(self.allowed)}>)"


def causal() -> Mask:
    """No query sees a later key: key <= query. With fewer queries than keys, the last query stands on the last key."""
    return _Causal()


def window(left: int, right: int) -> Mask:
    """A query sees `left` keys before its own position and `right` after it, both ends included."""
    return _Window(left, right)


def padding(lengths: Tensor | Sequence[int], queries: Tensor | Sequence[int] | None = None) -> Mask:
    """Batch row b has `lengths[b]` keys; what lies beyond is padding, whose content never matters.

    `queries` likewise gives each row's number of queries: a query beyond it attends to nothing, so neither its content
    nor its gradient matters. Without it, padded queries attend like the others and yield rows to be ignored.
    """
    return _Padding(lengths, queries)


def documents(ids: Tensor, queries: Tensor | None = None) -> Mask:
    """A query sees the keys of its own document: `ids` (B, Tk) or (Tk,) numbers them.

    Queries carry the ids of the positions on which they stand, or those in `queries` (B, Tq) or (Tq,).
    """
    return _Documents(ids, queries)


def tokens(globals: Tensor | Sequence[int]) -> Mask:
    """The given tokens see every key and are seen by every query; nothing else is allowed (so combine with `|`).

    `globals` are positions (whole numbers), or a bool tensor of flags (B, T) or (T,).
    """
    return _Tokens(globals)


def blocks(layout: Tensor, size: int) -> Mask:
    """Query i may see key j where `layout[i // size, j // size]`.

    `layout` is bool, (query blocks, key blocks) or (batch, heads, query blocks, key blocks), with sizes full or 1.
    """
    return _Blocks(layout, size)


def dense(allowed: Tensor) -> Mask:
    """A bool tensor as a mask: (queries, keys) or (batch, heads, queries, keys), each size full or 1."""
    return _Dense(allowed)


def as_mask(mask: Mask | Tensor) -> Mask:
    """A bool tensor as a mask; a mask as it is."""
    if isinstance(mask, Mask):
        return mask
    if isinstance(mask, Tensor):
        return _Dense(mask)
    raise ValueError(f"mask: expected a rule such as causal() or a bool tensor, got {mask!r}")


def _by(tensor: Tensor) -> str:
    return "x".join(map(str, tensor.shape))


def _kind(thing: object) -> str:
    return f"a {thing.dtype} tensor" if isinstance(thing, Tensor) else repr(thing)


def _lengths(name: str, lengths: Tensor | Sequence[int]) -> Tensor:
    tensor = lengths if isinstance(lengths, Tensor) else torch.tensor(lengths, dtype=torch.long)
    if tensor.ndim != 1 or tensor.is_floating_point() or tensor.dtype == torch.bool:
        raise ValueError(
            f"padding: {name} must be whole numbers, one per batch row, shape (B,), "
            f"got {tensor.dtype} of shape {tuple(tensor.shape)}"
        )
    return tensor


def _per_position(name: str, ids: Tensor) -> Tensor:
    if not isinstance(ids, Tensor) or ids.is_floating_point() or ids.ndim not in (1, 2):
        raise ValueError(f"documents: {name} must be a tensor of whole numbers, (B, T) or (T,), got {_kind(ids)}")
    return ids if ids.ndim == 2 else ids[None]


def _flags(globals: Tensor | Sequence[int]) -> tuple[Tensor, str]:
    """Flags (1 or B, T), and how to show them."""
    if isinstance(globals, Tensor) and globals.dtype == torch.bool and globals.ndim in (1, 2):
        return globals if globals.ndim == 2 else globals[None], f"<{_by(globals)}>"
    positions = globals.tolist() if isinstance(globals, Tensor) else list(globals)
    if any(not isinstance(position, int) or position < 0 for position in positions):
        raise ValueError(f"tokens: expected positions (whole numbers, 0 or more) or bool flags, got {positions}")
    flags = torch.zeros(1, max(positions, default=-1) + 1, dtype=torch.bool)
    flags[0, positions] = True
    return flags, str(positions)


def _extremes(table: Tensor, first: Tensor, last: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Of the entries from `first` to `last`: the least, the most (B or 1, 1, tiles, 1), and whether all of them exist.

    Of those that do not exist nothing counts; where none does, the least is more than the most.
    """
    table = table.to(first.device)
    steps, first, last = table.shape[1], first.flatten(), last.flatten()
    size = int((last - first).amax()) + 1 if len(first) else 1
    places = first[:, None] + torch.arange(size, device=first.device)
    exists = (places >= 0) & (places < steps)
    counts = exists & (places <= last[:, None])
    entries = table[:, places.clamp(0, steps - 1)] if steps else table.new_zeros(1, *places.shape)
    limits = torch.iinfo(table.dtype)
    least = entries.masked_fill(~counts, limits.max).amin(2)
    most = entries.masked_fill(~counts, limits.min).amax(2)
    known = (first >= 0) & (last < steps)
    return least[:, None, :, None], most[:, None, :, None], known[:, None]


def _look_up(table: Tensor, grid: Grid, position: Tensor) -> tuple[Tensor, Tensor]:
    """table[batch, position], and whether there is such a position."""
    table = table.to(position.device)
    known = (position >= 0) & (position < table.shape[1])
    if not table.shape[1]:
        return known, known
    batch = zeros(grid) if table.shape[0] == 1 else grid.batch
    return table[batch, position.clamp(0, table.shape[1] - 1)], known
