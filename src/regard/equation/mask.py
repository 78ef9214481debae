"""What a mask is: a rule that says which query may attend to which key, what it tells a kernel, and how masks compose.

**True means: may attend.** `&`, `|` and `~` make masks of masks. A mask becomes a dense tensor only when a kernel must
have one; its `structure` says what a kernel may skip without looking, its `key` lets plans be cached, and `picture`
draws it in the terminal. The rules themselves are in `masks.py`.
"""

from abc import abstractmethod
from dataclasses import dataclass
from typing import NamedTuple, NoReturn

import torch
from torch import Tensor

from regard.equation.rules import WHOLE, Grid, Part, Rule


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
    """The pair's block of this size, its row and its key counted from the first, is set in `layout()`."""
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


class Corners(NamedTuple):
    """Rectangles of the grid, tiles, by the indices of their first and of their last pair, ends included."""

    first: Grid
    last: Grid

    @staticmethod
    def of(
        B: int, H: int, Tq: int, Tk: int, rows: int, keys: int, device: torch.device | str | None = None
    ) -> "Corners":
        """Every tile of `rows` by `keys` of a (B, H, Tq, Tk) problem; those at the ends may be smaller."""
        grid = Grid.full(B, H, Tq, Tk, device)
        first = grid._replace(row=grid.row[:, :, ::rows], key=grid.key[..., ::keys])
        row, key = (first.row + rows - 1).clamp(max=Tq - 1), (first.key + keys - 1).clamp(max=Tk - 1)
        return Corners(first, first._replace(row=row, key=key))


Cover = tuple[Tensor, Tensor]
"""Per tile, broadcasting: False in the first where no pair may attend, True in the second where all may, for certain.

Where neither is certain the first is True and the second False."""


