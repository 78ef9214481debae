"""Non-local attention against `torch.nn.MultiheadAttention` on the flattened grid, and against plain torch."""

import pytest
import torch
from cases import Case, must_hold
from grids import OnARow, lengths_of, softmax_within, within
from torch import nn

from regard.layers import NonLocalAttention


def draw(batch, time):
    return torch.randn(batch, time, 4), lengths_of(batch, time)


def plainly(layer, states, lengths):
    layer, seen = layer.layer, within(states, lengths)
    e = layer.query(states) @ layer.key(states).mT * (1.0 if layer.scale else layer.key.out_features**-0.5)
    y = layer.out(softmax_within(e, seen[:, None]) @ layer.value(states)) + states
    return torch.where(seen[..., None], y, 0)


test_what_must_hold = must_hold(
    {
        "wang": Case(lambda: OnARow(NonLocalAttention(4, 6)), draw, plainly, lengths=1, padded=(0,)),
        "scaled": Case(lambda: OnARow(NonLocalAttention(4, scale=None)), draw, plainly, lengths=1, padded=(0,)),
    }
)


def test_it_is_self_attention_on_the_flattened_grid():
    layer = NonLocalAttention(6, 6, scale=None).double()
    oracle = nn.MultiheadAttention(6, 1, bias=False, batch_first=True).double()
    with torch.no_grad():
        oracle.in_proj_weight.copy_(torch.cat([layer.query.weight, layer.key.weight, layer.value.weight]))
        oracle.out_proj.weight.copy_(layer.out.weight)
    grid = torch.randn(2, 6, 3, 4).double()
    row = grid.flatten(2).mT
    wanted, weights = oracle(row, row, row)
    torch.testing.assert_close((layer(grid) - grid).flatten(2).mT, wanted, rtol=1e-10, atol=1e-10)
    torch.testing.assert_close(layer.weights(grid), weights, rtol=1e-10, atol=1e-10)


def test_an_image_padded_is_the_image_and_a_video_is_a_grid_too():
    layer, image = NonLocalAttention(4).double(), torch.randn(1, 4, 3, 5).double()
    padded, mask = torch.full((1, 4, 5, 6), torch.nan).double(), torch.zeros(1, 5, 6).bool()
    padded[:, :, :3, :5], mask[:, :3, :5] = image, True
    found = layer(padded, mask)
    torch.testing.assert_close(found[:, :, :3, :5], layer(image))
    assert (found[:, :, ~mask[0]] == 0).all()
    assert layer(torch.randn(2, 4, 2, 3, 5).double()).shape == (2, 4, 2, 3, 5)
    assert layer.scores(image).shape == (1, 15, 15)


@pytest.mark.plain
def test_wrong_shapes_are_named():
    with pytest.raises(ValueError, match="grid: expected 4 channels, got 3"):
        NonLocalAttention(4)(torch.randn(2, 3, 5, 5))
    with pytest.raises(ValueError, match="inner: expected 1 or more channels, got 0"):
        NonLocalAttention(4, 0)
