"""What tells attention about order: a turn of queries and keys (rotary), or a bias on the scores (ALiBi, T5's table).

    MultiHeadAttention(512, 8, positions=Rotary())

All three depend on distances alone, so a key/value cache, a packed batch and padding on the left need no care. A
newcomer gives `turn` or `bias`.
"""

__all__ = ["Alibi", "Rotary", "T5Relative"]

import torch
from jaxtyping import Float
from torch import Tensor, nn

from regard.equation.biases import Bias, alibi, relative
from regard.equation.precision import full


class Positions(nn.Module):
    """Order, as a layer of several heads asks for it; this one tells nothing."""

    def turn(
        self, x: Float[Tensor, "batch heads time features"], first: int
    ) -> Float[Tensor, "batch heads time features"]:
        """Queries or keys that stand at the positions first, first + 1, ..., made to know it."""
        return x

    def bias(self) -> Bias | None:
        """What is added to the scores."""
        return None


class Rotary(Positions):
    """Features i and i + D/2 of a query or key at position p are turned by the angle p · base^(−2i/D), i < D/2.

    The dot product of a query at m and a key at n then depends on m − n alone. D, the features of a head, must be even.
    The halves i and i + D/2 make a pair, as in Hugging Face's models; weights trained with neighbours 2i and 2i + 1 as
    pairs want the rows of W_Q and W_K of each head sorted: even ones first, then odd ones. Source: Su 2021.
    """

    def __init__(self, base: float = 10000.0):
        super().__init__()
        self.base = base

    def turn(
        self, x: Float[Tensor, "batch heads time features"], first: int
    ) -> Float[Tensor, "batch heads time features"]:
        """See `Positions.turn`. Angles and products are at least float32; the result has the dtype of x."""
        half, odd = divmod(x.shape[-1], 2)
        if odd:
            raise ValueError(f"positions: Rotary turns pairs of features, expected an even number, got {x.shape[-1]}")
        wide = full(x)
        speed = self.base ** (-torch.arange(half, dtype=wide.dtype, device=x.device) / half)
        angle = torch.arange(first, first + x.shape[-2], dtype=wide.dtype, device=x.device)[:, None] * speed
        cos, sin = angle.cos(), angle.sin()
        left, right = wide[..., :half], wide[..., half:]
        return torch.cat((left * cos - right * sin, right * cos + left * sin), -1).to(x.dtype)

    def extra_repr(self) -> str:
        """The base."""
        return f"base={self.base:g}"


class Alibi(Positions):
    """e grows by −slope_h · |key − query|, another slope for each of the `heads`; nothing is learned.

    Source: Press 2022; `regard.alibi` is the rule.
    """

    def __init__(self, heads: int):
        super().__init__()
        self.rule = alibi(heads)

    def bias(self) -> Bias:
        """See `Positions.bias`."""
        return self.rule


class T5Relative(Positions):
    """e grows by table[bucket(key − query), head], a learned number for each range of distances and head.

    `table` is (buckets, heads). `bidirectional` gives half of the buckets to later keys; `furthest` is the distance, in
    positions, from which all share a bucket. Source: Raffel 2020; `regard.relative` is the rule.
    """

    def __init__(self, heads: int, buckets: int = 32, *, bidirectional: bool = True, furthest: int = 128):
        super().__init__()
        self.table = nn.Parameter(torch.zeros(buckets, heads))
        self.bidirectional, self.furthest = bidirectional, furthest
        self.bias()  # so that sizes that do not fit are found here

    def bias(self) -> Bias:
        """See `Positions.bias`."""
        return relative(self.table, bidirectional=self.bidirectional, furthest=self.furthest)

    def extra_repr(self) -> str:
        """The sizes."""
        buckets, heads = self.table.shape
        return f"{heads}, {buckets}, bidirectional={self.bidirectional}, furthest={self.furthest}"
