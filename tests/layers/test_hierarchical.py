"""Hierarchical attention against a loop over single documents, part by part, with torch alone."""

import pytest
import torch
from cases import Case, compare, must_hold, results
from grids import lengths_of, softmax_within
from torch import nn

from regard.layers import HierarchicalAttention


def pooled(level, parts):
    """softmax(uᵀ tanh(W h + b)) over a list of vectors; 0 for an empty list."""
    if not parts:
        return torch.zeros(level.key.in_features, dtype=level.u.dtype)
    h = torch.stack(parts)
    e = torch.tanh(h @ level.key.weight.T + (0 if level.key.bias is None else level.key.bias)) @ level.u
    return torch.softmax(e, 0) @ h


def vector(layer, states, lengths, depth):
    """One document, by recursion: `lengths` as nested lists; None where there is nothing in it."""
    parts = []
    for i in range(lengths[0]):
        part = states[i] if depth == 0 else vector(layer, states[i], [x[i] for x in lengths[1:]], depth - 1)
        if part is not None:
            parts.append(part)
    if not parts:
        return None
    if layer.encoders is not None:
        parts = list(layer.encoders[depth](torch.stack(parts)[None], torch.tensor([len(parts)]))[0])
    return pooled(layer.levels[depth], parts)


def loop(layer, states, *lengths):
    depth = len(layer.levels) - 1
    found = [vector(layer, x, [n[row].tolist() for n in lengths], depth) for row, x in enumerate(states)]
    return torch.stack([states.new_zeros(layer.levels[-1].key.in_features) if x is None else x for x in found])


def plainly(wrapped, states, *lengths):
    """All documents at once, without encoders: a part is there if it is within its length and something is in it."""
    something = None
    for level in wrapped.layer.levels:
        *lengths, innermost = lengths
        there = torch.arange(states.shape[-2]) < innermost[..., None]
        there = there if something is None else there & something
        alpha = softmax_within(torch.tanh(level.key(states)) @ level.u, there)
        states = (alpha[..., None] * torch.where(there[..., None], states, 0)).sum(-2)
        something = there.any(-1)
    return states


class OneLevelGiven(nn.Module):
    """Lengths one by one, as the checks want them."""

    def __init__(self, *sizes, bias=True):
        super().__init__()
        self.layer = HierarchicalAttention(sizes, 5, bias=bias)

    def forward(self, states, *lengths):
        return self.layer(states, [n if n.ndim == 1 else n[:, : states.shape[1]] for n in lengths])


def draw_words(batch, time):
    return torch.randn(batch, time, 4), lengths_of(batch, time)


def draw_sentences(batch, time):
    return torch.randn(batch, time, 6, 4), lengths_of(batch, time), torch.randint(1, 7, (batch, time))


def draw_chapters(batch, time):
    words = torch.randint(0, 6, (batch, time, 4))
    return torch.randn(batch, time, 4, 5, 4), lengths_of(batch, time), torch.randint(1, 5, (batch, time)), words


test_what_must_hold = must_hold(
    {
        name: Case(
            lambda sizes=sizes, bias=bias: OneLevelGiven(*sizes, bias=bias),
            draw,
            plainly,
            lengths=1,
            padded=(0,),
            without=without,
        )
        for name, sizes, bias, draw, without in (
            ("words", (4,), True, draw_words, {}),
            ("words, no bias", (4,), False, draw_words, {}),
            ("sentences", (4, 4), True, draw_sentences, {}),
            ("chapters", (4, 4, 4), True, draw_chapters, {}),
        )
    }
)


class Cumulative(nn.Module):
    """An encoder whose output at t depends on all before t: h_t = W Σ_{i ≤ t} x_i; notes how many rows it was given."""

    def __init__(self, features, hidden):
        super().__init__()
        self.map, self.rows = nn.Linear(features, hidden, bias=False), []

    def forward(self, states, lengths):
        assert (lengths > 0).all()
        self.rows.append(len(lengths))
        return self.map(states.cumsum(1))


LENGTHS = [torch.tensor([4, 3, 0, 2]), torch.tensor([[2, 0, 5, 1], [0, 0, 3, 9], [4, 4, 4, 4], [0, 0, 0, 0]])]


