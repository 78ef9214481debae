"""Row 1: self-attention."""

from __future__ import annotations

from regard.guide.page import Page, Picture, Proof, Session, Source, array


def _picture(session: Session) -> Picture:
    words = session["words"]
    return Picture(
        array(session["weights"]),
        words,
        words,
        "Columns: the word that looks. Rows: the word it looks at. Each column sums to 1.",
    )


def _check() -> list[Proof]:
    import torch
    from torch import nn

    from regard.guide.oracle import difference
    from regard.layers import SelfAttention

    layer = SelfAttention(8, 2, output=True).double()
    oracle = nn.MultiheadAttention(8, 2, bias=False, batch_first=True).double()
    assert layer.joint is not None
    assert layer.output is not None
    oracle.in_proj_weight, oracle.out_proj.weight = layer.joint.weight, layer.output.weight
    error = difference(layer, lambda x: oracle(x, x, x)[0], [torch.randn(2, 7, 8)], layer.parameters())
    return [Proof(error, "torch.nn.MultiheadAttention with the same weights")]


PAGE = Page(
    number=1,
    name="self",
    title="Self-attention",
    line="every word of a sequence looks at every word of the same sequence",
    definition="Queries, keys and values all come from one sequence: each of its elements is described anew as a "
    "mixture of all of them, itself included.",
    latex=r"Q = XW_Q,\quad K = XW_K,\quad V = XW_V,\qquad "
    r"Y = \operatorname{softmax}\!\left(\frac{QK^\top}{\sqrt{d_k}}\right)V",
    equation="Q = X W_Q,  K = X W_K,  V = X W_V\nY = softmax(Q Kᵀ / √d_k) V",
    explanation="W_Q turns an element into what it asks for, W_K into what it offers to be found by, W_V into what it "
    "hands over. The distance between two elements costs nothing: the first word reaches the last one as easily as its "
    "neighbour. Order costs nothing either. Permute the input and the output is permuted with it; whoever needs the "
    "order adds positions.",
    analogy="A discussion round. Everybody hears all the others, weighs what each contribution means for the own "
    "point, and restates it.",
    sources=(Source("Vaswani et al. 2017, Attention Is All You Need", "https://arxiv.org/abs/1706.03762"),),
    setup="""\
import torch
from regard.layers import SelfAttention

words = "The cat sat on the mat".split()
roles = torch.tensor([0, 1, 2, 3, 0, 4])  # article, animal, verb, preposition, place
x = torch.eye(5)[roles][None]  # (batch, words, features)
asks = torch.tensor([[0, 2, 0, 0, 2], [0, 0, 4, 0, 4], [0, 6, 0, 2, 4], [0, 0, 2, 0, 8], [0, 2, 4, 4, 0.0]])
""",
    code="""\
layer = SelfAttention(5)
layer.joint.weight.data = torch.cat([asks.T, torch.eye(5), torch.eye(5)])  # W_Q, W_K, W_V
weights = layer.weights(x)[0, 0]
""",
    seen="*cat* looks at *sat* and *mat*: what it does and where. The matrix W_Q is set by hand here, so that an "
    "animal asks for verbs and places; training finds such matrices by itself.",
    picture=_picture,
    check=_check,
)
