"""Spatial attention: where in an image to look; by the image alone, or asked by a decoder's state."""

__all__ = ["QueriedSpatialAttention", "SpatialAttention"]

from typing import NamedTuple

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from regard.attend import attend, attend_with_weights
from regard.equation.precision import full
from regard.equation.prepare import Keys
from regard.equation.reference import Attended
from regard.equation.scores import Score
from regard.layers.grid import flat, unflat
from regard.layers.padding import keys_within
from regard.layers.pooling import nobody
from regard.layers.source import SourceAttention, check_kind


class Energy(Score):
    """e_i = k_iᵀ k_i: a key's own energy, whoever asks."""

    key = ("energy",)

    def check(self, q: Tensor, k: Tensor, prepared: bool) -> None:
        """Every key has an energy."""

    def project(self, k: Tensor) -> Tensor:
        """See `Score.project`."""
        return full(k).square().sum(-1, keepdim=True)

    def compare(self, q: Tensor, k: Tensor) -> Tensor:
        """See `Score.compare`."""
        return k.mT.expand(*q.shape[:3], k.shape[2])

    def compared(self, features: int) -> int:
        """See `Score.compared`."""
        return 1

    def __repr__(self) -> str:
        return "Energy()"


class SpatialAttention(nn.Module):
    """α_ij = softmax_ij(h_ijᵀ h_ij) over the grid; gives N · α ⊙ h, N the number of positions.

    Positions with much energy grow, the others fade; where all are alike nothing changes. `pool` gives Σ_ij α_ij h_ij,
    one vector an image. What `mask` leaves out is 0 and is not counted in N. It has no parameters. Asked by a
    decoder's state: `QueriedSpatialAttention`; every position by every other: `NonLocalAttention`.
    Source: the user's form; after Xu 2015 (arXiv 1502.03044).
    """

    def __init__(self, *, pool: bool = False):
        super().__init__()
        self.pool = pool

    def forward(
        self, grid: Float[Tensor, "batch channels *grid"], mask: Bool[Tensor, "batch *grid"] | None = None
    ) -> Float[Tensor, "batch channels *grid_or_nothing"]:
        """N · α ⊙ h, of the shape of `grid`; (batch, channels) with `pool`. `mask`: True where a pixel is the image's.

        Raises ValueError where the shapes do not fit.
        """
        states, counts, arguments, parts = self._call(grid, mask)
        if self.pool:
            return attend(*arguments, **parts)[:, 0, 0]
        alpha = attend_with_weights(*arguments, **parts).weights[:, 0, 0]
        positions = alpha.shape[1] if counts is None else counts.sum(-1, keepdim=True)
        return unflat(((positions * alpha)[..., None] * states).to(grid.dtype), grid)

    def attended(
        self, grid: Float[Tensor, "batch channels *grid"], mask: Bool[Tensor, "batch *grid"] | None = None
    ) -> Attended:
        """Σ α h, weights, scores and log-sum-exp, differentiable, of flat positions, with head and query axes of 1."""
        _, _, arguments, parts = self._call(grid, mask)
        return attend_with_weights(*arguments, **parts)

    def weights(
        self, grid: Float[Tensor, "batch channels *grid"], mask: Bool[Tensor, "batch *grid"] | None = None
    ) -> Float[Tensor, "batch *grid"]:
        """The map α alone."""
        return self.attended(grid, mask).weights.reshape(grid.shape[0], *grid.shape[2:])

    def scores(
        self, grid: Float[Tensor, "batch channels *grid"], mask: Bool[Tensor, "batch *grid"] | None = None
    ) -> Float[Tensor, "batch *grid"]:
        """The energies alone, −∞ where nothing may be seen."""
        return self.attended(grid, mask).scores.reshape(grid.shape[0], *grid.shape[2:])

    def _call(
        self, grid: Tensor, mask: Tensor | None
    ) -> tuple[Tensor, Tensor | None, tuple[Tensor, Tensor, Tensor], dict]:
        states, counts = flat(grid, mask)
        keys = states[:, None]
        parts = {"score": Energy(), "mask": None if counts is None else keys_within(counts)}
        return states, counts, (nobody(keys), keys, keys), parts