def ragged():
    lengths = [LENGTHS[0], LENGTHS[1].clamp(max=5)]
    return torch.randn(4, 4, 5, 3).double(), lengths


@pytest.mark.parametrize("encoded", [False, True])
def test_blank_parts_weigh_nothing_wherever_they_stand(encoded):
    encoders = [Cumulative(3, 4), Cumulative(4, 6)] if encoded else None
    layer = HierarchicalAttention([4, 6] if encoded else [3, 3], 5, encoders=encoders).double()
    states, lengths = ragged()
    ours, truth = ([states.clone().requires_grad_()] for _ in range(2))
    wanted = results(lambda x: loop(layer, x, *lengths), truth, layer)
    compare(results(lambda x: layer(x, lengths), ours, layer), wanted, 1e-10)
    for encoder in encoders or ():
        encoder.rows.clear()
    sentences, words = layer.weights(states, lengths)
    assert sentences.shape == (4, 4)
    assert words.shape == (4, 4, 5)
    there = torch.tensor([[1, 0, 1, 1], [0, 0, 1, 0], [0, 0, 0, 0], [0, 0, 0, 0]]).bool()
    assert ((sentences > 0) == there).all()
    torch.testing.assert_close(sentences.sum(-1), there.any(-1).double())
    torch.testing.assert_close(words.sum(-1), there.double())
    if encoded:
        assert encoders[0].rows == [4]  # sentences with words
        assert encoders[1].rows == [2]  # documents with such


@pytest.mark.parametrize("encoded", [False, True])
def test_padding_changes_nothing(encoded):
    encoders = [Cumulative(3, 4), Cumulative(4, 6)] if encoded else None
    layer = HierarchicalAttention([4, 6] if encoded else [3, 3], 5, encoders=encoders).double()
    states, lengths = ragged()
    more = torch.full((4, 6, 9, 3), torch.nan).double()
    more[:, :4, :5] = states
    longer = [lengths[0], torch.cat([lengths[1], torch.tensor([[9, 9]]).expand(4, 2)], 1)]
    torch.testing.assert_close(layer(more, longer), layer(states, lengths))
    for level, (found, wanted) in enumerate(
        zip(layer.weights(more, longer), layer.weights(states, lengths), strict=True)
    ):
        torch.testing.assert_close(found[:, :4] if level == 0 else found[:, :4, :5], wanted)


def test_with_nothing_said_all_of_it_counts():
    layer, states = HierarchicalAttention([3, 3], 5).double(), torch.randn(2, 4, 5, 3).double()
    full = [torch.full((2,), 4), torch.full((2, 4), 5)]
    torch.testing.assert_close(layer(states), layer(states, full))
    assert torch.equal(layer.scores(states)[1], layer.attended(states).scores[1])


def test_batches_in_which_nothing_is_there():
    encoders = [Cumulative(3, 4), Cumulative(4, 6)]
    layer = HierarchicalAttention([4, 6], 5, encoders=encoders)
    for batch, sentences, words in ((2, 3, 0), (2, 0, 3), (0, 2, 3), (2, 3, 4)):
        lengths = [torch.full((batch,), sentences), torch.zeros(batch, sentences).long()]
        found = layer(torch.randn(batch, sentences, words, 3), lengths)
        assert found.shape == (batch, 6)
        assert (found == 0).all()


@pytest.mark.plain
def test_wrong_shapes_are_named():
    layer = HierarchicalAttention([3, 3], 5)
    with pytest.raises(ValueError, match=r"states: expected \(batch, time, time, features\), a time for each of 2"):
        layer(torch.randn(2, 4, 3))
    with pytest.raises(ValueError, match="lengths: expected 2 tensors, one a level, the outermost first, got 1"):
        layer(torch.randn(2, 4, 5, 3), [torch.tensor([1, 2])])
    with pytest.raises(ValueError, match=r"lengths\[1\]: expected whole numbers of shape \(2, 4\), got torch.int64"):
        layer(torch.randn(2, 4, 5, 3), [torch.tensor([1, 2]), torch.tensor([1, 2])])
    with pytest.raises(ValueError, match="encoders: expected 2, one a level, got 1"):
        HierarchicalAttention([3, 3], 5, encoders=[nn.Identity()])
    with pytest.raises(ValueError, match="features: expected the sizes of one level or more"):
        HierarchicalAttention([], 5)
