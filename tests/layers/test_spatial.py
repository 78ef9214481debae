"""Spatial attention: a grid worked by hand, plain torch, and additive attention over the flattened grid."""

import pytest
import torch
from cases import Case, must_hold
from grids import OnARow, lengths_of, softmax_within, within
from torch import nn

from regard.layers import (
    AdditiveAttention,
    DotAttention,
    GeneralAttention,
    LocalAttention,
    QueriedSpatialAttention,
    SpatialAttention,
)


class AskedOnARow(nn.Module):
    def __init__(self, by):
        super().__init__()
        self.layer = QueriedSpatialAttention(by)

    def forward(self, query, states, lengths):
        return self.layer(query, states.mT[:, :, None], within(states, lengths)[:, None])


def draw(batch, time):
    return torch.randn(batch, time, 4), lengths_of(batch, time)


def draw_asked(batch, time):
    return torch.randn(batch, 3, 6), *draw(batch, time)


def energy_weights(states, lengths):
    return softmax_within(states.square().sum(-1), within(states, lengths))[..., None]


def plainly(layer, states, lengths):
    return (
        lengths[:, None, None]
        * energy_weights(states, lengths)
        * torch.where(within(states, lengths)[..., None], states, 0)
    )


def plainly_pooled(layer, states, lengths):
    return (energy_weights(states, lengths) * states).sum(1)


def plainly_asked(layer, query, states, lengths):
    by = layer.layer.by
    e = torch.tanh(by.query(query)[:, :, None] + by.key(states)[:, None]) @ by.v
    return softmax_within(e, within(states, lengths)[:, None]) @ states


test_what_must_hold = must_hold(
    {
        "energy": Case(lambda: OnARow(SpatialAttention()), draw, plainly, lengths=1, padded=(0,)),
        "pooled": Case(lambda: OnARow(SpatialAttention(pool=True)), draw, plainly_pooled, lengths=1, padded=(0,)),
        "asked": Case(
            lambda: AskedOnARow(AdditiveAttention(6, 4, 5)), draw_asked, plainly_asked, lengths=2, padded=(1,)
        ),
    }
)

# One channel: energies log 1, log 2, log 3, log 4, so weights .1, .2, .3, .4.
GRID = torch.tensor([[1.0, 2.0], [3.0, 4.0]]).double().log().sqrt()[None, None]


def test_a_grid_worked_by_hand():
    layer, alpha = SpatialAttention(), torch.tensor([[[0.1, 0.2], [0.3, 0.4]]]).double()
    torch.testing.assert_close(layer.scores(GRID), torch.tensor([[[1.0, 2.0], [3.0, 4.0]]]).double().log())
    torch.testing.assert_close(layer.weights(GRID), alpha)
    torch.testing.assert_close(layer(GRID), 4 * alpha[:, None] * GRID)
    torch.testing.assert_close(SpatialAttention(pool=True)(GRID), (alpha[:, None] * GRID).sum((2, 3)))
    mask = torch.tensor([[[True, False], [False, True]]])
    alpha = torch.tensor([[[0.2, 0.0], [0.0, 0.8]]]).double()
    torch.testing.assert_close(layer.weights(GRID, mask), alpha)
    torch.testing.assert_close(layer(GRID, mask), 2 * alpha[:, None] * GRID)


def test_a_uniform_map_changes_nothing():
    unit = nn.functional.normalize(torch.randn(2, 5, 3, 4).double(), dim=1)
    torch.testing.assert_close(SpatialAttention()(unit), unit)
    mask = torch.rand(2, 3, 4) > 0.3
    torch.testing.assert_close(SpatialAttention()(unit, mask), unit * mask[:, None])


def test_an_image_padded_is_the_image():
    image, query = torch.randn(1, 4, 3, 5).double(), torch.randn(1, 2, 6).double()
    padded, mask = torch.full((1, 4, 5, 6), torch.nan).double(), torch.zeros(1, 5, 6).bool()
    padded[:, :, :3, :5], mask[:, :3, :5] = image, True
    asked = QueriedSpatialAttention(AdditiveAttention(6, 4, 5)).double()
    torch.testing.assert_close(SpatialAttention()(padded, mask)[:, :, :3, :5], SpatialAttention()(image))
    torch.testing.assert_close(asked(query, padded, mask), asked(query, image))
    torch.testing.assert_close(asked.weights(query, padded, mask)[:, :, :3, :5], asked.weights(query, image))


@pytest.mark.parametrize("by", [AdditiveAttention(6, 4, 5), GeneralAttention(6, 4), DotAttention()])
def test_a_grid_is_asked_as_its_positions_in_a_row_are(by):
    query, grid = torch.randn(2, 3, 4 if isinstance(by, DotAttention) else 6), torch.randn(2, 4, 3, 5)
    layer, row = QueriedSpatialAttention(by), grid.flatten(2).mT
    torch.testing.assert_close(layer(query, grid), by(query, row))
    torch.testing.assert_close(layer.weights(query, grid).flatten(2), by.weights(query, row))
    torch.testing.assert_close(layer.scores(query, grid).flatten(2), by.scores(query, row))
    memory = layer.prepare(grid)
    torch.testing.assert_close(layer(query[:, 1:2], memory), layer(query, grid)[:, 1:2])


def test_grids_of_three_axes():
    video = torch.randn(2, 4, 2, 3, 5)
    assert SpatialAttention()(video).shape == video.shape
    assert SpatialAttention().weights(video).shape == (2, 2, 3, 5)


@pytest.mark.plain
def test_wrong_shapes_are_named():
    with pytest.raises(ValueError, match=r"grid: expected \(batch, channels, height, width\), got shape \(3, 4\)"):
        SpatialAttention()(torch.randn(3, 4))
    with pytest.raises(ValueError, match=r"mask: expected a bool tensor \(2, 3, 4\), True .* got torch.bool of shape"):
        SpatialAttention()(torch.randn(2, 5, 3, 4), torch.ones(3, 4).bool())
    with pytest.raises(ValueError, match="by: expected an attention that looks everywhere, got LocalAttention"):
        QueriedSpatialAttention(LocalAttention(4, 4, 2))
    asked = QueriedSpatialAttention(DotAttention())
    with pytest.raises(ValueError, match=r"query: expected \(batch, steps, features\), got shape \(2, 5\)"):
        asked(torch.randn(2, 5), torch.randn(2, 5, 3, 4))
    with pytest.raises(ValueError, match="mask: the grid was prepared with its mask already"):
        asked(torch.randn(2, 1, 5), asked.prepare(torch.randn(2, 5, 3, 4)), torch.ones(2, 3, 4).bool())
