"""Heads: queries, keys and values through matrices of their own, the heads' results side by side through one more.

What the layers of several heads share. Where queries, keys and values come from the same features, their three matrices
are the rows of one, and a sequence that attends to itself passes through it in one product.
"""

from torch import Tensor, nn

from regard.layers.source import check_kind
from regard.layers.stacked import Stacked


class Projected(nn.Module):
    """x ↦ Q, K, V of each head, and Concat(head_1, ..., head_h) ↦ y; the arguments are `MultiHeadAttention`'s."""

    def __init__(
        self,
        features: int,
        heads: int,
        *,
        key_heads: int | None = None,
        key: int | None = None,
        value: int | None = None,
        head_features: int | None = None,
        value_head_features: int | None = None,
        bias: bool = True,
        output: bool = True,
    ):
        super().__init__()
        key_heads = heads if key_heads is None else key_heads
        _check_sizes(features, heads, key_heads, head_features)
        key = features if key is None else key
        value = key if value is None else value
        width = features // heads if head_features is None else head_features
        value_width = width if value_head_features is None else value_head_features
        self.heads, self.key_heads, self.width, self.value_width = heads, key_heads, width, value_width
        self.features, self.key_features, self.value_features = features, key, value
        widths = heads * width, key_heads * width, key_heads * value_width
        self.joint = Stacked(features, widths, bias) if features == key == value else None
        if self.joint is None:
            self.query, self.key, self.value = (
                Stacked(have, [out], bias) for have, out in zip((features, key, value), widths, strict=True)
            )
        self.output = nn.Linear(heads * value_width, features, bias=bias) if output else None
        if self.output is not None and bias:
            nn.init.zeros_(self.output.bias)

    def _check(self, name: str, x: Tensor, features: int) -> None:
        if not isinstance(x, Tensor) or x.dim() != 3 or x.shape[2] != features:
            got = f"shape {tuple(x.shape)}" if isinstance(x, Tensor) else repr(x)
            raise ValueError(f"{name}: expected (batch, time, {features} features), got {got}")
        check_kind(name, x, (self.query if self.joint is None else self.joint).weight)

    def _check_one_width(self) -> None:
        """Raise ValueError where a sequence cannot attend to itself."""
        if self.joint is None:
            raise ValueError(
                f"memory: this layer's keys have {self.key_features} and values {self.value_features} features, so the "
                f"query of {self.features} cannot be its own memory; give one"
            )

    def _project(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Queries, keys and values (B, heads, T, .) of one sequence."""
        if self.joint is None:
            raise ValueError(
                f"x: keys have {self.key_features} features and values {self.value_features}; give a memory"
            )
        q, k, v = self.joint(x)
        return (
            _heads(q, self.heads, self.width),
            _heads(k, self.key_heads, self.width),
            _heads(v, self.key_heads, self.value_width),
        )

    def _asks(self, x: Tensor) -> Tensor:
        """Queries (B, heads, T, .)."""
        (q,) = self.query(x) if self.joint is None else self.joint(x, 0, 1)
        return _heads(q, self.heads, self.width)

    def _answers(self, keys: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
        """Keys and values (B, key heads, T, .)."""
        if self.joint is None:
            (k,), (v,) = self.key(keys), self.value(values)
        elif keys is values:
            k, v = self.joint(keys, 1, 3)
        else:
            (k,), (v,) = self.joint(keys, 1, 2), self.joint(values, 2, 3)
        return _heads(k, self.key_heads, self.width), _heads(v, self.key_heads, self.value_width)

    def _join(self, context: Tensor, beyond: Tensor | None) -> Tensor:
        """Heads' contexts (B, H, T, .) side by side, through W^O, with 0 at padding."""
        y = context.transpose(1, 2).flatten(2)
        if self.output is not None:
            y = self.output(y)
        return y if beyond is None else y.masked_fill(beyond[..., None], 0)


def _heads(x: Tensor, heads: int, width: int) -> Tensor:
    """(B, T, heads * width) as (B, heads, T, width)."""
    return x.unflatten(-1, (heads, width)).transpose(1, 2)


def _check_sizes(features: int, heads: int, key_heads: int, head_features: int | None) -> None:
    if heads < 1 or (head_features is None and features % heads):
        raise ValueError(f"heads: expected a divisor of the {features} features, or head_features=, got {heads}")
    if key_heads < 1 or heads % key_heads:
        raise ValueError(f"key_heads: expected a divisor of the {heads} heads, got {key_heads}")
