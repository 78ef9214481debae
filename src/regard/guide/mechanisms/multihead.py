"""Row 4: multi-head attention."""

from __future__ import annotations

from regard.guide.page import Page, Picture, Proof, Session, Source, array


def _picture(session: Session) -> Picture:
    words = session["words"]
    columns = [f"{head}: {word}" for head in (1, 2) for word in words]
    return Picture(
        array(session["weights"].flatten(0, 1)),
        words,
        columns,
        "Columns: head 1, then head 2, with the word that looks. Rows: the word looked at. Each column sums to 1.",
    )


def _check() -> list[Proof]:
    import torch
    from torch import nn

    from regard.guide.oracle import difference
    from regard.layers import MultiHeadAttention

    oracle = nn.MultiheadAttention(8, 4, kdim=5, vdim=6, batch_first=True).double()
    layer = MultiHeadAttention.from_torch(oracle)
    inputs = [torch.randn(2, 3, 8), torch.randn(2, 7, 5), torch.randn(2, 7, 6)]
    error = difference(lambda q, k, v: layer(q, k, values=v), lambda q, k, v: oracle(q, k, v)[0], inputs)
    return [Proof(error, "torch.nn.MultiheadAttention, its weights imported")]


PAGE = Page(
    number=4,
    name="multihead",
    title="Multi-head attention",
    line="several attentions side by side, each with its own view of the same input",
    definition="Queries, keys and values are projected h times; each projection attends by itself, and the h results, "
    "side by side, are projected once more.",
    latex=r"\mathrm{head}_i = \operatorname{Attention}(QW_i^Q,\, KW_i^K,\, VW_i^V),\qquad "
    r"Y = \operatorname{Concat}(\mathrm{head}_1, \dots, \mathrm{head}_h)\, W^O",
    equation="head_i = Attention(Q W_i^Q, K W_i^K, V W_i^V)\nY = Concat(head_1, ..., head_h) W^O",
    explanation="One softmax can serve one interest at a time: a word that wants its neighbour *and* its like would "
    "get a blend of the two. Heads keep the interests apart, at the cost of one attention, for each works on a share "
    "of the features. The layer also has grouped and single key/value heads, rotary, ALiBi and T5 positions, a "
    "key/value cache, and takes the weights of `torch.nn.MultiheadAttention`. Measured (`benchmarks/facts.py`): asked "
    "for two things at once, a layer of width 64 with one head finds 56 % of them, which is one and a guess at the "
    "other; with 2, 4 or 8 heads, at the same width and number of parameters, it finds all.",
    analogy="A team of experts before the same case, each looking from the own angle, and a chair who puts their "
    "findings together.",
    sources=(
        Source("Vaswani et al. 2017, Attention Is All You Need", "https://arxiv.org/abs/1706.03762"),
        Source("Grouped heads: Ainslie et al. 2023", "https://arxiv.org/abs/2305.13245"),
    ),
    setup="""\
import torch
from regard.layers import MultiHeadAttention

words = "cat sat dog ran".split()
place, kind = torch.eye(4), torch.eye(4)[[0, 1, 0, 1]]  # where a word stands; noun or verb
x = torch.cat([place, kind], 1)[None]
before = torch.roll(torch.eye(4), -1, 1)  # head 1 asks for the place before its own; the first word for the last
asks = 8 * torch.block_diag(before.T, torch.eye(4))  # head 2 asks for its own kind
""",
    code="""\
layer = MultiHeadAttention(8, heads=2, bias=False)
layer.joint.weight.data = torch.cat([asks, torch.eye(8), torch.eye(8)])  # W^Q, W^K, W^V of both heads
weights = layer.weights(x)[0]  # (heads, queries, keys)
""",
    seen="Two views of four words. Head 1 looks one word back (the first one wraps around to the last); head 2 looks "
    "for the same kind, nouns at nouns and verbs at verbs.",
    picture=_picture,
    check=_check,
)
