"""What comes in is checked by name: lengths and flags, formats and devices, for every layer that looks at grids,
sequences and pairs."""

import pytest
import torch

from regard.layers import (
    AlternatingCoAttention,
    AttentionPooling,
    Cbam,
    CbamChannelGate,
    CbamSpatialGate,
    ChannelAttention,
    CoAttention,
    DualStageAttention,
    EfficientChannelAttention,
    HierarchicalAttention,
    NonLocalAttention,
    ParallelCoAttention,
    SpatialAttention,
    SqueezeExcitation,
    TemporalAttention,
)
from regard.layers.padding import both_within, hidden, within

pytestmark = pytest.mark.plain

GRID, STATES, PAIR = torch.randn(2, 4, 3, 5), torch.randn(2, 6, 4), (torch.randn(2, 6, 4), torch.randn(2, 5, 4))
WITHOUT_PARAMETERS = [
    (SpatialAttention(), "grid", (GRID,)),
    (TemporalAttention(), "states", (STATES,)),
    (CoAttention(), "first", PAIR),
]
WITH_PARAMETERS = [
    (NonLocalAttention(4), "grid", (GRID,)),
    (ChannelAttention(15, 3), "grid", (GRID,)),
    (SqueezeExcitation(4), "grid", (GRID,)),
    (EfficientChannelAttention(4), "grid", (GRID,)),
    (CbamChannelGate(4), "grid", (GRID,)),
    (CbamSpatialGate(), "grid", (GRID,)),
    (Cbam(4), "grid", (GRID,)),
    (AttentionPooling(4, 3), "states", (STATES,)),
    (HierarchicalAttention([4], 3), "states", (STATES,)),
    (ParallelCoAttention(4, 4, 3), "first", PAIR),
    (AlternatingCoAttention(4, 4, 3), "first", PAIR),
    (DualStageAttention(4, 6, 3, 3), "driving", (STATES, torch.randn(2, 5))),
]


def of_class(x):
    return type(x).__name__ if isinstance(x, torch.nn.Module) else None


@pytest.mark.parametrize(("layer", "name", "given"), WITHOUT_PARAMETERS + WITH_PARAMETERS, ids=of_class)
def test_what_is_no_number_is_named(layer, name, given):
    layer(*given)
    with pytest.raises(ValueError, match=f"{name}: expected a tensor in floating point, got torch.int64"):
        layer(given[0].long(), *given[1:])
    with pytest.raises(ValueError, match=f"{name}: expected a tensor in floating point, got None"):
        layer(None, *given[1:])


@pytest.mark.parametrize(("layer", "name", "given"), WITH_PARAMETERS, ids=of_class)
def test_another_format_or_device_than_the_layer_is_named(layer, name, given):
    with pytest.raises(ValueError, match=f"{name}: expected torch.float32, as the layer has, got torch.float64"):
        layer(given[0].double(), *given[1:])
    with pytest.raises(ValueError, match=f"{name}: expected on cpu, where the layer is, got on meta"):
        layer(given[0].to("meta"), *given[1:])
    with torch.autocast("cpu", torch.bfloat16):
        layer(given[0].bfloat16(), *given[1:])


def test_what_meets_must_be_alike():
    with pytest.raises(ValueError, match=r"second: expected torch.float32, as first has, got torch.float64"):
        CoAttention()(PAIR[0], PAIR[1].double())
    with pytest.raises(ValueError, match=r"query: expected torch.float32, as states has, got torch.float64"):
        TemporalAttention()(STATES, query=STATES[:, 0].double())


def test_lengths_and_flags():
    flags = torch.tensor([[1, 0, 1], [0, 0, 0]]).bool()
    assert within(None, 2, 3, flags.device).all()
    assert torch.equal(within(flags, 2, 3, flags.device), flags)
    assert within(torch.tensor([2, 0]), 2, 3, flags.device).tolist() == [[True, True, False], [False, False, False]]
    states = torch.full((2, 3, 1), torch.nan)
    assert torch.equal(hidden(states, flags).isnan()[..., 0], flags)
    assert both_within(flags, flags).dense(2, 1, 3, 3)[0, 0].tolist() == [
        [True, False, True],
        [False, False, False],
        [True, False, True],
    ]
