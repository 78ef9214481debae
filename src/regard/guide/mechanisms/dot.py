"""Row 9: dot-product attention."""

from __future__ import annotations

from regard.guide.page import Page, Picture, Proof, Session, Source, array


def _picture(session: Session) -> Picture:
    return Picture(
        array(session["weights"]),
        session["names"],
        ["query at 0°", "at 90°", "at 180°"],
        "Columns: queries of length 2. Rows: keys. Each column sums to 1.",
    )


def _check() -> list[Proof]:
    import torch

    from regard.guide.oracle import KERAS_BAR, difference, keras
    from regard.layers import DotAttention

    layer, inputs = DotAttention(), [torch.randn(2, 3, 5), torch.randn(2, 7, 5)]
    plain = difference(layer, lambda q, h: torch.softmax(q @ h.mT, -1) @ h, inputs)
    proofs = [Proof(plain, "softmax of q · h by torch")]
    library = keras()
    if library is not None:
        oracle = library.layers.Attention(dtype="float64")
        error = difference(layer, lambda q, h: oracle([q, h]), inputs)
        proofs.append(Proof(error, "keras.layers.Attention", KERAS_BAR))
    return proofs


PAGE = Page(
    number=9,
    name="dot",
    title="Dot-product attention (Luong)",
    line="query and key are multiplied, feature by feature; no parameters",
    definition="The score of a pair is the dot product of the decoder's state and the source's state, as they are.",
    latex=r"\alpha_t(s) = \operatorname{softmax}_s\!\left(h_t^\top h_s\right),\qquad c_t = \sum_s \alpha_t(s)\, h_s",
    equation="α_t(s) = softmax_s(h_tᵀ h_s)\nc_t = Σ_s α_t(s) h_s",
    explanation="The cheapest score: one matrix product for all pairs and nothing to learn. Both sides must have the "
    "same features and mean the same by them, which training sees to. A score grows with the angle's cosine and with "
    "both lengths. Nothing divides it: in many dimensions take row 7.",
    analogy="Puzzle pieces: hold two together and see how far their edges agree.",
    sources=(Source("Luong, Pham and Manning 2015", "https://arxiv.org/abs/1508.04025"),),
    setup="""\
import torch
from regard.layers import DotAttention

angles = torch.tensor([0, 45, 90, 180]).deg2rad()
directions = torch.stack([angles.cos(), angles.sin()], 1)
keys = torch.cat([directions, 2 * directions[1:2]])[None]
names = ["0°", "45°", "90°", "180°", "45°, twice as long"]
queries = 2 * directions[None, [0, 2, 3]]
""",
    code="""\
layer = DotAttention()
contexts = layer(queries, keys)
weights = layer.weights(queries, keys)[0]
""",
    seen="Keys in the query's direction win, opposite ones get almost nothing. Length counts as well: the long key at "
    "45° beats the short one at 0°, though that points exactly where the query does.",
    picture=_picture,
    check=_check,
)
