"""No parameter of a call changes what it returns, and heads are never averaged: who wants weights asks for weights."""

from __future__ import annotations

import inspect
import types
from typing import Any, Union, get_origin

import pytest
import torch
from torch import Tensor, nn

import regard
from regard import layers

ASKED = ("forward", "attended", "weights", "scores")
OTHERS = ("prepare", "packed", "reads", "write")
LAYERS = {
    name: layer
    for name in layers.__all__
    if isinstance(layer := getattr(layers, name), type)
    and issubclass(layer, nn.Module)
    and layer.forward is not nn.Module.forward  # positions are no attention
}

X, GRID, NESTED = torch.randn(2, 5, 6), torch.randn(2, 6, 3, 3), torch.randn(2, 3, 4, 6)
LENGTHS = torch.tensor([5, 2])
LOWER = torch.ones(5, 5).bool().tril()
SOURCE = (
    (X, X),
    {"lengths": LENGTHS, "values": X[..., :3], "mask": LOWER, "position": torch.arange(5).expand(2, 5)},
)
HEADS = ((X, X), {"lengths": LENGTHS, "values": X + 1, "mask": LOWER, "bias": torch.randn(5, 5)})
PAIR = ((X, X[:, :4]), {"first_lengths": LENGTHS, "second_lengths": torch.tensor([4, 1])})
IMAGE = ((GRID,), {"mask": torch.ones(2, 3, 3).bool().tril()})
CALLS: dict[str, tuple[nn.Module, tuple[tuple, dict[str, Any]]]] = {
    "AdditiveAttention": (layers.AdditiveAttention(6, 6, 4), SOURCE),
    "AlternatingCoAttention": (layers.AlternatingCoAttention(6, 6, 4), PAIR),
    "AttentionPooling": (layers.AttentionPooling(6, 4), ((X,), {"lengths": LENGTHS})),
    "Cbam": (layers.Cbam(6, 2), IMAGE),
    "CbamChannelGate": (layers.CbamChannelGate(6, 2), IMAGE),
    "CbamSpatialGate": (layers.CbamSpatialGate(3), IMAGE),
    "ChannelAttention": (layers.ChannelAttention(9, 4), IMAGE),
    "CoAttention": (layers.CoAttention(), PAIR),
    "CrossAttention": (layers.CrossAttention(6, 3), HEADS),
    "DotAttention": (layers.DotAttention(), SOURCE),
    "DualStageAttention": (layers.DualStageAttention(6, 5, 4, 4), ((X, X[:, 1:, 0]), {})),
    "EfficientChannelAttention": (layers.EfficientChannelAttention(6), IMAGE),
    "GeneralAttention": (layers.GeneralAttention(6, 6), SOURCE),
    "GlobalAttention": (layers.GlobalAttention(6, 6), SOURCE),
    "HardAttention": (layers.HardAttention(), SOURCE),
    "HierarchicalAttention": (
        layers.HierarchicalAttention([6, 6], 4),
        ((NESTED,), {"lengths": [torch.tensor([3, 1]), torch.tensor([[4, 2, 0], [1, 4, 4]])]}),
    ),
    "LinearAttention": (layers.LinearAttention(6, 3), ((X, X), {"lengths": LENGTHS, "values": X + 1})),
    "LocalAttention": (layers.LocalAttention(6, 6, 1), SOURCE),
    "MaskedSelfAttention": (layers.MaskedSelfAttention(6, 3), HEADS),
    "MemoryAttention": (layers.MemoryAttention(hops=2), ((X, X), {"lengths": LENGTHS})),
    "MultiHeadAttention": (layers.MultiHeadAttention(6, 3), HEADS),
    "NonLocalAttention": (layers.NonLocalAttention(6), IMAGE),
    "ParallelCoAttention": (layers.ParallelCoAttention(6, 6, 4), PAIR),
    "QueriedSpatialAttention": (
        layers.QueriedSpatialAttention(layers.DotAttention()),
        ((X, GRID), {"mask": torch.ones(2, 3, 3).bool().tril()}),
    ),
    "Reinforce": (layers.Reinforce(), ((X[:, 0, 0], X[:, 1, 0], X[:, 2, 0]), {})),
    "ScaledDotProductAttention": (layers.ScaledDotProductAttention(), SOURCE),
    "SelfAttention": (layers.SelfAttention(6, 3), HEADS),
    "SoftAttention": (layers.SoftAttention(), SOURCE),
    "SparseAttention": (layers.SparseAttention(regard.strided(2)), SOURCE),
    "SpatialAttention": (layers.SpatialAttention(), IMAGE),
    "SqueezeExcitation": (layers.SqueezeExcitation(6, 2), IMAGE),
    "TemporalAttention": (layers.TemporalAttention(), ((X,), {"lengths": LENGTHS, "query": X[:, 0]})),
}


