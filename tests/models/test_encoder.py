import pytest
import torch
from torch import nn

from regard.config import ModelConfig
from regard.models.encoder import Encoder


@pytest.mark.parametrize("cell", ["gru", "lstm"])
@pytest.mark.parametrize("bidirectional", [True, False])
@pytest.mark.parametrize("layers", [1, 2])
def test_each_sentence_is_encoded_as_if_alone(cell, bidirectional, layers):
    config = ModelConfig(
        cell=cell, bidirectional=bidirectional, layers=layers, embedding=3, encoder_hidden=4, dropout=0
    )
    encoder = Encoder(config).double()
    lengths = torch.tensor([2, 5, 1])
    x = torch.randn(3, 5, 3).double()
    x[torch.arange(5) >= lengths[:, None]] = float("nan")
    found = encoder(x, lengths)
    for row, length in enumerate(lengths.tolist()):
        wanted, last = encoder.rnn(x[row : row + 1, :length])
        torch.testing.assert_close(found.memory[row, :length], wanted[0])
        assert (found.memory[row, length:] == 0).all()
        last = last if isinstance(last, tuple) else (last,)
        for ours, torchs in zip(found.last, last, strict=True):
            sides = torchs[:, 0].view(layers, -1)
            torch.testing.assert_close(ours[:, row], sides)


def test_the_oracle_is_torchs_own():
    assert isinstance(Encoder(ModelConfig()).rnn, nn.GRU)
    assert isinstance(Encoder(ModelConfig(cell="lstm")).rnn, nn.LSTM)
