"""Row 14: temporal attention."""

from __future__ import annotations

from regard.guide.page import Page, Picture, Proof, Session, Source, array


def _picture(session: Session) -> Picture:
    frames = [f"{t + 1} {scene}" for t, scene in enumerate(session["film"])]
    return Picture(
        array(session["weights"]),
        frames,
        frames,
        "Columns: the frame that looks. Rows: the frame it looks at. Each column sums to 1.",
    )


def _check() -> list[Proof]:
    import torch
    import torch.nn.functional as F

    from regard.guide.oracle import difference
    from regard.layers import TemporalAttention

    def oracle(x: torch.Tensor) -> torch.Tensor:
        h = x.flatten(2)
        return F.scaled_dot_product_attention(h, h, h, scale=1.0).view_as(x)

    layer = TemporalAttention()
    shapes = ((2, 6, 5), (2, 4, 3, 2, 2))
    error = max(difference(layer, oracle, [torch.randn(shape) / 2]) for shape in shapes)
    return [Proof(error, "scaled_dot_product_attention with scale 1 over the time axis, for a sequence and a video")]


PAGE = Page(
    number=14,
    name="temporal",
    title="Temporal attention",
    line="the steps of a series, or the frames of a film, look at each other",
    definition="Attention along the axis of time: a step's features, or a whole frame, are compared with those of "
    "every other step.",
    latex=r"\alpha_t(s) = \operatorname{softmax}_s\!\left(h_t^\top h_s\right),\qquad c_t = \sum_s \alpha_t(s)\, h_s,"
    r"\qquad s \text{ over time}",
    equation="α_t(s) = softmax_s(h_tᵀ h_s), s over time steps\nc_t = Σ_s α_t(s) h_s",
    explanation="What happened long ago is as near as what happened just now, if it resembles what is asked. Every "
    "step asks, unless `query=` gives one that does. A video (batch, time, channel, height, width) is compared frame "
    "by frame. The dual-stage form first weighs which of the input series matter at each step, then which steps "
    "(`regard.layers.DualStageAttention`, Qin 2017).",
    analogy="A film editor who goes through the reel and picks the frames that tell the story.",
    sources=(Source("Qin et al. 2017, dual-stage attention", "https://arxiv.org/abs/1704.02971"),),
    setup="""\
import torch
from regard.layers import TemporalAttention

film = "sea sea street street street sea".split()
scenes = {name: torch.randn(3, 8, 8) for name in ("sea", "street")}
video = torch.stack([scenes[name] + 0.3 * torch.randn(3, 8, 8) for name in film])[None]
""",
    code="""\
layer = TemporalAttention(scale=1 / 64)
contexts = layer(video)  # (batch, time, channel, height, width)
weights = layer.weights(video)[0]
""",
    seen="Each frame finds the frames of its own scene, the last one also those before the cut.",
    picture=_picture,
    check=_check,
)
