"""Masks: which query may attend to which key, as rules that compose. **True means: may attend.**

    causal() & padding(lengths) & (window(128, 0) | tokens([0, 5]))

A mask is a rule over indices (`rules.py`); `&`, `|` and `~` combine masks into masks. It becomes a dense tensor only
when a kernel must have one. Its `structure` says what a kernel may skip without looking, its `key` lets plans be
cached, and `picture` draws it in the terminal.
"""

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NoReturn

import torch
from torch import Tensor

from regard.equation.rules import Grid, Rule, broadcasts, four_axes, pick


@dataclass(frozen=True)
class Structure:
    """Bounds that every allowed pair obeys: where a kernel finds work to skip.

    Positions are on the keys' line (the last query stands on the last key). None means: no bound known.
    """

    left: int | None = None
    """key >= query - left."""
    right: int | None = None
    """key <= query + right; 0 is causal."""
    lengths: bool = False
    """key < the batch row's `key_lengths()`."""
    block: int | None = None
    """The pair's block of this size is set in `layout()`."""
    exact: bool = False
    """Nothing but these bounds hides anything."""

    @property
    def causal(self) -> bool:
        """Whether no query sees a later key."""
        return self.right is not None and self.right <= 0

    def __and__(self, other: "Structure") -> "Structure":
        both_blocked = self.block is not None and other.block is not None
        return Structure(
            _tighter(self.left, other.left),
            _tighter(self.right, other.right),
            self.lengths or other.lengths,
            None if both_blocked else self.block or other.block,
            self.exact and other.exact and not both_blocked,
        )

    def __or__(self, other: "Structure") -> "Structure":
        return Structure(
            _looser(self.left, other.left), _looser(self.right, other.right), self.lengths and other.lengths
        )


def _tighter(a: int | None, b: int | None) -> int | None:
    return b if a is None else a if b is None else min(a, b)


def _looser(a: int | None, b: int | None) -> int | None:
    return None if a is None or b is None else max(a, b)


