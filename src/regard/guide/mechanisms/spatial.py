"""Row 15: spatial attention."""

from __future__ import annotations

from regard.guide.page import Page, Picture, Proof, Session, Source, array


def _picture(session: Session) -> Picture:
    return Picture(
        array(session["weights"].T),
        [f"y {i + 1}" for i in range(5)],
        [f"x {j + 1}" for j in range(7)],
        "The image itself: each cell is a place, its number the weight of that place. All cells together sum to 1.",
    )


def _check() -> list[Proof]:
    import torch

    from regard.guide.oracle import difference
    from regard.layers import NonLocalAttention, SpatialAttention

    def one_by_one(h: torch.Tensor) -> torch.Tensor:
        images = []
        for image in h:
            energy = torch.stack([image[:, y, x] @ image[:, y, x] for y in range(3) for x in range(4)]).exp()
            images.append(12 * (energy / energy.sum()).view(3, 4) * image)
        return torch.stack(images)

    error = difference(SpatialAttention(), one_by_one, [torch.randn(2, 3, 3, 4)])
    layer = NonLocalAttention(6, 4).double()

    def flattened(x: torch.Tensor) -> torch.Tensor:
        h = x.flatten(2).mT
        y = torch.softmax(layer.query(h) @ layer.key(h).mT, -1) @ layer.value(h)
        return (layer.out(y) + h).mT.reshape(x.shape)

    every = difference(layer, flattened, [torch.randn(2, 6, 3, 4)], layer.parameters())
    return [Proof(max(error, every), "a loop over the places of the grid; non-local: softmax over the flattened grid")]


PAGE = Page(
    number=15,
    name="spatial",
    title="Spatial attention",
    line="where in an image to look",
    definition="Each place of an image's feature map gets a weight, and the map is multiplied by them.",
    latex=r"\alpha_{ij} = \operatorname{softmax}_{ij}\!\left(h_{ij}^\top h_{ij}\right),\qquad y = N\,\alpha \odot h",
    equation="α_ij = softmax_ij(h_ijᵀ h_ij) over the grid\n"
    "y = N · α ⊙ h, N the number of places; pooled: Σ_ij α_ij h_ij",
    explanation="In this form the image asks itself: a place weighs as much as it has energy, h · h, so that what the "
    "network responds to grows and the background fades. The factor N makes an even map change nothing. Three other "
    "forms are there: a decoder's state asks the grid (`QueriedSpatialAttention`, image captions), every place asks "
    "every other (`NonLocalAttention`), and a gate that judges each place by itself (`CbamSpatialGate`).",
    analogy="A photographer who zooms in on what the picture is about.",
    sources=(
        Source("Xu et al. 2015, Show, Attend and Tell", "https://arxiv.org/abs/1502.03044"),
        Source("Wang et al. 2018, Non-local Neural Networks", "https://arxiv.org/abs/1711.07971"),
        Source("Woo et al. 2018, CBAM", "https://arxiv.org/abs/1807.06521"),
    ),
    setup="""\
import torch
from regard.layers import SpatialAttention

bird = torch.zeros(5, 7)
bird[1, 4], bird[2, 3:5], bird[3, 4] = 0.8, 1.0, 0.9
features = torch.rand(4, 5, 7) * 0.3 + bird  # (channels, height, width)
""",
    code="""\
layer = SpatialAttention()
sharpened = layer(features[None])  # N · α ⊙ h
weights = layer.weights(features[None])[0]  # (height, width)
""",
    seen="Something stands right of the middle, and most of the weight lies on its four places; the background has "
    "little.",
    picture=_picture,
    check=_check,
)