class Mask(Rule):
    """A rule that says which pairs may attend; combine with `&`, `|`, `~`.

    Its `tensors` must be all that it reads, the given ones or views of them, no copies: what a kernel finds out about
    a mask it keeps until one of these is written to, and a mask that left one out would go on being what it was.
    """

    structure = Structure()
    per_key = False
    """Whether the mask depends on the batch row and the key alone: such a mask can prepare keys."""

    @abstractmethod
    def __repr__(self) -> str: ...

    def key_lengths(self) -> Tensor | None:
        """The (B,) number of keys each batch row may see at most, where `structure.lengths`."""
        return None

    def layout(self, Tq: int, Tk: int, device: torch.device | str | None = None) -> Tensor | None:
        """Where `structure.block`: which blocks of a (Tq, Tk) grid allow anything, with four axes, sizes full or 1."""
        return None

    def cover(self, corners: Corners) -> Cover:
        """Which tiles are empty, and which are full, without looking into them: here, as far as `structure` tells."""
        first, last = corners
        least, most = first.key - last.query, last.key - first.query  # of key - query, in the tile
        s = self.structure
        some = torch.ones_like(least, dtype=torch.bool)
        full = some if s.exact else ~some
        if s.left is not None:
            some, full = some & (most >= -s.left), full & (least >= -s.left)
        if s.right is not None:
            some, full = some & (least <= s.right), full & (most <= s.right)
        lengths = self.key_lengths() if s.lengths else None
        if lengths is not None:
            lengths = lengths.to(least.device)[first.batch]
            some, full = some & (first.key < lengths), full & (last.key < lengths)
        layout = None
        if s.block:
            layout = self.layout(first.keys - first.shift, first.keys, least.device)
        if layout is not None and s.block:
            ends = [x // s.block for x in (first.row, last.row, first.key, last.key)]
            seen, filled = pooled(layout, *ends)
            some, full = some & seen, full & filled
        return some, full

    def __and__(self, other: "Mask") -> "Mask":
        return _And(self, other) if isinstance(other, Mask) else NotImplemented

    def __or__(self, other: "Mask") -> "Mask":
        return _Or(self, other) if isinstance(other, Mask) else NotImplemented

    def __invert__(self) -> "Mask":
        return _Not(self)

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
        return self.first.device or self.second.device

    def check(self, B: int, H: int, Tq: int, Tk: int) -> None:
        self.first.check(B, H, Tq, Tk)
        self.second.check(B, H, Tq, Tk)

    def __repr__(self) -> str:
        def inside(part: Mask) -> str:
            return f"({part!r})" if isinstance(part, _Pair) and part.sign != self.sign else repr(part)

        return f"{inside(self.first)} {self.sign} {inside(self.second)}"


class _And(_Pair):
    """Both must allow the pair."""

    sign = "&"

    def __init__(self, first: Mask, second: Mask) -> None:
        super().__init__(first, second)
        self.structure = first.structure & second.structure

    def at(self, grid: Grid) -> Tensor:
        return self.first.at(grid) & self.second.at(grid)

    def cover(self, corners: Corners) -> Cover:
        (some, full), (other_some, other_full) = self.first.cover(corners), self.second.cover(corners)
        return some & other_some, full & other_full

    def dense(
        self, B: int, H: int, Tq: int, Tk: int, device: torch.device | str | None = None, part: Part = WHOLE
    ) -> Tensor:
        return self.first.dense(B, H, Tq, Tk, device, part) & self.second.dense(B, H, Tq, Tk, device, part)

    def key_lengths(self) -> Tensor | None:
        first, second = self.first.key_lengths(), self.second.key_lengths()
        return second if first is None else first if second is None else torch.minimum(first, second)

    def layout(self, Tq: int, Tk: int, device: torch.device | str | None = None) -> Tensor | None:
        first, second = self.first.layout(Tq, Tk, device), self.second.layout(Tq, Tk, device)
        return second if first is None else first


class _Or(_Pair):
    """Either may allow the pair."""

    sign = "|"

    def __init__(self, first: Mask, second: Mask) -> None:
        super().__init__(first, second)
        self.structure = first.structure | second.structure

    def at(self, grid: Grid) -> Tensor:
        return self.first.at(grid) | self.second.at(grid)

    def cover(self, corners: Corners) -> Cover:
        (some, full), (other_some, other_full) = self.first.cover(corners), self.second.cover(corners)
        return some | other_some, full | other_full

    def dense(
        self, B: int, H: int, Tq: int, Tk: int, device: torch.device | str | None = None, part: Part = WHOLE
    ) -> Tensor:
        return self.first.dense(B, H, Tq, Tk, device, part) | self.second.dense(B, H, Tq, Tk, device, part)

    def key_lengths(self) -> Tensor | None:
        first, second = self.first.key_lengths(), self.second.key_lengths()
        return None if first is None or second is None else torch.maximum(first, second)


class _Not(Mask):
    """What the mask hides, and nothing else."""

    def __init__(self, mask: Mask) -> None:
        self.mask = mask
        self.key = ("~", mask.key)
        self.tensors = mask.tensors
        self.per_key = mask.per_key

    def at(self, grid: Grid) -> Tensor:
        return ~self.mask.at(grid)

    def cover(self, corners: Corners) -> Cover:
        some, full = self.mask.cover(corners)
        return ~full, ~some

    def dense(
        self, B: int, H: int, Tq: int, Tk: int, device: torch.device | str | None = None, part: Part = WHOLE
    ) -> Tensor:
        return ~self.mask.dense(B, H, Tq, Tk, device, part)

    @property
    def device(self) -> torch.device | None:
        return self.mask.device

    def check(self, B: int, H: int, Tq: int, Tk: int) -> None:
        self.mask.check(B, H, Tq, Tk)

    def __invert__(self) -> Mask:
        return self.mask

    def __repr__(self) -> str:
        return f"~({self.mask!r})" if isinstance(self.mask, _Pair) else f"~{self.mask!r}"


def pooled(table: Tensor, top: Tensor, bottom: Tensor, left: Tensor, right: Tensor) -> Cover:
    """Whether any, and whether all, of a bool table's entries from (top, left) to (bottom, right), included, are set.

    `table` has four axes; the corners broadcast against the tiles' (1, 1, rows, columns).
    """
    sums = torch.nn.functional.pad(table.long().cumsum(2).cumsum(3), (1, 0, 1, 0))

    def above(row: Tensor, column: Tensor) -> Tensor:
        return sums[:, :, row.flatten()][..., column.flatten()]

    bottom, right = bottom + 1, right + 1
    count = above(bottom, right) - above(top, right) - above(bottom, left) + above(top, left)
    return count > 0, count == (bottom - top) * (right - left)
