"""Dual-stage attention for time series: first over the driving series at each step, then over the steps."""

__all__ = ["DualStageAttention"]

from typing import Any, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor, nn

from regard.layers.additive import AdditiveAttention
from regard.layers.padding import fits


class DualStage(NamedTuple):
    """A forecast and where it looked."""

    forecast: Float[Tensor, " batch"]
    series: Float[Tensor, "batch time series"]
    """α: how much each driving series counted at each step."""
    steps: Float[Tensor, "batch time time"]
    """β: where each decoder step looked among the encoder's."""


class DualStageAttention(nn.Module):
    """Input attention over the driving series, then temporal attention over the encoder's states; Qin 2017.

        encoder   α_t(k) = softmax_k(v_eᵀ tanh(W_e [h_{t−1}; s_{t−1}] + U_e x^k)),  x^k series k over the whole window
                  h_t, s_t = LSTM((α_t(1) x_t^1, …, α_t(n) x_t^n), h_{t−1}, s_{t−1})
        decoder   β_t(i) = softmax_i(v_dᵀ tanh(W_d [d_{t−1}; s'_{t−1}] + U_d h_i)),  c_t = Σ_i β_t(i) h_i
                  d_t, s'_t = LSTM(wᵀ[y_{t−1}; c_{t−1}] + b, d_{t−1}, s'_{t−1})
        forecast  y_T = v_yᵀ(W_y [d_T; c_T] + b_w) + b_v

    `series` is n, `window` is T; `encoder` and `decoder` are the sizes of h and d. Both attentions are
    `AdditiveAttention`; the input attention's weights are used without their sum, for each series stays a feature of
    its own. States before the first step are 0, and d_1 with them, for there is no y_0.
    Source: Qin 2017 (arXiv 1704.02971), equations 8 to 22.
    """

    def __init__(self, series: int, window: int, encoder: int, decoder: int):
        super().__init__()
        for name, size in (("series", series), ("window", window), ("encoder", encoder), ("decoder", decoder)):
            if size < 1:
                raise ValueError(f"{name}: expected 1 or more, got {size}")
        self.series, self.window = series, window
        self.over_series = AdditiveAttention(2 * encoder, window, window)
        self.encoder = nn.LSTMCell(series, encoder)
        self.over_steps = AdditiveAttention(2 * decoder, encoder, encoder)
        self.feed = nn.Linear(encoder + 1, 1)
        self.decoder = nn.LSTMCell(1, decoder)
        self.out = nn.Sequential(nn.Linear(decoder + encoder, decoder), nn.Linear(decoder, 1))

    def forward(
        self, driving: Float[Tensor, "batch time series"], history: Float[Tensor, "batch past"]
    ) -> Float[Tensor, " batch"]:
        """The forecast y_T from x_1 … x_T and the target's own past y_1 … y_{T−1}.

        Raises ValueError unless `driving` is (batch, window, series) and `history` (batch, window − 1).
        """
        return self.attended(driving, history).forecast

    def attended(self, driving: Float[Tensor, "batch time series"], history: Float[Tensor, "batch past"]) -> DualStage:
        """The forecast, with the weights of both stages."""
        fits(driving, "driving", self.feed.weight)
        fits(history, "history", self.feed.weight)
        if driving.dim() != 3 or driving.shape[1:] != (self.window, self.series):
            raise ValueError(
                f"driving: expected (batch, {self.window} steps, {self.series} series), got {tuple(driving.shape)}"
            )
        if history.shape != (driving.shape[0], self.window - 1):
            raise ValueError(
                f"history: expected {(driving.shape[0], self.window - 1)}, the target before the last step, got "
                f"{tuple(history.shape)}"
            )
        states, over_series = self._encode(driving)
        forecast, over_steps = self._decode(states, history)
        return DualStage(forecast, over_series, over_steps)

    def weights(self, *arguments: Any, **named: Any) -> tuple[Tensor, Tensor]:
        """The weights α and β alone; arguments as for calling the layer."""
        return self.attended(*arguments, **named)[1:]

    def _encode(self, driving: Tensor) -> tuple[Tensor, Tensor]:
        memory = self.over_series.prepare(driving.mT)
        h = s = driving.new_zeros(driving.shape[0], self.encoder.hidden_size)
        states, looked = [], []
        for x in driving.unbind(1):
            alpha = self.over_series.weights(torch.cat([h, s], -1)[:, None], memory)[:, 0]
            h, s = self.encoder(alpha.to(x.dtype) * x, (h, s))
            states.append(h)
            looked.append(alpha)
        return torch.stack(states, 1), torch.stack(looked, 1)

    def _decode(self, states: Tensor, history: Tensor) -> tuple[Tensor, Tensor]:
        memory = self.over_steps.prepare(states)
        d = s = states.new_zeros(states.shape[0], self.decoder.hidden_size)
        found = [self.over_steps.attended(torch.cat([d, s], -1)[:, None], memory)]
        for y in history.unbind(1):
            before = torch.cat([d, s], -1)[:, None]
            d, s = self.decoder(self.feed(torch.cat([y[:, None], found[-1].context[:, 0, 0]], -1)), (d, s))
            found.append(self.over_steps.attended(before, memory))
        forecast = self.out(torch.cat([d, found[-1].context[:, 0, 0]], -1))[:, 0]
        return forecast, torch.cat([step.weights[:, 0] for step in found], 1)
