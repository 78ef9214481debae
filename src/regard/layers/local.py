"""Local attention: a window of the source, at the present step (local-m) or where the query says (local-p)."""

__all__ = ["LocalAttention"]

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from regard.attend import attend
from regard.equation.biases import gaussian
from regard.equation.mask import Mask
from regard.equation.masks import dense
from regard.equation.precision import full
from regard.equation.prepare import Keys
from regard.layers.dot import GeneralAttention
from regard.layers.source import Focus, Memory, check_kind

FEW = 4
"""Windows that make a source so short that looking at all of it costs less than picking them out."""


class LocalAttention(GeneralAttention):
    """e_t(s) = h_tᵀ W h_s, only for s in [p_t − D, p_t + D], D = `window` source positions; Luong 2015.

    Monotonic (local-m): p_t = t, counted from the first source position. Predictive (local-p, `predictive=True`):
    p_t = S · sigmoid(v_pᵀ tanh(W_p h_t)), S the source's length without padding, and the weights are multiplied by
    exp(−(s − p_t)² / 2σ²), σ = D/2, after the softmax. A window that lies wholly outside gives context 0.
    `scale` multiplies h_tᵀ W h_s and v_pᵀ tanh(W_p h_t), for the reason that `GeneralAttention` gives: Adam would carry
    p_t in a few steps to an end of the source, where the sigmoid's gradient is 0 and it stays.
    """

    def __init__(self, query: int, key: int, window: int, *, predictive: bool = False, scale: float = 1.0):
        super().__init__(query, key, scale=scale)
        if window < 1:
            raise ValueError(f"window: expected at least 1 position to each side, got {window}")
        self.window = window
        self.place = (
            nn.Sequential(nn.Linear(query, query, bias=False), nn.Tanh(), nn.Linear(query, 1, bias=False))
            if predictive
            else None
        )

    def forward(
        self,
        query: Float[Tensor, "batch steps query_features"],
        memory: Memory | Float[Tensor, "batch source features"],
        lengths: Int[Tensor, " batch"] | None = None,
        *,
        values: Float[Tensor, "batch source value_features"] | None = None,
        mask: Mask | Bool[Tensor, "..."] | None = None,
        position: Int[Tensor, "batch steps"] | None = None,
    ) -> Float[Tensor, "batch steps value_features"]:
        """See `SourceAttention.forward`. Where the source is long, time and memory are O(steps · window).

        (A `mask` is asked about every position; so are weights and scores, which have one for each.)
        """
        if not isinstance(memory, Memory):
            memory, lengths, values = self.prepare(memory, lengths, values=values), None, None
        plain = mask is not None or lengths is not None or values is not None or query.dim() != 3
        if plain or memory.keys.k.shape[2] <= FEW * (2 * self.window + 1):
            return super().forward(query, memory, lengths, values=values, mask=mask, position=position)
        check_kind("query", query, memory.values, "the memory is")
        return self._windows(query, memory, self._centre(query, memory, position))

    def focus(self, query: Tensor, memory: Memory, position: Tensor | None) -> Focus:
        """The window around p_t and, if predictive, the Gaussian."""
        s = torch.arange(memory.keys.k.shape[2], device=query.device)
        p = self._centre(query, memory, position)
        near = (s - p.detach()[..., None]).abs() <= self.window
        return Focus(near[:, None], None if self.place is None else gaussian(p, sigma=self.window / 2).exp())

    def _centre(self, query: Tensor, memory: Memory, position: Tensor | None) -> Tensor:
        """p_t (batch or 1, steps), in source positions."""
        if self.place is None:
            return torch.arange(query.shape[1], device=query.device)[None] if position is None else position
        return memory.lengths[:, None] * torch.sigmoid(self.scale * full(self.place(query)))[..., 0]

    def _windows(self, query: Tensor, memory: Memory, p: Tensor) -> Tensor:
        """The context of every step from its own 2D + 1 positions, each step a batch row of its own."""
        batch, steps, _ = query.shape
        centre = p.detach().expand(batch, steps)[..., None]
        s = (centre - self.window).ceil().long() + torch.arange(2 * self.window + 1, device=query.device)
        seen = ((s - centre).abs() <= self.window) & (s >= 0) & (s < memory.lengths[:, None, None])
        s, rows = s.clamp(0, memory.keys.k.shape[2] - 1), torch.arange(batch, device=query.device)[:, None, None]
        k, v = (x[:, 0][rows, s].flatten(0, 1)[:, None] for x in (memory.keys.k, memory.values))
        mask = dense(seen.flatten(0, 1)[:, None, None])
        after = None
        if self.place is not None:
            sigma = self.window / 2
            after = torch.exp(-((s - p[..., None]) ** 2) / (2 * sigma**2)).flatten(0, 1)[:, None, None]
        context = attend(query.flatten(0, 1)[:, None, None], Keys(k, memory.keys.score, v, mask), v, after=after)
        return context.view(batch, steps, -1)
