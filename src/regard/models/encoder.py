"""The recurrent encoder: embeddings, then `torch.nn.GRU` or `torch.nn.LSTM` in both directions.

Sequences of different length are packed, so that padding reaches neither the backward direction nor the last state.
"""

from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from regard.config import ModelConfig
from regard.models.recurrence import gru


class Encoded(NamedTuple):
    """What a source sentence becomes: a state per position, and each layer's last states for the decoder to begin with.

    `last` holds one tensor for a GRU (h) and two for an LSTM (h, c), both directions side by side.
    """

    memory: Float[Tensor, "batch source memory"]
    last: tuple[Float[Tensor, "layers batch memory"], ...]


class Encoder(nn.Module):
    """h_s = [GRU→(x)_s ; GRU←(x)_s] over the source, by packed sequences."""

    def __init__(self, config: ModelConfig):
        super().__init__()
        self.directions = 2 if config.bidirectional else 1
        self.size = config.encoder_hidden * self.directions
        kind = {"gru": nn.GRU, "lstm": nn.LSTM}[config.cell]
        self.rnn = kind(
            config.embedding,
            config.encoder_hidden,
            num_layers=config.layers,
            bidirectional=config.bidirectional,
            batch_first=True,
            dropout=config.dropout if config.layers > 1 else 0.0,
        )

    def forward(self, x: Float[Tensor, "batch source embedding"], lengths: Int[Tensor, " batch"]) -> Encoded:
        """Embedded sentences, in any order of length, to their states; positions beyond a sentence are 0."""
        if isinstance(self.rnn, nn.GRU) and torch.is_grad_enabled() and x.device.type == "cpu":
            memory, last = gru(self.rnn, x, lengths)
        elif int(lengths.min()) == x.shape[1]:  # no padding: the same result, faster
            memory, last = self.rnn(x)
        else:
            packed = pack_padded_sequence(x, lengths.cpu(), batch_first=True, enforce_sorted=False)
            output, last = self.rnn(packed)
            memory, _ = pad_packed_sequence(output, batch_first=True, total_length=x.shape[1])
        return Encoded(memory, tuple(self._side_by_side(h) for h in (last if isinstance(last, tuple) else (last,))))

    def _side_by_side(self, h: Float[Tensor, "layers_directions batch hidden"]) -> Float[Tensor, "layers batch memory"]:
        layers = h.shape[0] // self.directions
        return h.unflatten(0, (layers, self.directions)).permute(0, 2, 1, 3).reshape(layers, h.shape[1], self.size)
