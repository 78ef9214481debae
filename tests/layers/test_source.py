"""What holds for every attention over a source, and each mechanism against an oracle."""

import keras
import pytest
import torch
from cases import Case, must_hold
from largest import Largest

from regard.attend import plan
from regard.layers import AdditiveAttention, DotAttention, GeneralAttention, LocalAttention

B, T, S, Q, K = 3, 5, 7, 6, 4
LENGTHS = torch.tensor([7, 3, 1])


def layers():
    return {
        "additive": AdditiveAttention(Q, K, 5),
        "additive, bias": AdditiveAttention(Q, K, 5, bias=True),
        "dot": DotAttention(),
        "general": GeneralAttention(Q, K),
        "general, scaled": GeneralAttention(Q, K, scale=0.5),
        "local-m": LocalAttention(Q, K, 2),
        "local-p": LocalAttention(Q, K, 2, predictive=True, scale=0.5),
    }


@pytest.fixture(params=layers())
def layer(request):
    return layers()[request.param].double()


def inputs(layer, seed=0):
    torch.manual_seed(seed)
    width = Q if isinstance(layer, DotAttention) else K
    return torch.randn(B, T, Q).double(), torch.randn(B, S, width).double()


def draw(width):
    def arguments(batch, time):
        lengths = torch.randint(1, time + 1, (batch,)) if time else torch.zeros(batch).long()
        return torch.randn(batch, T, Q), torch.randn(batch, time, width), lengths

    return arguments


def plainly(layer, query, states, lengths):
    """Softmax over the scores that torch alone makes of the layer's parameters."""
    if isinstance(layer, AdditiveAttention):
        hidden = layer.query(query)[:, :, None] + layer.key(states)[:, None]
        e = torch.tanh(hidden) @ layer.v
    elif isinstance(layer, GeneralAttention):
        e = layer.scale * query @ layer.key(states).mT
    else:
        e = query @ states.mT
    hidden = torch.arange(states.shape[1]) >= lengths[:, None, None]
    after = 1.0
    if isinstance(layer, LocalAttention):
        if layer.place is None:
            p = torch.arange(query.shape[1])[None]
        else:
            inner, outer = layer.place[0].weight, layer.scale * layer.place[2].weight
            p = lengths[:, None] * torch.sigmoid((torch.tanh(query @ inner.T) @ outer.T)[..., 0])
            after = torch.exp(-2 * ((torch.arange(states.shape[1]) - p[..., None]) / layer.window) ** 2)
        hidden = hidden | ((torch.arange(states.shape[1]) - p[..., None]).abs() > layer.window)
    empty = hidden.all(-1, keepdim=True)
    alpha = torch.softmax(e.masked_fill(hidden & ~empty, -torch.inf), -1).masked_fill(empty, 0) * after
    return alpha @ states


test_what_must_hold = must_hold(
    {
        name: Case(
            lambda name=name: layers()[name],
            draw(Q if name == "dot" else K),
            plainly,
            lengths=2,
            padded=(1,),
        )
        for name in layers()
    }
)


def test_weights_times_states_is_the_context_and_weights_sum_to_one(layer):
    query, states = inputs(layer)
    alpha = layer.weights(query, states, LENGTHS)
    assert alpha.shape == (B, T, S)
    torch.testing.assert_close(alpha @ states, layer(query, states, LENGTHS))
    beyond = torch.arange(S) >= LENGTHS[:, None]
    assert (alpha.masked_select(beyond[:, None]) == 0).all()
    if not isinstance(layer, LocalAttention):
        torch.testing.assert_close(alpha.sum(-1), torch.ones(B, T).double())
        torch.testing.assert_close(torch.softmax(layer.scores(query, states, LENGTHS), -1), alpha)


def test_a_source_prepared_once_gives_what_it_gives_unprepared(layer):
    query, states = inputs(layer)
    memory = layer.prepare(states, LENGTHS)
    steps = [layer(query[:, t, None], memory, position=torch.full((B, 1), t)) for t in range(T)]
    torch.testing.assert_close(torch.cat(steps, 1), layer(query, states, LENGTHS))


def test_selected_rows_of_a_memory(layer):
    query, states = inputs(layer)
    rows = torch.tensor([2, 0])
    memory = layer.prepare(states, LENGTHS).select(rows)
    torch.testing.assert_close(layer(query[rows], memory), layer(query, states, LENGTHS)[rows])


