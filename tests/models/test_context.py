"""What a decoder reads of the source: that training can lead every attention there in small steps."""

import pytest
import torch

from regard.config import ModelConfig
from regard.models.context import make_context

WIDTH = 512


def moved(attention):
    """By how much one step of Adam at a usual rate lowers the score of a pair of states of one sign pattern."""
    torch.manual_seed(0)
    config = ModelConfig(attention=attention, encoder_hidden=WIDTH // 2, decoder_hidden=WIDTH, window=10)
    layer = make_context(config, WIDTH).attention
    optimiser = torch.optim.Adam(layer.parameters(), lr=1e-3)
    state = 0.3 * torch.ones(1, 1, WIDTH)  # a GRU's numbers lie between -1 and 1
    before = layer.scores(state, state)
    before.sum().backward()
    optimiser.step()
    return (before - layer.scores(state, state)).item()


@pytest.mark.parametrize("attention", ["general", "local-m", "local-p"])
def test_a_step_of_adam_moves_no_score_more_than_an_additive_one(attention):
    assert 0 < moved(attention) < moved("additive") < 4  # without its scale, general would move by 23
