"""What a mask is: a rule that says which query may attend to which key, what it tells a kernel, and how masks compose.

**True means: may attend.** `&`, `|` and `~` make masks of masks. A mask becomes a dense tensor only when a kernel must
have one; its `structure` says what a kernel may skip without looking, its `key` lets plans be cached, and `picture`
draws it in the terminal. The rules themselves are in `masks.py`.
"""

from abc import abstractmethod
from dataclasses import dataclass
from typing import NoReturn

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

    def layout(self, Tq: int, Tk: int, device: torch.device | str | None = None) -> Tensor | None:
        """Where `structure.block`: which blocks of a (Tq, Tk) grid allow anything, with four axes, sizes full or 1."""
        return None

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
