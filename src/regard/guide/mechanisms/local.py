"""Row 3: local attention."""

from __future__ import annotations

from regard.guide.page import Page, Picture, Proof, Session, Source, array


def _picture(session: Session) -> Picture:
    words = session["words"]
    steps = [f"t={t}" for t in range(len(words))]
    return Picture(
        array(session["weights"]),
        words,
        steps,
        "Columns: the decoder's steps. Rows: the source. Each column sums to 1.",
    )


def _check() -> list[Proof]:
    import torch
    import torch.nn.functional as F

    from regard.guide.oracle import difference
    from regard.layers import LocalAttention

    queries, states = torch.randn(2, 6, 4), torch.randn(2, 6, 5)
    place, step = torch.arange(6), torch.arange(6)[:, None]
    exact = LocalAttention(4, 5, 2).double()
    band = (place - step).abs() <= 2
    error = difference(
        exact,
        lambda q, h: F.scaled_dot_product_attention(q, exact.key(h), h, band, scale=1.0),
        [queries, states],
        exact.parameters(),
    )
    guess = LocalAttention(4, 5, 2, predictive=True).double()

    def dense(q: torch.Tensor, h: torch.Tensor) -> torch.Tensor:
        p = 6 * torch.sigmoid(guess.place(q))  # type: ignore[misc]
        near = torch.softmax((q @ guess.key(h).mT).masked_fill((place - p).abs() > 2, -torch.inf), -1)
        return (near * torch.exp(-((place - p) ** 2) / 2)) @ h  # σ = D/2 = 1

    predicted = difference(guess, dense, [queries, states], guess.parameters())
    return [Proof(max(error, predicted), "PyTorch's scaled_dot_product_attention under a dense band; local-p by torch")]


PAGE = Page(
    number=3,
    name="local",
    title="Local attention",
    line="only a window of the source is looked at, at the present step or where the query says",
    definition="Global attention restricted to the positions within D of a centre p_t.",
    latex=r"\alpha_t(s) = \operatorname{softmax}_{s\in[p_t-D,\;p_t+D]}\!\left(h_t^\top W h_s\right)",
    equation="α_t(s) = softmax over s in [p_t − D, p_t + D] of h_tᵀ W h_s\n"
    "local-m: p_t = t        local-p: p_t = S · sigmoid(v_pᵀ tanh(W_p h_t))",
    explanation="The monotonic form (local-m) walks along with the output: p_t = t, which suits languages that keep "
    "the order. The predictive form (local-p) lets the query place its window, and multiplies the weights by a "
    "Gaussian around p_t (σ = D/2), through which the place can be learned; S is the source's length without padding. "
    "The rest of the source gets weight 0 exactly.",
    analogy="Reading with a finger on the page: the present paragraph is looked at, not the whole book.",
    sources=(Source("Luong, Pham and Manning 2015", "https://arxiv.org/abs/1508.04025"),),
    setup="""\
import torch
from regard.layers import LocalAttention

words = "one looks only at what stands near".split()
states = torch.randn(1, 7, 8)  # (batch, words, features)
queries = torch.randn(1, 7, 8)
""",
    code="""\
layer = LocalAttention(query=8, key=8, window=1)  # D = 1, local-m
contexts = layer(queries, states)
weights = layer.weights(queries, states)[0]
""",
    seen="A band: step t looks at t − 1, t and t + 1, and at nothing else. The states are random, and so is what "
    "happens inside the band.",
    picture=_picture,
    check=_check,
)
