"""Temporal attention against `scaled_dot_product_attention` with scale 1 over the time axis."""

import pytest
import torch
import torch.nn.functional as F
from cases import Case, compare, must_hold, results
from grids import lengths_of, softmax_within, within
from torch import nn

from regard.layers import DotAttention, TemporalAttention


class AskedByOne(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = TemporalAttention()

    def forward(self, states, lengths, query):
        return self.layer(states, lengths, query=query)


def draw(batch, time):
    return torch.randn(batch, time, 4), lengths_of(batch, time)


def draw_video(batch, time):
    return torch.randn(batch, time, 3, 2, 2), lengths_of(batch, time)


def draw_asked(batch, time):
    return *draw(batch, time), torch.randn(batch, 4)


def plainly(layer, states, lengths, query=None):
    flat, seen = states.flatten(2), within(states, lengths)
    scale = 1.0 if getattr(layer, "scale", 1.0) == 1.0 else flat.shape[2] ** -0.5
    if query is not None:
        return (softmax_within(query[:, None] @ flat.mT, seen[:, None]) @ flat)[:, 0]
    alpha = softmax_within(flat @ flat.mT * scale, seen[:, None] & seen[..., None])
    return (alpha @ flat).view(states.shape)


test_what_must_hold = must_hold(
    {
        "a sequence": Case(TemporalAttention, draw, plainly, lengths=1, padded=(0,)),
        "scaled": Case(lambda: TemporalAttention(None), draw, plainly, lengths=1, padded=(0,)),
        "a video": Case(TemporalAttention, draw_video, plainly, lengths=1, padded=(0,)),
        "asked by one": Case(AskedByOne, draw_asked, plainly, lengths=1, padded=(0,)),
    }
)


@pytest.mark.parametrize("scale", [1.0, None])
@pytest.mark.parametrize("draw", [draw, draw_video])
def test_it_is_sdpa_over_the_time_axis(draw, scale):
    def by_sdpa(states, lengths):
        flat, seen = states.flatten(2), within(states, lengths)
        context = F.scaled_dot_product_attention(flat, flat, flat, seen[:, None], scale=scale)
        return torch.where(seen[..., None], context, 0).view(states.shape)

    layer, (states, lengths) = TemporalAttention(scale), draw(3, 9)
    ours, theirs = ([states.double().requires_grad_(), lengths] for _ in range(2))
    compare(results(layer, ours), results(by_sdpa, theirs, layer), 1e-10)


def test_every_step_asks_or_one():
    layer, states, lengths = TemporalAttention(), torch.randn(2, 5, 3).double(), torch.tensor([5, 2])
    alpha, e = layer.weights(states, lengths), layer.scores(states, lengths)
    assert alpha.shape == e.shape == (2, 5, 5)
    torch.testing.assert_close(alpha @ states, layer(states, lengths))
    torch.testing.assert_close(e[0], states[0] @ states[0].mT)
    one = layer(states, lengths, query=states[:, 1])
    torch.testing.assert_close(one, layer(states, lengths)[:, 1])
    torch.testing.assert_close(layer.weights(states, lengths, query=states[:, 1]), alpha[:, 1])
    torch.testing.assert_close(layer.scores(states, lengths, query=states[:, 1]), e[:, 1])


def test_a_sequence_that_asks_itself_is_dot_attention_over_itself():
    states, lengths = torch.randn(2, 5, 3).double(), torch.tensor([5, 5])
    torch.testing.assert_close(TemporalAttention()(states), DotAttention()(states, states, lengths))


def test_the_weights_of_a_video_are_one_for_each_frame():
    layer, video = TemporalAttention(), torch.randn(2, 5, 3, 4, 4).double() / 4
    assert layer.weights(video).shape == (2, 5, 5)
    query = video[:, 2]
    assert layer.weights(video, query=query).shape == (2, 5)
    torch.testing.assert_close(layer(video, query=query), layer(video)[:, 2])


def test_permuting_time_permutes_the_contexts():
    states, order = torch.randn(2, 5, 3).double(), torch.tensor([3, 0, 4, 1, 2])
    torch.testing.assert_close(TemporalAttention()(states[:, order]), TemporalAttention()(states)[:, order])


@pytest.mark.plain
def test_wrong_shapes_are_named():
    with pytest.raises(ValueError, match=r"states: expected \(batch, time, features\) or .* got shape \(2, 5\)"):
        TemporalAttention()(torch.randn(2, 5))
    with pytest.raises(ValueError, match=r"query: expected one step \(2, 3\) a batch row, got shape \(2, 4\)"):
        TemporalAttention()(torch.randn(2, 5, 3), query=torch.randn(2, 4))
