"""Row 13: soft attention."""

from __future__ import annotations

from regard.guide.page import Page, Picture, Proof, Session, Source, array


def _picture(session: Session) -> Picture:
    return Picture(
        array(session["weights"]),
        [f"lamp {i + 1}" for i in range(5)],
        [f"T = {t:g}" for t in session["temperatures"].tolist()],
        "Columns: one query, its scores divided by T. Rows: positions. Each column sums to 1.",
    )


def _check() -> list[Proof]:
    import torch

    from regard.guide.oracle import difference, largest
    from regard.layers import HardAttention, SoftAttention

    inputs = [torch.randn(2, 3, 5).double(), torch.randn(2, 7, 5).double()]

    def expectation(q: torch.Tensor, h: torch.Tensor) -> torch.Tensor:
        p = torch.exp(torch.einsum("btd,bsd->bts", q, h))
        return torch.einsum("bts,bsd->btd", p / p.sum(-1, keepdim=True), h)

    error = difference(SoftAttention(), expectation, inputs)
    cold = SoftAttention()(1e6 * inputs[0], inputs[1])  # temperature towards 0
    limit = largest([cold], [HardAttention().eval()(*inputs)])
    return [Proof(max(error, limit), "the expectation over positions by torch; towards temperature 0 hard attention")]


PAGE = Page(
    number=13,
    name="soft",
    title="Soft attention",
    line="every position counts a little: the mean of all, weighted",
    definition="The weights are a probability for each position, and what is read is the expectation over them.",
    latex=r"\alpha_t(s) = \operatorname{softmax}_s\!\left(h_t^\top h_s\right),\qquad "
    r"c_t = \mathbb{E}_{s \sim \alpha_t}[h_s] = \sum_s \alpha_t(s)\, h_s",
    equation="α_t(s) = softmax_s(h_tᵀ h_s)\nc_t = Σ_s α_t(s) h_s",
    explanation="Because it is a mean, everything in it has a gradient, and it is trained like any other layer. Hard "
    "attention (row 12) draws one position from the same probabilities; soft attention is its expectation. Divide the "
    "scores by a temperature T: as T falls the mean tends to the position of the highest score, if there is one such; "
    "as it rises, to the plain mean. The numbers are those of row 9. Xu's doubly stochastic penalty, which asks that "
    "every position get its turn over the steps, is `regard.layers.penalties.doubly_stochastic`.",
    analogy="Lamps with dimmers: all are on, each as bright as it is needed.",
    sources=(Source("Xu et al. 2015, Show, Attend and Tell", "https://arxiv.org/abs/1502.03044"),),
    setup="""\
import torch
from regard.layers import SoftAttention

states = torch.eye(5)[None]  # five positions
query = torch.tensor([1.0, 2.5, 0.5, 2.0, 0.0])  # so these are the scores
temperatures = torch.tensor([10, 1, 0.5, 0.05])
""",
    code="""\
layer = SoftAttention()
queries = (query / temperatures[:, None])[None]  # (batch, temperatures, features)
weights = layer.weights(queries, states)[0]
""",
    seen="The same scores at four temperatures: nearly even light, then brighter and dimmer, then a single lamp.",
    picture=_picture,
    check=_check,
)
