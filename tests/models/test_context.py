"""What a decoder reads of the source: that training can lead every attention there in small steps."""

import pytest
import torch

from regard.config import ModelConfig
from regard.models.context import make_context

WIDTH = 512


STATE = 0.3 * torch.ones(1, 1, WIDTH)  # a GRU's numbers lie between -1 and 1


def moved(attention, number=lambda layer: layer.scores(STATE, STATE)):
    """By how much one step of Adam at a usual rate lowers a number: the score of a pair of states of one sign."""
    torch.manual_seed(0)
    config = ModelConfig(attention=attention, encoder_hidden=WIDTH // 2, decoder_hidden=WIDTH, window=10)
    layer = make_context(config, WIDTH).attention
    optimiser = torch.optim.Adam(layer.parameters(), lr=1e-3)
    before = number(layer)
    before.sum().backward()
    optimiser.step()
    return (before - number(layer)).item()


@pytest.mark.parametrize("attention", ["general", "local-m", "local-p"])
def test_a_step_of_adam_moves_no_score_more_than_an_additive_one(attention):
    assert 0 < moved(attention) < moved("additive") < 4  # without its scale, general would move by 23


def test_a_step_of_adam_moves_the_predicted_place_a_little():
    def place(layer):  # as a share of a long source
        return layer.focus(STATE, layer.prepare(torch.zeros(1, 1000, WIDTH)), None).after.tensors[0] / 1000

    assert 0 < moved("local-p", place) < 0.02  # without its scale, it would move by .35
