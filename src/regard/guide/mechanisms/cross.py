"""Row 5: cross-attention."""

from __future__ import annotations

from regard.guide.page import Page, Picture, Proof, Session, Source, array


def _picture(session: Session) -> Picture:
    return Picture(
        array(session["weights"]),
        session["english"],
        session["french"],
        "Columns: the sequence that asks. Rows: the one that is asked. Each column sums to 1.",
    )


def _check() -> list[Proof]:
    import torch
    import torch.nn.functional as F
    from torch import nn

    from regard.guide.oracle import difference
    from regard.layers import CrossAttention, ScaledDotProductAttention

    oracle = nn.MultiheadAttention(8, 2, kdim=5, vdim=5, bias=False, batch_first=True).double()
    layer = CrossAttention.from_torch(oracle)
    inputs = [torch.randn(2, 3, 8), torch.randn(2, 7, 5)]
    projected = difference(lambda d, e: layer(d, layer.prepare(e)), lambda d, e: oracle(d, e, e)[0], inputs)
    inputs[1] = torch.randn(2, 7, 8)
    bare = difference(ScaledDotProductAttention(), lambda d, e: F.scaled_dot_product_attention(d, e, e), inputs)
    return [
        Proof(max(projected, bare), "torch.nn.MultiheadAttention; without projections scaled_dot_product_attention")
    ]


PAGE = Page(
    number=5,
    name="cross",
    title="Cross-attention",
    line="one sequence asks, another one is looked at",
    definition="The queries come from one sequence (say, the translation so far), the keys and values from another "
    "(the sentence to translate).",
    latex=r"\operatorname{Attention}(H_d,\, H_e,\, H_e) = "
    r"\operatorname{softmax}\!\left(\frac{H_d W_Q (H_e W_K)^\top}{\sqrt{d_k}}\right) H_e W_V",
    equation="Attention(H_d, H_e, H_e) = softmax(H_d W_Q (H_e W_K)ᵀ / √d_k) H_e W_V",
    explanation="This is the bridge in an encoder–decoder: each output position fetches from the input what it needs. "
    "Keys and values depend on the input alone, so `prepare` projects them once and every decoding step asks the same "
    "memory. Without projections, with H_d and H_e as they are, it is row 7.",
    analogy="An interpreter: speaking one language while listening to a speaker in another.",
    sources=(Source("Vaswani et al. 2017, Attention Is All You Need", "https://arxiv.org/abs/1706.03762"),),
    setup="""\
import torch
from regard.layers import CrossAttention

english, french = "I love deep learning".split(), ["J'", "adore", "l'", "apprentissage", "profond"]
meanings = 8 * torch.eye(4)  # what each English word means
encoder = meanings[None]
decoder = torch.stack([meanings[0], meanings[1], (meanings[2] + meanings[3]) / 2, meanings[3], meanings[2]])[None]
""",
    code="""\
layer = CrossAttention(4)
layer.joint.weight.data = torch.eye(4).repeat(3, 1) / 3  # W_Q, W_K, W_V
weights = layer.weights(decoder, layer.prepare(encoder))[0, 0]
""",
    seen="French asks English, word by word. *l'* has no word of its own in English and divides its look between the "
    "two words of the noun phrase it opens. The states are made by hand.",
    picture=_picture,
    check=_check,
)