class Mask(Rule):
    """A rule that says which pairs may attend; combine with `&`, `|`, `~`."""

    structure = Structure()
    per_key = False
    """Whether the mask depends on the batch row and the key alone: such a mask can prepare keys."""

    @abstractmethod
    def __repr__(self) -> str: ...

    def key_lengths(self) -> Tensor | None:
        """The (B,) number of keys each batch row may see at most, where `structure.lengths`."""
        return None

    def layout(self) -> Tensor | None:
        """The block layout, where `structure.block`."""
        return None

    def __and__(self, other: "Mask") -> "Mask":
        return And(self, other) if isinstance(other, Mask) else NotImplemented

    def __or__(self, other: "Mask") -> "Mask":
        return Or(self, other) if isinstance(other, Mask) else NotImplemented

    def __invert__(self) -> "Mask":
        return Not(self)

    def __bool__(self) -> NoReturn:
        raise TypeError("a mask has no truth value: combine masks with &, |, ~ in the place of and, or, not")

    def picture(self, Tq: int, Tk: int, *, batch: int = 0, head: int = 0, cells: int = 40) -> str:
        """The mask drawn in text: rows are queries, columns are keys; ■ may attend, · may not, ▪ a cell with both.

        Beyond `cells` rows or columns, a cell stands for a block of pairs.
        """
        at = Grid.full(1, 1, Tq, Tk)
        at = at._replace(batch=at.batch + batch, head=at.head + head)
        allowed = self.at(at).expand(1, 1, Tq, Tk)[0, 0]
        size = max(1, -(-max(Tq, Tk) // cells))
        lines = []
        for rows in allowed.split(size) if Tq else ():
            blocks = rows.split(size, dim=1) if Tk else ()
            lines.append(" ".join("■" if block.all() else "▪" if block.any() else "·" for block in blocks))
        return "\n".join(lines)


class Causal(Mask):
    """key <= query."""

    key = ("causal",)
    structure = Structure(right=0, exact=True)

    def at(self, grid: Grid) -> Tensor:
        """See `Rule.at`."""
        return grid.key <= grid.query

    def __repr__(self) -> str:
        return "causal()"


class Window(Mask):
    """-left <= key - query <= right."""

    def __init__(self, left: int, right: int) -> None:
        for name, steps in (("left", left), ("right", right)):
            if not isinstance(steps, int) or isinstance(steps, bool) or steps < 0:
                raise ValueError(f"window: {name} must be a whole number of positions, 0 or more, got {steps!r}")
        self.left, self.right = left, right
        self.key = ("window", left, right)
        self.structure = Structure(left, right, exact=True)

    def at(self, grid: Grid) -> Tensor:
        """See `Rule.at`."""
        distance = grid.key - grid.query
        return (distance >= -self.left) & (distance <= self.right)

    def __repr__(self) -> str:
        return f"window({self.left}, {self.right})"


class Padding(Mask):
    """key < lengths[batch], and row < queries[batch] where given."""

    def __init__(self, lengths: Tensor | Sequence[int], queries: Tensor | Sequence[int] | None = None) -> None:
        self.lengths = _lengths("lengths", lengths)
        self.queries = None if queries is None else _lengths("queries", queries)
        self.tensors = (self.lengths,) if self.queries is None else (self.lengths, self.queries)
        self.key = ("padding", *(tensor.shape[0] for tensor in self.tensors))
        self.structure = Structure(lengths=True, exact=self.queries is None)
        self.per_key = self.queries is None

    def at(self, grid: Grid) -> Tensor:
        """See `Rule.at`."""
        allowed = grid.key < self.lengths.to(grid.key.device)[grid.batch]
        if self.queries is not None:
            allowed = allowed & (grid.row < self.queries.to(grid.key.device)[grid.batch])
        return allowed

    def check(self, B: int, H: int, Tq: int, Tk: int) -> None:
        """See `Rule.check`."""
        for name, tensor in zip(("lengths", "queries"), self.tensors, strict=False):
            if tensor.shape[0] != B:
                raise ValueError(f"padding: expected one of {name} per batch row, {B}, got {tensor.shape[0]}")

    def key_lengths(self) -> Tensor:
        """See `Mask.key_lengths`."""
        return self.lengths

    def __repr__(self) -> str:
        sizes = f"<{self.lengths.shape[0]} lengths>"
        return f"padding({sizes})" if self.queries is None else f"padding({sizes}, queries={sizes})"


class Documents(Mask):
    """ids[key] == ids[query]."""

    def __init__(self, ids: Tensor, queries: Tensor | None = None) -> None:
        self.ids = _per_position("ids", ids)
        self.queries = None if queries is None else _per_position("queries", queries)
        self.tensors = (self.ids,) if self.queries is None else (self.ids, self.queries)
        self.key = ("documents", *(tensor.shape for tensor in self.tensors))

    def at(self, grid: Grid) -> Tensor:
        """See `Rule.at`."""
        of_key, known_key = _look_up(self.ids, grid.batch, grid.key)
        if self.queries is None:
            of_query, known_query = _look_up(self.ids, grid.batch, grid.query)
        else:
            of_query, known_query = _look_up(self.queries, grid.batch, grid.row)
        return (of_key == of_query) & known_key & known_query

    def check(self, B: int, H: int, Tq: int, Tk: int) -> None:
        """See `Rule.check`."""
        for name, tensor, steps in zip(("ids", "queries"), self.tensors, (Tk, Tq), strict=False):
            if tensor.shape[0] not in (1, B) or tensor.shape[1] != steps:
                raise ValueError(
                    f"documents: expected {name} of shape ({B}, {steps}) or ({steps},), got {tuple(tensor.shape)}"
                )

    def __repr__(self) -> str:
        sizes = ", ".join(f"<{'x'.join(map(str, tensor.shape))}>" for tensor in self.tensors)
        return f"documents({sizes})"


class Tokens(Mask):
    """The query or the key is one of the global tokens."""

    def __init__(self, globals: Tensor | Sequence[int]) -> None:
        self.flags = _flags(globals)
        self.tensors = (self.flags,)
        self.key = ("tokens", self.flags.shape)

    def at(self, grid: Grid) -> Tensor:
        """See `Rule.at`."""
        key, key_known = _look_up(self.flags, grid.batch, grid.key)
        query, query_known = _look_up(self.flags, grid.batch, grid.query)
        return (key & key_known) | (query & query_known)

    def check(self, B: int, H: int, Tq: int, Tk: int) -> None:
        """See `Rule.check`."""
        if self.flags.shape[0] not in (1, B):
            raise ValueError(f"tokens: expected flags for {B} batch rows or for all alike, got {self.flags.shape[0]}")

    def __repr__(self) -> str:
        if self.flags.shape[0] == 1:
            return f"tokens({self.flags[0].nonzero().flatten().tolist()})"
        return f"tokens(<{'x'.join(map(str, self.flags.shape))}>)"


class Blocks(Mask):
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
        """See `Rule.at`."""
        coarse = grid._replace(row=grid.row // self.size, key=grid.key // self.size)
        return pick(self.blocks.to(grid.key.device), coarse)

    def check(self, B: int, H: int, Tq: int, Tk: int) -> None:
        """See `Rule.check`."""
        broadcasts("blocks: layout", self.blocks, B, H, -(-Tq // self.size), -(-Tk // self.size))

    def layout(self) -> Tensor:
        """See `Mask.layout`."""
        return self.blocks

    def __repr__(self) -> str:
        return f"blocks(<{'x'.join(map(str, self.blocks.shape))}>, {self.size})"


class Dense(Mask):
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
        """See `Rule.at`."""
        return pick(self.allowed, grid)

    def dense(self, B: int, H: int, Tq: int, Tk: int, device: torch.device | str | None = None) -> Tensor:
        """The tensor itself."""
        return self.allowed

    @property
    def device(self) -> torch.device | None:
        """See `Rule.device`."""
        return self.allowed.device

    def check(self, B: int, H: int, Tq: int, Tk: int) -> None:
        """See `Rule.check`."""
        broadcasts("dense", self.allowed, B, H, Tq, Tk)

    def __repr__(self) -> str:
        return f"dense(<{'x'.join(map(str, self.allowed.shape))}>)"


class _Pair(Mask):
    """Two masks combined; what a combination shares."""

    sign = ""

    def __init__(self, first: Mask, second: Mask) -> None:
        self.first, self.second = first, second
        self.key = (self.sign, first.key, second.key)
        self.tensors = first.tensors + second.tensors
        self.per_key = first.per_key and second.per_key

    @property
    def device(self) -> torch.device | None:
        """See `Rule.device`."""
        return self.first.device or self.second.device

    def check(self, B: int, H: int, Tq: int, Tk: int) -> None:
        """See `Rule.check`."""
        self.first.check(B, H, Tq, Tk)
        self.second.check(B, H, Tq, Tk)

    def __repr__(self) -> str:
        def inside(part: Mask) -> str:
            return f"({part!r})" if isinstance(part, _Pair) and part.sign != self.sign else repr(part)

        return f"{inside(self.first)} {self.sign} {inside(self.second)}"


class And(_Pair):
    """Both must allow the pair."""

    sign = "&"

    def __init__(self, first: Mask, second: Mask) -> None:
        super().__init__(first, second)
        self.structure = first.structure & second.structure

    def at(self, grid: Grid) -> Tensor:
        """See `Rule.at`."""
        return self.first.at(grid) & self.second.at(grid)

    def dense(self, B: int, H: int, Tq: int, Tk: int, device: torch.device | str | None = None) -> Tensor:
        """See `Rule.dense`."""
        return self.first.dense(B, H, Tq, Tk, device) & self.second.dense(B, H, Tq, Tk, device)

    def key_lengths(self) -> Tensor | None:
        """See `Mask.key_lengths`."""
        first, second = self.first.key_lengths(), self.second.key_lengths()
        return second if first is None else first if second is None else torch.minimum(first, second)

    def layout(self) -> Tensor | None:
        """See `Mask.layout`."""
        first, second = self.first.layout(), self.second.layout()
        return second if first is None else first


class Or(_Pair):
    """Either may allow the pair."""

    sign = "|"

    def __init__(self, first: Mask, second: Mask) -> None:
        super().__init__(first, second)
        self.structure = first.structure | second.structure

    def at(self, grid: Grid) -> Tensor:
        """See `Rule.at`."""
        return self.first.at(grid) | self.second.at(grid)

    def dense(self, B: int, H: int, Tq: int, Tk: int, device: torch.device | str | None = None) -> Tensor:
        """See `Rule.dense`."""
        return self.first.dense(B, H, Tq, Tk, device) | self.second.dense(B, H, Tq, Tk, device)

    def key_lengths(self) -> Tensor | None:
        """See `Mask.key_lengths`."""
        first, second = self.first.key_lengths(), self.second.key_lengths()
        return None if first is None or second is None else torch.maximum(first, second)


class Not(Mask):
    """What the mask hides, and nothing else."""

    def __init__(self, mask: Mask) -> None:
        self.mask = mask
        self.key = ("~", mask.key)
        self.tensors = mask.tensors
        self.per_key = mask.per_key

    def at(self, grid: Grid) -> Tensor:
        """See `Rule.at`."""
        return ~self.mask.at(grid)

    def dense(self, B: int, H: int, Tq: int, Tk: int, device: torch.device | str | None = None) -> Tensor:
        """See `Rule.dense`."""
        return ~self.mask.dense(B, H, Tq, Tk, device)

    @property
    def device(self) -> torch.device | None:
        """See `Rule.device`."""
        return self.mask.device

    def check(self, B: int, H: int, Tq: int, Tk: int) -> None:
        """See `Rule.check`."""
        self.mask.check(B, H, Tq, Tk)

    def __invert__(self) -> Mask:
        return self.mask

    def __repr__(self) -> str:
        return f"~({self.mask!r})" if isinstance(self.mask, _Pair) else f"~{self.mask!r}"


def causal() -> Mask:
    """No query sees a later key: key <= query. With fewer queries than keys, the last query stands on the last key."""
    return Causal()


def window(left: int, right: int) -> Mask:
    """A query sees `left` keys before its own position and `right` after it, both ends included."""
    return Window(left, right)


def padding(lengths: Tensor | Sequence[int], queries: Tensor | Sequence[int] | None = None) -> Mask:
    """Batch row b has `lengths[b]` keys; what lies beyond is padding, whose content never matters.

    `queries` likewise gives each row's number of queries: a query beyond it attends to nothing, so neither its content
    nor its gradient matters. Without it, padded queries attend like the others and yield rows to be ignored.
    """
    return Padding(lengths, queries)


def documents(ids: Tensor, queries: Tensor | None = None) -> Mask:
    """A query sees the keys of its own document: `ids` (B, Tk) or (Tk,) numbers them.

    Queries carry the ids of the positions on which they stand, or those in `queries` (B, Tq) or (Tq,).
    """
    return Documents(ids, queries)


def tokens(globals: Tensor | Sequence[int]) -> Mask:
    """The given tokens see every key and are seen by every query; nothing else is allowed (so combine with `|`).

    `globals` are positions (whole numbers), or a bool tensor of flags (B, T) or (T,).
    """
    return Tokens(globals)


def blocks(layout: Tensor, size: int) -> Mask:
    """Query i may see key j where `layout[i // size, j // size]`.

    `layout` is bool, (query blocks, key blocks) or (batch, heads, query blocks, key blocks), with sizes full or 1.
    """
    return Blocks(layout, size)


def dense(allowed: Tensor) -> Mask:
    """A bool tensor as a mask: (queries, keys) or (batch, heads, queries, keys), each size full or 1."""
    return Dense(allowed)


def as_mask(mask: Mask | Tensor) -> Mask:
    """A bool tensor as a mask; a mask as it is."""
    if isinstance(mask, Mask):
        return mask
    if isinstance(mask, Tensor):
        return Dense(mask)
    raise ValueError(f"mask: expected a rule such as causal() or a bool tensor, got {mask!r}")


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


def _flags(globals: Tensor | Sequence[int]) -> Tensor:
    if isinstance(globals, Tensor) and globals.dtype == torch.bool and globals.ndim in (1, 2):
        return globals if globals.ndim == 2 else globals[None]
    positions = globals.tolist() if isinstance(globals, Tensor) else list(globals)
    if any(not isinstance(position, int) or position < 0 for position in positions):
        raise ValueError(f"tokens: expected positions (whole numbers, 0 or more) or bool flags, got {positions}")
    flags = torch.zeros(1, max(positions, default=-1) + 1, dtype=torch.bool)
    flags[0, positions] = True
    return flags


def _look_up(table: Tensor, batch: Tensor, position: Tensor) -> tuple[Tensor, Tensor]:
    """table[batch, position], and whether there is such a position."""
    table = table.to(position.device)
    known = (position >= 0) & (position < table.shape[1])
    if not table.shape[1]:
        return known, known
    return table[batch if table.shape[0] > 1 else batch * 0, position.clamp(0, table.shape[1] - 1)], known
