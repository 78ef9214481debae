"""Biases: what is added to the scores, as rules over indices that compose by `+`.

    alibi(heads) + relative(table) + tensor

A bias may hold parameters: gradients flow into them. `bias.exp()` is the same rule as a factor on the weights: adding
log f before the softmax and multiplying by f after it differ only in who normalises.
"""

import math
from typing import Union

import torch
from jaxtyping import Float
from torch import Tensor

from regard.equation.precision import full
from regard.equation.rules import WHOLE, Grid, Part, Rule, broadcasts, four_axes, pick


class Bias(Rule):
    """A number for every (batch, head, query, key), in floating point."""

    def __add__(self, other: Union["Bias", Tensor]) -> "Bias":
        return _Sum(self, as_bias(other)) if isinstance(other, Bias | Tensor) else NotImplemented

    __radd__ = __add__

    def exp(self) -> "Bias":
        """The exponential of this rule: a factor for `attend(..., after=...)`."""
        return _Exp(self)


class _Alibi(Bias):
    """-slope[head] * |key - query|."""

    def __init__(self, slopes: Tensor) -> None:
        self.slopes = slopes
        self.tensors = (slopes,)
        self.key = ("alibi", slopes.shape[0])

    def at(self, grid: Grid) -> Tensor:
        return -self.slopes.to(grid.key.device)[grid.head] * (grid.key - grid.query).abs()

    def check(self, B: int, H: int, Tq: int, Tk: int) -> None:
        _heads("alibi", self.slopes.shape[0], H)


class _Relative(Bias):
    """table[bucket(key - query), head]."""

    def __init__(self, table: Tensor, bidirectional: bool, furthest: int) -> None:
        self.table, self.bidirectional, self.furthest = table, bidirectional, furthest
        self.tensors = (table,)
        self.key = ("relative", table.shape, bidirectional, furthest)

    def at(self, grid: Grid) -> Tensor:
        return self.table[self.bucket(grid.key - grid.query), grid.head]

    def bucket(self, distance: Tensor) -> Tensor:
        """T5's buckets: one for each near distance, then logarithmically wider ones up to `furthest`."""
        buckets, first = self.table.shape[0], torch.zeros_like(distance)
        if self.bidirectional:
            buckets //= 2
            first = (distance > 0) * buckets
            distance = distance.abs()
        else:
            distance = (-distance).clamp(min=0)
        exact = buckets // 2
        octaves = torch.log(distance.clamp(min=1).float() / exact) / math.log(self.furthest / exact)
        far = (exact + (octaves * (buckets - exact)).long()).clamp(max=buckets - 1)
        return first + torch.where(distance < exact, distance, far)

    @property
    def device(self) -> torch.device | None:
        return self.table.device

    def check(self, B: int, H: int, Tq: int, Tk: int) -> None:
        _heads("relative", self.table.shape[1], H)


class _Gaussian(Bias):
    """-(key - centre)^2 / (2 sigma^2)."""

    def __init__(self, centre: Tensor, sigma: float | Tensor) -> None:
        self.centre, self.sigma = centre, sigma
        self.tensors = (centre, sigma) if isinstance(sigma, Tensor) else (centre,)
        self.key = ("gaussian", *(tensor.shape for tensor in self.tensors))

    def at(self, grid: Grid) -> Tensor:
        sigma = pick(self.sigma, grid) if isinstance(self.sigma, Tensor) else self.sigma
        return _log_density(grid.key, pick(self.centre, grid), sigma)

    def dense(
        self, B: int, H: int, Tq: int, Tk: int, device: torch.device | str | None = None, part: Part = WHOLE
    ) -> Tensor:
        key = torch.arange(Tk, device=self.centre.device)[part.keys]
        sigma = part.of(self.sigma) if isinstance(self.sigma, Tensor) else self.sigma
        return _log_density(key, part.of(self.centre), sigma)

    @property
    def device(self) -> torch.device | None:
        return self.centre.device

    def check(self, B: int, H: int, Tq: int, Tk: int) -> None:
        broadcasts("gaussian: centre", self.centre, B, H, Tq, 1)
        if isinstance(self.sigma, Tensor):
            broadcasts("gaussian: sigma", self.sigma, B, H, Tq, Tk)


class _Given(Bias):
    """A tensor, given."""

    def __init__(self, values: Tensor, name: str) -> None:
        if not values.is_floating_point():
            raise ValueError(f"{name}: expected numbers in floating point, got {values.dtype}; a bool tensor is a mask")
        self.values, self.name = four_axes(name, values), name
        self.tensors = (self.values,)
        self.key = ("given", self.values.shape, values.dtype, values.device)

    def at(self, grid: Grid) -> Tensor:
        return pick(self.values, grid)

    def dense(
        self, B: int, H: int, Tq: int, Tk: int, device: torch.device | str | None = None, part: Part = WHOLE
    ) -> Tensor:
        """The tensor itself, or a view of it."""
        return self.values if part is WHOLE else part.of(self.values)

    @property
    def device(self) -> torch.device | None:
        return self.values.device

    def check(self, B: int, H: int, Tq: int, Tk: int) -> None:
        broadcasts(self.name, self.values, B, H, Tq, Tk)


