"""What a decoder reads of the source: that one step of training moves no attention from one end to the other."""

import pytest
import torch

from regard.config import ModelConfig
from regard.models.context import make_context

WIDTH = 512


@pytest.mark.parametrize("attention", ["additive", "general", "local-m"])
def test_a_step_of_adam_moves_scores_a_little(attention):
    config = ModelConfig(attention=attention, encoder_hidden=WIDTH // 2, decoder_hidden=WIDTH, window=10)
    layer = make_context(config, WIDTH).attention
    optimiser = torch.optim.Adam(layer.parameters(), lr=1e-3)
    # States of a trained GRU: numbers between -1 and 1, here of one sign pattern, which moves a score the most.
    state = 0.3 * torch.ones(1, 1, WIDTH)
    before = layer.scores(state, state)
    before.sum().backward()
    optimiser.step()
    # Without its scale, general would move by 23: from one place looked at to another, in one step.
    assert 0 < (before - layer.scores(state, state)).item() < 2
