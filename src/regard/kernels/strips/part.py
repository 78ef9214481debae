"""A strip for one batch row: what the call's rules say there, and the weights of a head."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from regard.equation.biases import Bias
from regard.equation.mask import Mask
from regard.equation.rules import Grid, Rule
from regard.kernels.strips.scratch import Scratch
from regard.kernels.strips.strip import Blocks, Strip, Window, product


@dataclass
class Work:
    """One call on its strips: what forward and backward have in common."""

    strips: Sequence[Strip]
    size: tuple[int, int, int, int]
    """B, H, Tq, Tk."""
    scale: float
    mask: Mask | None
    bias: Bias | None
    after: Bias | None
    dropout: float
    cap: float | None = None
    sink: Tensor | None = None
    """(H,)"""
    lengths: list[int] | None = None
    """Keys from this number on are hidden from the batch row, beside what a strip says."""
    band: tuple[int, int] | None = None
    """(left, right), where that and the lengths are all that hides."""
    seed: int = 0
    """What dropout's draws begin with."""

    def parts(self, *, once: bool = False) -> Iterator["Part"]:
        """Every strip for every batch row, with what the rules say there; said once where rows do not matter.

        With `once` a strip comes once for all batch rows where they do not matter, as b = -1.
        """
        B, H, _, _ = self.size
        varies = any(_varies(rule, B) for rule in (self.mask, self.bias, self.after))
        for number, strip in enumerate(self.strips):
            part = None
            heads = range(H) if strip.heads is None else strip.heads
            for b in range(B) if strip.batch is None else strip.batch:
                length = None if self.lengths is None else self.lengths[b]
                if isinstance(strip.keys, Window) and length is not None and length <= strip.keys.start:
                    continue  # there is padding alone
                if part is None or varies or length is not None:
                    part = Part.of(self, strip, b, heads, length)
                elif once:
                    continue
                alike = once and strip.batch is None and not varies and length is None
                yield part.for_row(-1 if alike else b, number)


@dataclass
class Part:
    """A strip for one batch row."""

    work: Work
    strip: Strip
    b: int
    heads: Sequence[int]
    grid: Grid
    hidden: Tensor | None
    """(tiles, heads or 1, height, asked): where the mask hides."""
    empty: Tensor | None
    """(tiles, heads or 1, height, 1): queries that see nothing."""
    bias: Tensor | None
    after: Tensor | None
    number: int = 0
    missed: Tensor | None = None
    """(tiles, height, 1): what a sink takes of each query's weights, of the head asked last."""

    @classmethod
    def of(cls, work: Work, strip: Strip, b: int, heads: Sequence[int], length: int | None) -> "Part":
        """What the call's rules say there of these heads."""
        _, _, Tq, Tk = work.size
        index = strip.keys.index(strip.tiles)[:, None, None]
        head = torch.tensor(heads).view(1, -1, 1, 1)
        grid = Grid(torch.full((1, 1, 1, 1), b), head, strip.row, index.clamp(max=Tk - 1), Tk - Tq, Tk)
        asks = strip.asks
        if length is not None and length <= int(index[-1, 0, 0, -1]):
            asks = strip.keys.width
        hidden = empty = None
        if asks:
            assert work.mask is not None
            hidden = ~work.mask.at(grid._replace(key=grid.key[..., :asks]))
            if isinstance(strip.keys, Blocks):
                hidden = hidden | (index[..., :asks] >= Tk)
            if asks == strip.keys.width:
                empty = _all(hidden)
        if strip.empty is not None:
            empty = strip.empty[:, None] if empty is None else empty | strip.empty[:, None]
        bias, after = (None if rule is None else rule.at(grid) for rule in (work.bias, work.after))
        return cls(work, strip, b, heads, grid, hidden, empty, bias, after)

    def for_row(self, b: int, number: int) -> "Part":
        """The same for another batch row, where rows do not matter."""
        self.b, self.number = b, number
        return self

    def weights(self, q: Tensor, k: Tensor, h: int, scratch: "Scratch", *, keep: bool = False) -> Tensor:
        """P (tiles, height, width) of head h; with `keep`, the tangent that a cap bends scores by stays in scratch."""
        strip, work = self.strip, self.work
        s = scratch("p", strip)
        if work.cap is None:
            product(q, k.mT, work.scale, s)
        else:
            t = scratch("tanh", strip) if keep else s
            torch.mul(product(q, k.mT, work.scale / work.cap, t).tanh_(), work.cap, out=s)
        if self.bias is not None:
            s += self._of(self.bias, h)
        for keys, added in strip.added:
            s[..., keys] += added
        if self.hidden is not None:
            s[..., : self.hidden.shape[-1]].masked_fill_(self._of(self.hidden, h), -math.inf)
        empty = None if self.empty is None else self._of(self.empty, h)
        if self.bias is not None:  # it may hide, too
            empty = s.amax(-1, keepdim=True) == -math.inf
        p = torch.softmax(s, -1, out=s) if work.sink is None else self._beside(work.sink[h], s)
        return p if empty is None else p.masked_fill_(empty, 0)

    def _beside(self, sink: Tensor, s: Tensor) -> Tensor:
        """The softmax of each row, in its place, less what the sink takes."""
        most = s.amax(-1, keepdim=True)
        p = torch.softmax(s, -1, out=s)
        above = sink - (most - p.amax(-1, keepdim=True).log_())  # the largest weight is e^{most - lse}
        self.missed = torch.sigmoid(above)
        if self.empty is not None or self.bias is not None:  # who sees nothing has no largest weight
            self.missed = self.missed.nan_to_num_()
        return p.mul_(torch.sigmoid(-above))

    def dropped(self, p: Tensor, h: int, scratch: "Scratch") -> Tensor:
        """P ∘ F."""
        if self.after is None and not self.work.dropout:
            return p
        return self.factored(scratch("dp", self.strip).copy_(p), h)

    def factored(self, x: Tensor, h: int) -> Tensor:
        """x ∘ F, in place."""
        if self.after is not None:
            x *= self._of(self.after, h)
        return self.kept(x, h)

    def kept(self, x: Tensor, h: int) -> Tensor:
        """What dropout leaves of x, in place: the same each time that this strip, row and head are asked."""
        rate = self.work.dropout
        if not rate:
            return x
        B, H, _, _ = self.work.size
        draws = torch.Generator().manual_seed(self.work.seed + (self.number * B + self.b) * H + h)
        return x.mul_(torch.empty_like(x).bernoulli_(1 - rate, generator=draws)).div_(1 - rate)

    def _of(self, x: Tensor, h: int) -> Tensor:
        """Head h's of (tiles or 1, heads or 1, ...)."""
        return x[:, self.place(x, h)]

    def place(self, x: Tensor, h: int) -> int:
        """Where head h stands in a rule's values."""
        return self.heads.index(h) if x.shape[1] > 1 else 0


def _varies(rule: Rule | None, B: int) -> bool:
    """Whether the rule's values are others for other batch rows."""
    if rule is None or B == 1:
        return False
    zero = torch.zeros(1, 1, 1, 1, dtype=torch.long)
    with torch.no_grad():
        return rule.at(Grid(torch.arange(B).view(B, 1, 1, 1), zero, zero, zero, 0, 1)).shape[0] > 1


def _all(hidden: Tensor) -> Tensor | None:
    """Queries from which everything is hidden; None where there are none."""
    rows = hidden.view(torch.uint8).amin(-1, keepdim=True).view(torch.bool)
    return rows if rows.any() else None
