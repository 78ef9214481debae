"""Row 17: co-attention."""

from __future__ import annotations

from regard.guide.page import Page, Picture, Proof, Session, Source, array


def _picture(session: Session) -> Picture:
    return Picture(
        array(session["weights"].second[0]),
        session["regions"],
        session["question"],
        "Columns: words of the question. Rows: regions of the picture. Each column sums to 1; the other direction "
        "reads the same scores by rows.",
    )


def _check() -> list[Proof]:
    import torch

    from regard.guide.oracle import difference, largest
    from regard.layers import CoAttention, ParallelCoAttention

    inputs = [torch.randn(2, 3, 5).double(), torch.randn(2, 7, 5).double()]

    def plain(a: torch.Tensor, b: torch.Tensor) -> list[torch.Tensor]:
        affinity = torch.einsum("btd,bsd->bts", a, b)
        return [torch.softmax(affinity, 2) @ b, torch.softmax(affinity, 1).mT @ a]

    layer = CoAttention()
    error = difference(layer, plain, inputs)
    swapped = largest([layer.scores(*inputs).mT], [layer.scores(*inputs[::-1])])
    lu = ParallelCoAttention(5, 4, 6).double()

    def parallel(v: torch.Tensor, q: torch.Tensor) -> list[torch.Tensor]:  # Lu's equations, states as columns
        V, Q = v.mT, q.mT
        W_b, W_v, W_q = lu.affinity.weight, lu.first.weight, lu.second.weight
        C = torch.tanh(Q.mT @ W_b @ V)
        a_v = torch.softmax(lu.ask_first @ torch.tanh(W_v @ V + W_q @ Q @ C), -1)
        a_q = torch.softmax(lu.ask_second @ torch.tanh(W_q @ Q + W_v @ V @ C.mT), -1)
        return [torch.einsum("bdn,bn->bd", V, a_v), torch.einsum("bdt,bt->bd", Q, a_q)]

    theirs = difference(lu, parallel, [torch.randn(2, 3, 5), torch.randn(2, 7, 4)], lu.parameters())
    return [Proof(max(error, swapped, theirs), "softmax of one affinity matrix both ways; Lu's equations by torch")]


PAGE = Page(
    number=17,
    name="coattention",
    title="Co-attention",
    line="two modalities, say a picture and a question, look at each other",
    definition="One affinity for each pair of a step of the one modality and a step of the other; read by rows it is "
    "what the first looks at in the second, by columns the reverse.",
    latex=r"\alpha_{t,s} = \operatorname{softmax}\!\left(h_t^\top h_s\right)\text{ over } s \text{ and over } t",
    equation="A_ts = h_tᵀ h_s\nsoftmax over s: what t of the first looks at in the second; over t: the reverse",
    explanation="Which regions matter depends on the question, and which words matter on the picture; neither can be "
    "decided first. One matrix serves both directions, so what matches is found from either side. Two further forms: "
    "`ParallelCoAttention`, in which the affinity itself shapes what is looked for, and `AlternatingCoAttention`, "
    "which sums up the question, then the picture, then the question again.",
    analogy="A detective with a photograph and a witness's statement, who reads each with the other in mind.",
    sources=(Source("Lu et al. 2016, Hierarchical Question-Image Co-Attention", "https://arxiv.org/abs/1606.00061"),),
    setup="""\
import torch
from regard.layers import CoAttention

regions, question = ["dog", "red ball", "grass", "sky"], "what colour is the ball".split()
#                         animal toy colour plant air
picture = torch.tensor([[2, 0, 0.5, 0, 0], [0, 2, 2, 0, 0], [0, 0, 1, 2, 0], [0, 0, 1, 0, 2]])
asked = torch.tensor([[1, 1, 0, 1, 1], [0, 0, 2, 0, 0], [0, 0, 0, 0, 0], [0, 0, 0, 0, 0], [0, 2, 0, 0, 0.0]])
""",
    code="""\
layer = CoAttention()
found = layer(picture[None], asked[None])  # what each region found in the question, and each word in the picture
weights = layer.weights(picture[None], asked[None])  # likewise, two matrices
""",
    seen="*ball* finds the ball, *colour* the most colourful region, which is the ball too; the other "
    "words ask for nothing in particular and look everywhere alike.",
    picture=_picture,
    check=_check,
)
