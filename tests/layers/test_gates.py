"""SE, ECA and CBAM against timm with the same weights, and against plain torch."""

import pytest
import torch
import torch.nn.functional as F
from cases import Case, compare, must_hold, results
from grids import OnARow, lengths_of, within
from timm_layers import timm_layer
from torch import nn

from regard.layers import Cbam, CbamChannelGate, CbamSpatialGate, EfficientChannelAttention, SqueezeExcitation

C = 8


def draw(batch, time):
    return torch.randn(batch, time, C), lengths_of(batch, time)


def shown(states, lengths):
    return torch.where(within(states, lengths)[..., None], states, 0)


def mean(states, lengths):
    return shown(states, lengths).sum(1) / lengths[:, None].clamp(min=1).to(states.dtype)


def most(states, lengths):
    return torch.stack([x[:n].amax(0) if n else x.sum(0) * 0 for x, n in zip(states, lengths.tolist(), strict=True)])


def two_layers(layer, z):
    return layer.excite(torch.relu(layer.squeeze(z)))


def plain_se(layer, states, lengths):
    return torch.sigmoid(two_layers(layer.layer, mean(states, lengths)))[:, None] * shown(states, lengths)


def plain_eca(layer, states, lengths):
    e = F.conv1d(mean(states, lengths)[:, None], layer.layer.conv.weight, padding="same")[:, 0]
    return torch.sigmoid(e)[:, None] * shown(states, lengths)


def plain_channel(layer, states, lengths):
    layer = getattr(layer.layer, "channel", layer.layer)
    e = two_layers(layer, mean(states, lengths)) + two_layers(layer, most(states, lengths))
    return torch.sigmoid(e)[:, None] * shown(states, lengths)


def plain_spatial(layer, states, lengths):
    conv, x = getattr(layer.layer, "spatial", layer.layer).conv, shown(states, lengths)
    pair = torch.stack([x.mean(2), x.amax(2)], 1)[:, :, None]
    return torch.sigmoid(F.conv2d(pair, conv.weight, conv.bias, padding="same"))[:, 0, 0, :, None] * x


def plain_cbam(layer, states, lengths):
    return plain_spatial(layer, plain_channel(layer, states, lengths), lengths)


MAKERS = {
    "se": (lambda: SqueezeExcitation(C, 4), plain_se),
    "eca": (lambda: EfficientChannelAttention(C), plain_eca),
    "cbam's channel gate": (lambda: CbamChannelGate(C, 4), plain_channel),
    "cbam's spatial gate": (lambda: CbamSpatialGate(3), plain_spatial),
    "cbam": (lambda: Cbam(C, 4, 3), plain_cbam),
}

test_what_must_hold = must_hold(
    {
        name: Case(lambda make=make: OnARow(make()), draw, oracle, lengths=1, padded=(0,), draws=16)
        for name, (make, oracle) in MAKERS.items()
    }
)


def as_convolutions(linears):
    return {f"fc{i}.weight": x.weight[..., None, None] for i, x in enumerate(linears, 1)}


def random_statistics(norm):
    """A batch normalisation as after training."""
    for tensor in (norm.weight, norm.bias, norm.running_mean):
        nn.init.normal_(tensor)
    nn.init.uniform_(norm.running_var, 0.5, 2)


def folded(block):
    """Weight and bias of a convolution with the batch normalisation behind it."""
    norm = block.bn
    scale = norm.weight / torch.sqrt(norm.running_var + norm.eps)
    return block.conv.weight * scale, norm.bias - norm.running_mean * scale


def load_spatial(gate, theirs):
    random_statistics(theirs.conv.bn)
    weight, bias = folded(theirs.conv)
    gate.conv.load_state_dict({"weight": weight, "bias": bias})


def same(layer, oracle):
    layer, oracle = layer.double(), oracle.double().eval()
    ours, theirs = ([torch.randn(3, C, 5, 7, generator=torch.Generator().manual_seed(1)).double()] for _ in range(2))
    for x in (*ours, *theirs):
        x.requires_grad_()
    nobody = nn.Module()
    compare(results(layer, ours, nobody), results(oracle, theirs, nobody), 1e-10)


def test_se_equals_timm():
    layer = SqueezeExcitation(C, 4)
    oracle = timm_layer("squeeze_excite").SEModule(C, rd_channels=C // 4)
    biases = {"fc1.bias": layer.squeeze.bias, "fc2.bias": layer.excite.bias}
    oracle.load_state_dict(as_convolutions([layer.squeeze, layer.excite]) | biases)
    same(layer, oracle)


@pytest.mark.parametrize("channels", [4, 8, 64, 512, 2048])
def test_eca_takes_the_kernel_that_timm_takes(channels):
    oracle = timm_layer("eca").EcaModule(channels)
    assert EfficientChannelAttention(channels).conv.kernel_size == oracle.conv.kernel_size


def test_eca_equals_timm():
    layer, oracle = EfficientChannelAttention(C), timm_layer("eca").EcaModule(C)
    oracle.conv.load_state_dict(layer.conv.state_dict())
    same(layer, oracle)


def test_cbam_equals_timm_whole_and_in_parts():
    layer, oracle = Cbam(C, 4), timm_layer("cbam").CbamModule(C, rd_channels=C // 4)
    oracle.channel.load_state_dict(as_convolutions([layer.channel.squeeze, layer.channel.excite]))
    load_spatial(layer.spatial.double(), oracle.spatial.double())
    same(layer, oracle)
    same(layer.channel, oracle.channel)
    same(layer.spatial, oracle.spatial)


@pytest.mark.parametrize("make", [make for make, _ in MAKERS.values()], ids=MAKERS)
def test_an_image_padded_is_the_image(make):
    layer, image = make().double(), torch.randn(1, C, 3, 5).double()
    padded, mask = torch.full((1, C, 6, 8), torch.nan).double(), torch.zeros(1, 6, 8).bool()
    padded[:, :, :3, :5], mask[:, :3, :5] = image, True
    found = layer(padded, mask)
    torch.testing.assert_close(found[:, :, :3, :5], layer(image))
    assert (found[:, :, ~mask[0]] == 0).all()


def test_the_gates_alone():
    grid = torch.randn(2, C, 3, 5)
    for make, _ in MAKERS.values():
        layer = make()
        if isinstance(layer, Cbam):
            continue
        gate = layer.weights(grid)
        torch.testing.assert_close(gate, torch.sigmoid(layer.scores(grid)))
        spread = gate[:, :, None, None] if gate.shape == (2, C) else gate[:, None]
        torch.testing.assert_close(layer(grid), spread * grid)


@pytest.mark.plain
def test_wrong_arguments_are_named():
    with pytest.raises(ValueError, match="grid: expected 8 channels, got 7"):
        SqueezeExcitation(C)(torch.randn(2, 7, 3, 3))
    with pytest.raises(ValueError, match="kernel: expected an odd number of neighbours, got 4"):
        EfficientChannelAttention(C, 4)
    with pytest.raises(ValueError, match="expected 1 or more of each, got 8 and 0"):
        CbamChannelGate(C, 0)
    with pytest.raises(ValueError, match=r"grid: expected \(batch, channels, height, width\), got shape \(2, 8, 9\)"):
        CbamSpatialGate()(torch.randn(2, C, 9))