def kind(found: Any) -> Any:
    """A result's type, and those of its parts where it is a tuple."""
    return (type(found), *map(kind, found)) if isinstance(found, tuple) else type(found)


def optional(function: Any) -> set[str]:
    return {p.name for p in inspect.signature(function).parameters.values() if p.default is not p.empty}


def calls() -> list[tuple[str, Any]]:
    """Every public way to ask: of the layers and of the door."""
    of_layers = [
        (f"{name}.{method}", getattr(layer, method))
        for name, layer in LAYERS.items()
        for method in (*ASKED, *OTHERS)
        if hasattr(layer, method)
    ]
    return [*of_layers, ("attend", regard.attend), ("attend_with_weights", regard.attend_with_weights)]


@pytest.mark.plain
@pytest.mark.parametrize(("name", "call"), calls(), ids=[name for name, _ in calls()])
def test_a_call_says_one_type_that_it_returns_and_takes_no_flag(name: str, call: Any) -> None:
    signature = inspect.signature(call)
    returned = signature.return_annotation
    assert returned not in (inspect.Signature.empty, Any, None), name
    assert get_origin(returned) not in (Union, types.UnionType), name
    assert not [p.name for p in signature.parameters.values() if p.annotation in (bool, "bool", bool | None)]


@pytest.mark.parametrize("name", LAYERS)
def test_no_parameter_of_a_layers_call_changes_the_type_it_returns(name: str) -> None:
    layer, (arguments, options) = CALLS[name]
    assert optional(layer.forward) - {"memory"} == set(options), "a new parameter is tried here too"
    for method in (method for method in ASKED if hasattr(layer, method)):
        call = getattr(layer, method)
        own = optional(call)  # none: it hands on what it is given
        takes = {option: value for option, value in options.items() if not own or option in own}
        plain = kind(call(*arguments))
        for training in (True, False):
            layer.train(training)
            for given in (*({option: value} for option, value in takes.items()), takes):
                assert kind(call(*arguments, **given)) == plain, (method, *given)
                with torch.no_grad():
                    assert kind(call(*arguments, **given)) == plain, (method, *given)


@pytest.mark.parametrize("call", [regard.attend, regard.attend_with_weights])
def test_no_parameter_of_the_door_changes_the_type_or_the_shape_it_returns(call: Any) -> None:
    q, v = torch.randn(2, 3, 5, 4), torch.randn(2, 3, 5, 2)
    options = {
        "score": regard.Dot(1.0),
        "mask": regard.causal(),
        "bias": regard.alibi(3),
        "normalise": "sparsemax",
        "after": torch.rand(5, 5),
        "dropout": 0.5,
    }
    assert optional(call) == set(options), "a new parameter is tried here too"
    plain = call(q, q, v)
    for given in (*({option: value} for option, value in options.items()), options):
        found = call(q, q, v, **given)
        assert type(found) is type(plain)
        of_context, of_weights = (found, None) if isinstance(found, Tensor) else (found.context, found.weights)
        assert of_context.shape == (2, 3, 5, 2)
        assert of_weights is None or of_weights.shape == (2, 3, 5, 5)


@pytest.mark.parametrize(
    "name", [name for name, layer in LAYERS.items() if "heads" in inspect.signature(layer).parameters]
)
def test_heads_are_never_averaged(name: str) -> None:
    layer, (arguments, _) = CALLS[name]
    for method in ("weights", "scores"):
        if hasattr(layer, method):
            found = getattr(layer, method)(*arguments)
            assert found.shape == (2, 3, 5, 5)
            assert not torch.allclose(found[:, 0], found[:, 1])