class _Sum(Bias):
    """Two biases added."""

    def __init__(self, first: Bias, second: Bias) -> None:
        self.first, self.second = first, second
        self.tensors = first.tensors + second.tensors
        self.key = ("+", first.key, second.key)

    def at(self, grid: Grid) -> Tensor:
        return self.first.at(grid) + self.second.at(grid)

    def dense(
        self, B: int, H: int, Tq: int, Tk: int, device: torch.device | str | None = None, part: Part = WHOLE
    ) -> Tensor:
        return self.first.dense(B, H, Tq, Tk, device, part) + self.second.dense(B, H, Tq, Tk, device, part)

    @property
    def device(self) -> torch.device | None:
        return self.first.device or self.second.device

    def check(self, B: int, H: int, Tq: int, Tk: int) -> None:
        self.first.check(B, H, Tq, Tk)
        self.second.check(B, H, Tq, Tk)


class _Exp(Bias):
    """The exponential of a bias."""

    def __init__(self, bias: Bias) -> None:
        self.bias = bias
        self.tensors = bias.tensors
        self.key = ("exp", bias.key)

    def at(self, grid: Grid) -> Tensor:
        return self.bias.at(grid).exp()

    def dense(
        self, B: int, H: int, Tq: int, Tk: int, device: torch.device | str | None = None, part: Part = WHOLE
    ) -> Tensor:
        return self.bias.dense(B, H, Tq, Tk, device, part).exp()

    @property
    def device(self) -> torch.device | None:
        return self.bias.device

    def check(self, B: int, H: int, Tq: int, Tk: int) -> None:
        self.bias.check(B, H, Tq, Tk)


def alibi(heads: int) -> Bias:
    """A penalty that grows with distance, `-slope_h * |key - query|`, at another slope for each head.

    Slopes are 2^(-8 h / heads), h = 1 ... heads; where `heads` is not a power of two, those of the next smaller power
    and every second one of the next larger. Press 2022.
    """
    if heads < 1:
        raise ValueError(f"alibi: expected 1 or more heads, got {heads}")
    power = 2 ** int(math.log2(heads))
    between = [2 ** (-4 * h / power) for h in range(1, 2 * (heads - power), 2)]
    slopes = [2 ** (-8 * h / power) for h in range(1, power + 1)] + between
    return _Alibi(torch.tensor(slopes))


def relative(table: Float[Tensor, "buckets heads"], *, bidirectional: bool = True, furthest: int = 128) -> Bias:
    """T5's learned bias: `table[bucket(key - query), head]`, with gradients into the table.

    Half of the buckets hold one distance each, the others widen logarithmically up to `furthest` positions; beyond it
    all share the last. `bidirectional` gives half of the buckets to keys after the query; without it those share the
    bucket of distance 0. Raffel 2020.
    """
    if table.ndim != 2 or table.shape[0] < (4 if bidirectional else 2):
        raise ValueError(
            f"relative: expected a table (buckets, heads) with at least 2 buckets a direction, got {tuple(table.shape)}"
        )
    if furthest <= table.shape[0] // (4 if bidirectional else 2):
        raise ValueError(f"relative: furthest must lie beyond the exact buckets, got {furthest} for {table.shape[0]}")
    return _Relative(table, bidirectional, furthest)


def gaussian(centre: Tensor, sigma: float | Tensor) -> Bias:
    """A preference for keys near a position: `-(key - centre)^2 / (2 sigma^2)`.

    `centre` (B, Tq) or (B, H, Tq), in key positions, with gradients; `sigma` in key positions, a number or a tensor
    that broadcasts to (B, H, Tq, Tk). As a factor on the weights (local-p, Luong 2015): `after=gaussian(...).exp()`.
    """
    if centre.ndim not in (2, 3) or not centre.is_floating_point():
        raise ValueError(
            f"gaussian: centre must be in floating point, (batch, queries) or (batch, heads, queries), "
            f"got {centre.dtype} of shape {tuple(centre.shape)}"
        )
    if isinstance(sigma, Tensor):
        sigma = sigma.view((1,) * (4 - sigma.ndim) + sigma.shape)
    return _Gaussian((centre[:, None] if centre.ndim == 2 else centre)[..., None], sigma)


def as_bias(bias: Bias | Tensor, name: str = "bias") -> Bias:
    """A tensor as a bias; a bias as it is. Errors call it by the `name` of the argument."""
    if isinstance(bias, Bias):
        return bias
    if isinstance(bias, Tensor):
        return _Given(bias, name)
    raise ValueError(f"{name}: expected a tensor or a rule such as alibi(heads), got {bias!r}")


def _log_density(key: Tensor, centre: Tensor, sigma: float | Tensor) -> Tensor:
    width = full(sigma) if isinstance(sigma, Tensor) else sigma
    return -((key - full(centre)) ** 2) / (2 * width**2)


def _heads(name: str, have: int, heads: int) -> None:
    if have != heads:
        raise ValueError(f"{name}: made for {have} heads, but the queries have {heads}")
