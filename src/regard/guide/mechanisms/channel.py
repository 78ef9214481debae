"""Row 16: channel attention."""

from __future__ import annotations

from regard.guide.page import Page, Picture, Proof, Session, Source, array


def _picture(session: Session) -> Picture:
    return Picture(
        array(session["weights"]),
        session["channels"],
        ["image 1", "image 2"],
        "Columns: images. Rows: channels. Each column sums to 1.",
    )


def _check() -> list[Proof]:
    import torch

    from regard.guide.oracle import difference, installed
    from regard.layers import ChannelAttention, SqueezeExcitation

    layer = ChannelAttention(12, 5).double()

    def one_by_one(h: torch.Tensor) -> torch.Tensor:
        images = []
        for image in h:
            e = torch.stack([layer.u @ torch.tanh(layer.key.weight @ channel.flatten()) for channel in image]).exp()
            images.append(6 * (e / e.sum())[:, None, None] * image)
        return torch.stack(images)

    inputs = [torch.randn(2, 6, 3, 4)]
    error = difference(layer, one_by_one, inputs, layer.parameters())
    gate = SqueezeExcitation(6, 2).double()

    def squeezed(h: torch.Tensor) -> torch.Tensor:
        return torch.sigmoid(gate.excite(torch.relu(gate.squeeze(h.mean((2, 3))))))[..., None, None] * h

    oracle, name, parameters = squeezed, "SE by torch (timm.layers cannot be imported)", list(gate.parameters())
    timm = installed("timm.layers")
    if timm is not None:
        module = timm.SEModule(6, rd_channels=3).double()
        pairs = ((module.fc1, gate.squeeze), (module.fc2, gate.excite))
        for theirs, ours in pairs:
            theirs.weight.data, theirs.bias.data = ours.weight.data[..., None, None], ours.bias.data
        oracle, name, parameters = module, "SE by timm.layers", []
    error = max(error, difference(gate, oracle, inputs, parameters))
    return [Proof(error, f"a loop over the channels; {name}")]


PAGE = Page(
    number=16,
    name="channel",
    title="Channel attention",
    line="which feature maps of an image matter",
    definition="Each channel of an image's features is seen as one vector, gets one weight, and is multiplied by it.",
    latex=r"\alpha_c = \operatorname{softmax}_c\!\left(u^\top \tanh(W h_c)\right),\qquad y = N\,\alpha \odot h",
    equation="α_c = softmax_c(uᵀ tanh(W h_c)), h_c channel c's map, flattened\n"
    "y = N · α ⊙ h, N the number of channels; pooled: Σ_c α_c h_c",
    explanation="A channel is a detector: for edges, for fur, for red. In one image some of them have something to "
    "say. W and u are shared by all channels and learn by which map one recognises that. Here the channels compete for "
    "a sum of 1. Squeeze-and-excitation, ECA and CBAM's channel gate judge each by itself with a sigmoid instead "
    "(`SqueezeExcitation`, `EfficientChannelAttention`, `CbamChannelGate`).",
    analogy="The colour sliders of an image editor: more red, less blue, until what matters comes out.",
    sources=(
        Source("Hu et al. 2018, Squeeze-and-Excitation", "https://arxiv.org/abs/1709.01507"),
        Source("Wang et al. 2020, ECA-Net", "https://arxiv.org/abs/1910.03151"),
        Source("Woo et al. 2018, CBAM", "https://arxiv.org/abs/1807.06521"),
    ),
    setup="""\
import torch
from regard.layers import ChannelAttention

channels = ["vertical line", "horizontal line", "noise"]
line, noise = torch.zeros(5, 5), 0.3 * torch.randn(2, 5, 5)
line[:, 2] = 1.0
empty = torch.zeros(5, 5)
images = torch.stack([torch.stack([line, empty, noise[0]]), torch.stack([empty, line.T, noise[1]])])
shapes = torch.stack([line.flatten(), line.T.flatten()])  # what W looks for
""",
    code="""\
layer = ChannelAttention(positions=25, hidden=2)
layer.load_state_dict({"key.weight": shapes, "u": torch.tensor([2.0, 2.0])})
weights = layer.weights(images)
""",
    seen="The first image has a vertical line in it, the second a horizontal one; each time the channel that found a "
    "line gets the weight, and noise gets little.",
    picture=_picture,
    check=_check,
)
