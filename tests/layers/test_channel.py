"""Channel attention: a case worked by hand, and plain torch."""

import pytest
import torch
from cases import Case, must_hold
from torch import nn

from regard.layers import ChannelAttention


class Channels(nn.Module):
    """Given (batch, time, features), each position is a channel: its features are a map of 2 x 3."""

    def __init__(self, pool=False):
        super().__init__()
        self.layer = ChannelAttention(6, 5, pool=pool)

    def forward(self, states):
        found = self.layer(states.unflatten(2, (2, 3)))
        return found.flatten(2) if found.ndim == 4 else found.flatten(1)


def draw(batch, time):
    return (torch.randn(batch, time, 6),)


def alpha(layer, states):
    e = torch.tanh(layer.layer.key(states)) @ layer.layer.u
    return torch.softmax(e, -1)[..., None]


test_what_must_hold = must_hold(
    {
        "weighed": Case(Channels, draw, lambda layer, x: x.shape[1] * alpha(layer, x) * x),
        "pooled": Case(lambda: Channels(pool=True), draw, lambda layer, x: (alpha(layer, x) * x).sum(1)),
    }
)


def test_two_channels_worked_by_hand():
    layer = ChannelAttention(2, 1).double()
    with torch.no_grad():  # tanh(W h) = 1/2 and 0, times u = 2 log 3: scores log 3 and 0, weights 3/4 and 1/4
        layer.key.weight.copy_(torch.tensor([[1.0, 0.0]]))
        layer.u.copy_(2 * torch.tensor([3.0]).double().log())
    grid = torch.tensor([[[[0.5, 8.0]], [[0.0, 2.0]]]]).double()
    grid[0, 0, 0, 0] = grid[0, 0, 0, 0].atanh()
    torch.testing.assert_close(layer.scores(grid), torch.tensor([[3.0, 1.0]]).double().log())
    torch.testing.assert_close(layer.weights(grid), torch.tensor([[0.75, 0.25]]).double())
    torch.testing.assert_close(layer(grid)[0, :, 0, 1], torch.tensor([12.0, 1.0]).double())
    layer.pool = True
    torch.testing.assert_close(layer(grid)[0, 0, 1], torch.tensor(6.5).double())


def test_a_uniform_weight_changes_nothing():
    layer, grid = ChannelAttention(12, 5).double(), torch.randn(2, 1, 3, 4).double().expand(2, 7, 3, 4)
    torch.testing.assert_close(layer(grid), grid)


def test_pixels_left_out_are_never_read():
    layer, grid = ChannelAttention(12, 5).double(), torch.randn(2, 7, 3, 4).double()
    mask = torch.rand(2, 3, 4) > 0.4
    spoilt = torch.where(mask[:, None], grid, torch.nan).requires_grad_()
    clean = torch.where(mask[:, None], grid, 0).requires_grad_()
    layer(spoilt, mask).square().sum().backward()
    of_spoilt, layer.key.weight.grad = layer.key.weight.grad, None
    layer(clean).square().sum().backward()
    assert torch.equal(layer(spoilt, mask), layer(clean))
    torch.testing.assert_close(of_spoilt, layer.key.weight.grad)
    assert torch.equal(spoilt.grad, clean.grad * mask[:, None])


@pytest.mark.plain
def test_wrong_shapes_are_named():
    with pytest.raises(ValueError, match=r"grid: expected maps of 12 positions, got 20: \(2, 7, 4, 5\)"):
        ChannelAttention(12, 5)(torch.randn(2, 7, 4, 5))
