import pytest
import torch
from cases import Case, must_hold
from grids import lengths_of, softmax_within, within

from regard.layers import AttentionPooling


def draw(batch, time):
    return torch.randn(batch, time, 4), lengths_of(batch, time)


def plainly(layer, states, lengths):
    e = torch.tanh(layer.key(states)) @ layer.u
    alpha = softmax_within(e, within(states, lengths))
    return (alpha[..., None] * states).sum(1)


test_what_must_hold = must_hold(
    {
        f"bias {bias}": Case(lambda bias=bias: AttentionPooling(4, 5, bias=bias), draw, plainly, lengths=1, padded=(0,))
        for bias in (True, False)
    }
)


def test_the_parts_fit_together():
    layer, states, lengths = AttentionPooling(4, 5).double(), *draw(3, 6)
    states = states.double()
    alpha, e = layer.weights(states, lengths), layer.scores(states, lengths)
    torch.testing.assert_close(torch.softmax(e, -1), alpha)
    torch.testing.assert_close((alpha[..., None] * states).sum(1), layer(states, lengths))


def test_flags_may_say_which_positions_count():
    layer, states = AttentionPooling(4, 5).double(), torch.randn(2, 6, 4).double()
    flags = torch.tensor([[1, 0, 1, 1, 0, 0], [0, 0, 0, 0, 0, 1]]).bool()
    for row in range(2):
        torch.testing.assert_close(layer(states, flags)[row], layer(states[row, flags[row]][None])[0])


@pytest.mark.plain
def test_wrong_shapes_are_named():
    layer = AttentionPooling(4, 5)
    with pytest.raises(ValueError, match=r"states: expected \(batch, time, features\), got shape \(3, 4\)"):
        layer(torch.randn(3, 4))
    with pytest.raises(ValueError, match=r"lengths: expected 2 whole numbers, .* or a bool tensor \(2, 6\)"):
        layer(torch.randn(2, 6, 4), torch.tensor([1, 2, 3]))
    with pytest.raises(ValueError, match=r"lengths: .* got torch.float32 of shape \(2,\)"):
        layer(torch.randn(2, 6, 4), torch.tensor([1.0, 2.0]))
    with pytest.raises(ValueError, match="expects 4 features, got 3"):
        layer(torch.randn(2, 6, 3))
