"""Row 11: sparse attention."""

from __future__ import annotations

from regard.guide.page import Page, Picture, Proof, Session, Source, array


def _picture(session: Session) -> Picture:
    import torch

    removed, leaked = session["removed"], session["leaked"]
    columns = [f"q{i + 1}" for i in range(6)] + [f"lit. {i + 1}" for i in range(6)]
    return Picture(
        array(torch.cat([removed, leaked])),
        [f"k{i + 1}" for i in range(6)],
        columns,
        "Columns: six queries, q1 to q6, in the field's form, then the same in the literal one (lit.). Rows: keys. "
        "Each column sums to 1.",
    )


def _check() -> list[Proof]:
    import torch
    import torch.nn.functional as F

    from regard import bigbird, strided
    from regard.equation.normalisers import Entmax
    from regard.guide.oracle import difference, installed
    from regard.layers import SparseAttention

    inputs = [torch.randn(2, 12, 8), torch.randn(2, 12, 8)]
    worst = 0.0
    for pattern in (strided(4), bigbird(2, drawn=1)):
        allowed = pattern.dense(2, 1, 12, 12)[:, 0].expand(2, 12, 12)
        masked = lambda q, k, allowed=allowed: F.scaled_dot_product_attention(q, k, k, allowed)  # noqa: E731
        literal = lambda q, k, allowed=allowed: torch.softmax(allowed * (q @ k.mT), -1) @ k  # noqa: E731
        worst = max(worst, difference(SparseAttention(pattern), masked, inputs))
        worst = max(worst, difference(SparseAttention(pattern, literal=True), literal, inputs))
    entmax = installed("entmax")
    if entmax is None:
        return [Proof(worst, "scaled_dot_product_attention with the same mask (the package entmax is not installed)")]
    scores = [torch.randn(3, 9)]
    for alpha, theirs in ((2.0, entmax.sparsemax), (1.5, entmax.entmax15)):
        ours = lambda e, alpha=alpha: Entmax(alpha).weights(e[None])[0]  # noqa: E731
        worst = max(worst, difference(ours, lambda e, theirs=theirs: theirs(e, dim=-1), scores))
    return [Proof(worst, "scaled_dot_product_attention with the same mask; the package entmax")]


PAGE = Page(
    number=11,
    name="sparse",
    title="Sparse attention",
    line="each query looks at few positions only, by a pattern or by the best scores",
    definition="Attention over some of the pairs of positions: a mask M says which, and the others have no weight.",
    latex=r"Y = \operatorname{softmax}\!\left(\frac{QK^\top}{\sqrt{d_k}} + \log M\right)V \qquad"
    r"\text{literally: } \operatorname{softmax}\!\left(M \odot QK^\top\right)V",
    equation="Y = softmax(Q Kᵀ / √d_k + log M) V, M of 0 and 1, log 0 = −∞\nliterally: softmax(M ⊙ (Q Kᵀ)) V",
    explanation="All pairs of a long text are too many, and most say nothing. Patterns keep those that might: strided "
    "and fixed ones (Child), a window and some global tokens (Beltagy), both with random blocks (Zaheer), any layout "
    "of blocks, or the best k scores. Another way to few weights is the normaliser: sparsemax and α-entmax give exact "
    "zeros where softmax gives small numbers.",
    analogy="Skimming: the key sentences are read, the rest is passed over.",
    sources=(
        Source("Child et al. 2019, Sparse Transformers", "https://arxiv.org/abs/1904.10509"),
        Source("Beltagy et al. 2020, Longformer", "https://arxiv.org/abs/2004.05150"),
        Source("Zaheer et al. 2020, Big Bird", "https://arxiv.org/abs/2007.14062"),
        Source("Martins and Astudillo 2016, sparsemax", "https://arxiv.org/abs/1602.02068"),
        Source("Peters et al. 2019, α-entmax", "https://arxiv.org/abs/1905.05702"),
    ),
    setup="""\
import torch
from regard import tokens, window
from regard.layers import SparseAttention

x = torch.randn(1, 6, 4)  # (batch, time, features)
pattern = window(1, 1) | tokens([0])  # the neighbours, and one position that sees all and is seen by all
""",
    code="""\
layer = SparseAttention(pattern)
removed = layer.weights(x, x)[0]
leaked = SparseAttention(pattern, literal=True).weights(x, x)[0]
""",
    seen="Left, what the pattern leaves out has weight 0. Right, the literal form: the same places are not empty, and "
    "they outweigh kept pairs that score below 0.",
    picture=_picture,
    check=_check,
    differs="In the literal form softmax(M ⊙ (QKᵀ)), M multiplies the scores. A removed pair then scores 0, and its "
    "weight is exp(0)/Z, which is **not** 0: it leaks, and outweighs every kept pair that scores below 0. The form "
    "also lacks 1/√d_k. The field adds log M (that is, −∞), so that a removed pair is really gone; that is what is "
    "computed unless `literal=True` asks for the other.",
)
