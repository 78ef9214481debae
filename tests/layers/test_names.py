"""The names that are defaults: each against the class it stands for, and against others' layers."""

from types import FunctionType

import keras
import pytest
import torch
import torch.nn.functional as F
from cases import Case, must_hold

import regard
from regard import layers
from regard.equation.masks import causal, dense
from regard.layers import (
    CrossAttention,
    DotAttention,
    GeneralAttention,
    GlobalAttention,
    MaskedSelfAttention,
    MultiHeadAttention,
    ScaledDotProductAttention,
    SelfAttention,
    SoftAttention,
    names,
)

B, T, S, D = 3, 5, 7, 6


def draw(batch, time):
    lengths = torch.randint(1, time + 1, (batch,)) if time else torch.zeros(batch).long()
    return torch.randn(batch, T, D), torch.randn(batch, time, D), lengths


def with_values(batch, time):
    query, keys, lengths = draw(batch, time)
    return query, keys, torch.randn(batch, time, 4), lengths


class Valued(ScaledDotProductAttention):
    """Its arguments in the order that the checks give them."""

    def forward(self, query, keys, values, lengths):
        return super().forward(query, keys, lengths, values=values)


def fused(layer, query, keys, values, lengths):
    """PyTorch's own attention."""
    within = torch.arange(keys.shape[1]) < lengths[:, None, None, None]
    query, keys, values = (x.unsqueeze(1) for x in (query, keys, values))
    return F.scaled_dot_product_attention(query, keys, values, within)[:, 0]


def dot(layer, query, keys, lengths):
    e = query @ (layer.key(keys) if isinstance(layer, GlobalAttention) else keys).mT
    beyond = torch.arange(keys.shape[1]) >= lengths[:, None, None]
    return torch.softmax(e.masked_fill(beyond, -torch.inf), -1) @ keys


test_what_must_hold = must_hold(
    {
        "scaled dot-product": Case(Valued, with_values, fused, lengths=3, padded=(1, 2)),
        "soft": Case(SoftAttention, draw, dot, lengths=2, padded=(1,)),
        "global": Case(lambda: GlobalAttention(D, D), draw, dot, lengths=2, padded=(1,)),
    }
)


NAMES = (
    "SelfAttention",
    "GlobalAttention",
    "LocalAttention",
    "MultiHeadAttention",
    "CrossAttention",
    "MaskedSelfAttention",
    "ScaledDotProductAttention",
    "AdditiveAttention",
    "DotAttention",
    "HierarchicalAttention",
    "SparseAttention",
    "HardAttention",
    "SoftAttention",
    "TemporalAttention",
    "SpatialAttention",
    "ChannelAttention",
    "CoAttention",
    "MemoryAttention",
    "HAN",
)


@pytest.mark.parametrize("name", NAMES)
def test_each_mechanism_is_a_name_of_the_package(name):
    assert name in regard.__all__
    assert issubclass(getattr(regard, name), torch.nn.Module)


@pytest.mark.parametrize("name", names.__all__)
def test_a_name_is_defaults_and_nothing_more(name):
    layer = getattr(layers, name)
    assert [member for member, value in vars(layer).items() if isinstance(value, FunctionType)] in ([], ["__init__"])
    assert issubclass(layer, (MultiHeadAttention, DotAttention, GeneralAttention))


def test_soft_and_global_attention_are_keras_attention():
    query, states, lengths = draw(B, S)
    mask = [None, torch.arange(S) < lengths[:, None]]
    oracle, general = keras.layers.Attention(), GlobalAttention(D, D)
    wanted = oracle([query, states], mask=mask)
    torch.testing.assert_close(SoftAttention()(query, states, lengths), wanted, rtol=1e-5, atol=1e-5)
    wanted = oracle([query, states, general.key(states)], mask=mask)
    torch.testing.assert_close(general(query, states, lengths), wanted, rtol=1e-5, atol=1e-5)


def test_soft_is_dot_and_global_with_the_identity_is_dot():
    query, states, lengths = draw(B, S)
    wanted = DotAttention()(query, states, lengths)
    assert torch.equal(SoftAttention()(query, states, lengths), wanted)
    layer = GlobalAttention(D, D)
    with torch.no_grad():
        layer.key.weight.copy_(torch.eye(D))
    torch.testing.assert_close(layer(query, states, lengths), wanted)
    assert isinstance(layer, GeneralAttention)


@pytest.mark.parametrize("projected", [True, False])
def test_cross_attention_with_identities_for_projections_is_attention_without(projected):
    layer = CrossAttention(D) if projected else ScaledDotProductAttention()
    if projected:
        with torch.no_grad():
            layer.joint.weight.copy_(torch.eye(D).repeat(3, 1))
    query, states, _ = draw(B, S)
    wanted = F.scaled_dot_product_attention(query[:, None], states[:, None], states[:, None])[:, 0]
    torch.testing.assert_close(layer(query, states), wanted)
    torch.testing.assert_close(layer(query, layer.prepare(states)), wanted)


def test_masked_self_attention_is_sdpas_causal():
    layer = MaskedSelfAttention(D).double()
    x = torch.randn(B, S, D).double()
    q, k, v = (part.unsqueeze(1) for part in layer.joint(x))
    torch.testing.assert_close(layer(x), F.scaled_dot_product_attention(q, k, v, is_causal=True)[:, 0])
    torch.testing.assert_close(layer(x), SelfAttention.forward(_as(SelfAttention(D), layer), x, mask=causal()))


def _as(layer, other):
    layer.load_state_dict(other.state_dict())
    return layer.double()


def test_self_attention_of_one_head_is_multi_head_attention_of_one():
    one, many = SelfAttention(D), MultiHeadAttention(D, 1, bias=False, output=False)
    many.load_state_dict(one.state_dict())
    x = torch.randn(B, S, D)
    assert torch.equal(one(x), many(x))


def test_a_mask_says_who_sees_whom_here_too():
    query, states, lengths = draw(B, S)
    allowed = torch.rand(T, S) > 0.5
    weights = SoftAttention().weights(query, states, lengths, mask=allowed)
    seen = allowed & (torch.arange(S) < lengths[:, None, None])
    assert ((weights != 0) == seen).all()
    local = regard.LocalAttention(D, D, 1)
    of_all, of_some = (local.weights(query, states, lengths, mask=mask) for mask in (None, dense(allowed)))
    assert ((of_some != 0) == ((of_all != 0) & allowed)).all()


@pytest.mark.plain
def test_values_that_do_not_fit_are_named():
    query, states, _ = draw(B, S)
    with pytest.raises(ValueError, match=r"values: expected \(3, 7, features\), as states, got \(3, 6, 6\)"):
        SoftAttention()(query, states, values=states[:, 1:])
    with pytest.raises(ValueError, match="values: the memory was prepared with its values already"):
        SoftAttention()(query, SoftAttention().prepare(states), values=states)
