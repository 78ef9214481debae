"""Row 6: masked self-attention."""

from __future__ import annotations

from regard.guide.page import Page, Picture, Proof, Session, Source, array


def _picture(session: Session) -> Picture:
    words = session["words"]
    return Picture(
        array(session["weights"]),
        words,
        words,
        "Columns: the word that looks. Rows: the word it looks at; above the diagonal are earlier ones, below it later "
        "ones. Each column sums to 1.",
    )


def _check() -> list[Proof]:
    import torch
    import torch.nn.functional as F

    from regard.guide.oracle import difference, largest
    from regard.layers import MaskedSelfAttention

    layer = MaskedSelfAttention(8).double()
    assert layer.joint is not None

    def oracle(x: torch.Tensor) -> torch.Tensor:
        return F.scaled_dot_product_attention(*layer.joint(x), is_causal=True)  # type: ignore[misc]

    x = torch.randn(2, 7, 8, dtype=torch.float64)
    error = difference(layer, oracle, [x], layer.parameters())
    edited = x.clone()
    edited[:, 4:] = torch.randn(2, 3, 8, dtype=torch.float64)
    moved = largest([layer(x)[:, :4]], [layer(edited)[:, :4]])
    return [Proof(max(error, moved), "scaled_dot_product_attention(is_causal=True); and an edit after t moves nothing")]


PAGE = Page(
    number=6,
    name="masked",
    title="Masked self-attention",
    line="self-attention in which nobody looks ahead",
    definition="Self-attention with a number added to each score: 0 where a position may be seen, −∞ where it may not, "
    "which is wherever it comes later.",
    latex=r"Y = \operatorname{softmax}\!\left(\frac{QK^\top}{\sqrt{d_k}} + M\right)V,\qquad "
    r"M_{ts} = \begin{cases} 0 & s \le t \\ -\infty & s > t \end{cases}",
    equation="Y = softmax(Q Kᵀ / √d_k + M) V\nM_ts = 0 where s ≤ t, −∞ where s > t",
    explanation="A decoder that is trained on whole sentences must not see the word it is to guess. exp(−∞) is 0, so "
    "what comes later has no weight, and no gradient flows from an output at t to an input after t. M may hold any "
    "other numbers too: such a mask is a bias (ALiBi and T5's table are of this kind).",
    analogy="Reading a thriller one word at a time, with a hand over the rest of the page.",
    sources=(Source("Vaswani et al. 2017, Attention Is All You Need", "https://arxiv.org/abs/1706.03762"),),
    setup="""\
import torch
from regard.layers import MaskedSelfAttention

words = "The cat sat on the mat".split()
roles = torch.tensor([0, 1, 2, 3, 0, 4])  # article, animal, verb, preposition, place
x = torch.eye(5)[roles][None]
asks = torch.tensor([[0, 2, 0, 0, 2], [0, 0, 4, 0, 4], [0, 6, 0, 2, 4], [0, 0, 2, 0, 8], [0, 2, 4, 4, 0.0]])
""",
    code="""\
layer = MaskedSelfAttention(5)
layer.joint.weight.data = torch.cat([asks.T, torch.eye(5), torch.eye(5)])  # as on the page of self-attention
weights = layer.weights(x)[0, 0]
""",
    seen="The sentence of self-attention's page, with the mask. *cat* would look at *sat* and *mat*; it cannot, for "
    "they come later, and divides itself between what was said. Only the last word sees all.",
    picture=_picture,
    check=_check,
    differs="The one-line definition that this project began from has the direction the other way round (as if the "
    "past were hidden); its equation and its explanation say what the field says: **no position looks at a later "
    "one**. That is what is computed. A second trap is the meaning of True in a mask of truth values: here, as in "
    "PyTorch's `scaled_dot_product_attention`, True means *may attend*; in `nn.MultiheadAttention` it means *hidden*.",
)
