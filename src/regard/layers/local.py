"""Local attention: a window of the source, at the present step (local-m) or where the query says (local-p)."""

import torch
from torch import Tensor, nn

from regard.equation.biases import gaussian
from regard.equation.precision import full
from regard.layers.dot import GeneralAttention
from regard.layers.source import Focus, Memory


class LocalAttention(GeneralAttention):
    """e_t(s) = h_tᵀ W h_s, only for s in [p_t − D, p_t + D], D = `window` source positions; Luong 2015.

    Monotonic (local-m): p_t = t, counted from the first source position. Predictive (local-p, `predictive=True`):
    p_t = S · sigmoid(v_pᵀ tanh(W_p h_t)), S the source's length without padding, and the weights are multiplied by
    exp(−(s − p_t)² / 2σ²), σ = D/2, after the softmax. A window that lies wholly outside gives context 0.
    """

    def __init__(self, query: int, key: int, window: int, *, predictive: bool = False):
        super().__init__(query, key)
        if window < 1:
            raise ValueError(f"window: expected at least 1 position to each side, got {window}")
        self.window = window
        self.place = (
            nn.Sequential(nn.Linear(query, query, bias=False), nn.Tanh(), nn.Linear(query, 1, bias=False))
            if predictive
            else None
        )

    def focus(self, query: Tensor, memory: Memory, position: Tensor | None) -> Focus:
        """The window around p_t and, if predictive, the Gaussian."""
        s = torch.arange(memory.keys.k.shape[2], device=query.device)
        if self.place is None:
            steps = torch.arange(query.shape[1], device=query.device)[None] if position is None else position
            return Focus(((s - steps[..., None]).abs() <= self.window)[:, None])
        p = memory.lengths[:, None] * torch.sigmoid(full(self.place(query)))[..., 0]
        near = (s - p.detach()[..., None]).abs() <= self.window
        return Focus(near[:, None], gaussian(p, sigma=self.window / 2).exp())