class GridMemory(NamedTuple):
    """An image as a layer prepared it, to be asked many times."""

    keys: Keys
    sizes: tuple[int, ...]
    """Of the grid: height, width."""


class QueriedSpatialAttention(nn.Module):
    """c_t = Σ_ij α_t(ij) h_ij, α_t = softmax_ij(score(s_t, h_ij)): a decoder's state s_t looks at an image.

        look = QueriedSpatialAttention(AdditiveAttention(query=512, key=256, hidden=128))
        memory = look.prepare(features)      # once an image
        context = look(states, memory)       # at each word

    `by` is the attention over a source whose score is used: additive (Xu 2015), dot, general.
    Source: Xu 2015 (arXiv 1502.03044).
    """

    def __init__(self, by: SourceAttention):
        super().__init__()
        if type(by).focus is not SourceAttention.focus:
            raise ValueError(f"by: expected an attention that looks everywhere, got {type(by).__name__}")
        self.by = by

    def prepare(
        self, grid: Float[Tensor, "batch channels *grid"], mask: Bool[Tensor, "batch *grid"] | None = None
    ) -> GridMemory:
        """Do once what concerns the image alone. What `mask` leaves out is never read."""
        states, counts = flat(grid, mask)
        if counts is None:
            counts = torch.ones(states.shape[:2], dtype=torch.bool, device=grid.device)
        keys, score = states[:, None], self.by.score()
        check_kind("grid", grid, score.tensors[0] if score.tensors else states)
        return GridMemory(score.prepare(keys, keys, keys_within(counts)), tuple(grid.shape[2:]))

    def forward(
        self,
        query: Float[Tensor, "batch steps query_features"],
        grid: GridMemory | Float[Tensor, "batch channels *grid"],
        mask: Bool[Tensor, "batch *grid"] | None = None,
    ) -> Float[Tensor, "batch steps channels"]:
        """The contexts c_t. `grid` is what `prepare` gave, or the image's features with their `mask`.

        Raises ValueError where the shapes do not fit.
        """
        memory = self._memory(query, grid, mask)
        assert memory.keys.values is not None
        return attend(query[:, None], memory.keys, memory.keys.values)[:, 0]

    def attended(
        self,
        query: Float[Tensor, "batch steps query_features"],
        grid: GridMemory | Float[Tensor, "batch channels *grid"],
        mask: Bool[Tensor, "batch *grid"] | None = None,
    ) -> Attended:
        """Context, weights, scores and log-sum-exp, differentiable, with a head axis of size 1 and flat positions."""
        memory = self._memory(query, grid, mask)
        assert memory.keys.values is not None
        return attend_with_weights(query[:, None], memory.keys, memory.keys.values)

    def weights(
        self,
        query: Float[Tensor, "batch steps query_features"],
        grid: GridMemory | Float[Tensor, "batch channels *grid"],
        mask: Bool[Tensor, "batch *grid"] | None = None,
    ) -> Float[Tensor, "batch steps *grid"]:
        """The maps α_t alone."""
        memory = self._memory(query, grid, mask)
        return self.attended(query, memory).weights.reshape(*query.shape[:2], *memory.sizes)

    def scores(
        self,
        query: Float[Tensor, "batch steps query_features"],
        grid: GridMemory | Float[Tensor, "batch channels *grid"],
        mask: Bool[Tensor, "batch *grid"] | None = None,
    ) -> Float[Tensor, "batch steps *grid"]:
        """The scores alone, −∞ where nothing may be seen."""
        memory = self._memory(query, grid, mask)
        return self.attended(query, memory).scores.reshape(*query.shape[:2], *memory.sizes)

    def _memory(self, query: Tensor, grid: GridMemory | Tensor, mask: Tensor | None) -> GridMemory:
        if query.dim() != 3:
            raise ValueError(f"query: expected (batch, steps, features), got shape {tuple(query.shape)}")
        if isinstance(grid, Tensor):
            return self.prepare(grid, mask)
        if mask is not None:
            raise ValueError("mask: the grid was prepared with its mask already; leave it out")
        return grid