@pytest.mark.plain
def test_wrong_shapes_are_named(layer):
    query, states = inputs(layer)
    with pytest.raises(ValueError, match=r"states: expected \(batch, source, features\), got shape \(7, "):
        layer.prepare(states[0])
    with pytest.raises(ValueError, match="lengths: expected 3 whole numbers"):
        layer.prepare(states, torch.tensor([1, 2]))
    if list(layer.parameters()):
        with pytest.raises(ValueError, match=r"states: expected torch\.float64, as the layer is, got torch\.float32"):
            layer.prepare(states.float())
    with pytest.raises(ValueError, match="query: expected"):
        layer(query[0], states)
    with pytest.raises(ValueError, match="prepared with its lengths already"):
        layer(query, layer.prepare(states), LENGTHS)


def keras_mask():
    return [None, torch.arange(S) < LENGTHS[:, None]]


def test_additive_equals_keras_fed_the_projections():
    layer = AdditiveAttention(Q, K, 5)
    query, states = torch.randn(B, T, Q), torch.randn(B, S, K)
    oracle = keras.layers.AdditiveAttention()
    projected = layer.query(query), states, layer.key(states)
    oracle.build([tuple(x.shape) for x in projected])
    oracle.scale.assign(layer.v.detach())
    context, weights = oracle(list(projected), mask=keras_mask(), return_attention_scores=True)
    torch.testing.assert_close(layer(query, states, LENGTHS), context, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(layer.weights(query, states, LENGTHS), weights, rtol=1e-5, atol=1e-5)


def test_keras_additive_attention_fed_the_states_themselves_is_another_mechanism():
    """It has no projections: it is Bahdanau's only where W_1 and W_2 are the identity."""
    layer, (query, states) = AdditiveAttention(Q, Q, Q), (torch.randn(B, T, Q), torch.randn(B, S, Q))
    oracle = keras.layers.AdditiveAttention()
    oracle.build([query.shape, states.shape])
    oracle.scale.assign(layer.v.detach())
    theirs = oracle([query, states], mask=keras_mask())
    assert (layer(query, states, LENGTHS) - theirs).abs().max() > 1e-2
    with torch.no_grad():
        for projection in (layer.query, layer.key):
            projection.weight.copy_(torch.eye(Q))
    torch.testing.assert_close(layer(query, states, LENGTHS), theirs, rtol=1e-5, atol=1e-5)


def test_dot_and_general_equal_keras():
    query, states, other = torch.randn(B, T, Q), torch.randn(B, S, Q), torch.randn(B, S, K)
    general, oracle = GeneralAttention(Q, K), keras.layers.Attention()
    for layer, ours, theirs in (
        (DotAttention(), states, [query, states]),
        (general, other, [query, other, general.key(other)]),
    ):
        wanted = oracle(theirs, mask=keras_mask())
        torch.testing.assert_close(layer(query, ours, LENGTHS), wanted, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("predictive", [False, True])
def test_local_attention_over_a_long_source_builds_nothing_that_grows_with_its_square(predictive):
    layer, largest = LocalAttention(Q, K, 2, predictive=predictive), []
    for time in (500, 1000):
        query, states = torch.randn(1, time, Q, requires_grad=True), torch.randn(1, time, K, requires_grad=True)
        with Largest() as found:
            layer(query, states).sum().backward()
        largest.append(found.numbers)
    assert largest[1] == 2 * largest[0]
    assert largest[1] <= 1000 * 5 * 2 * max(Q, K)


@pytest.mark.parametrize("predictive", [False, True])
def test_local_attention_gives_one_number_in_its_window_and_over_all_positions(predictive):
    layer = LocalAttention(Q, K, 2, predictive=predictive).double()
    query, states, lengths = torch.randn(B, 60, Q).double(), torch.randn(B, 60, K).double(), torch.tensor([60, 33, 1])
    everywhere = torch.ones(60, 60, dtype=torch.bool)
    for position in (None, torch.randint(0, 70, (B, 60))):
        windowed = layer(query, states, lengths, position=position)
        torch.testing.assert_close(windowed, layer(query, states, lengths, mask=everywhere, position=position))
        alpha = layer.weights(query, states, lengths, position=position)
        torch.testing.assert_close(windowed, alpha @ states)


def test_local_attention_wants_a_window():
    with pytest.raises(ValueError, match="window: expected at least 1"):
        LocalAttention(4, 4, 0)


def test_padding_is_told_as_lengths_so_that_long_sources_are_not_computed_behind_them():
    layer, lengths = DotAttention(), torch.tensor([256, 9, 100])
    memory = layer.prepare(torch.randn(3, 256, 64), lengths)
    query = torch.randn(3, 256, 64)
    assert plan(query[:, None], memory.keys, memory.values).kernel == "lengths"
    rows = torch.tensor([2, 0])
    some = memory.select(rows)
    assert some.keys.mask.key_lengths().tolist() == [100, 256]
    torch.testing.assert_close(layer(query[rows], some), layer(query, memory)[rows])
