"""Row 19: memory-based attention."""

from __future__ import annotations

from regard.guide.page import Page, Picture, Proof, Session, Source, array


def _picture(session: Session) -> Picture:
    import torch

    hops = torch.stack([hop.weights[0, 0] for hop in session["hops"]])
    return Picture(
        array(hops),
        session["facts"],
        ["hop 1", "hop 2"],
        "Columns: the readings, one after the other. Rows: what is in the store. Each column sums to 1.",
    )


def _check() -> list[Proof]:
    import torch

    from regard.guide.oracle import difference
    from regard.layers import MemoryAttention

    inputs = [torch.randn(2, 3, 4), torch.randn(2, 9, 4)]

    def hops(q: torch.Tensor, m: torch.Tensor) -> torch.Tensor:
        found = q.new_zeros(())
        for _ in range(3):
            q = q + found
            found = torch.softmax(q @ m.mT, -1) @ m
        return found

    def best(q: torch.Tensor, m: torch.Tensor) -> torch.Tensor:
        e = q @ m.mT
        least = e.topk(4, -1).values[..., -1:]
        return torch.softmax(e.masked_fill(e < least, -torch.inf), -1) @ m

    error = difference(MemoryAttention(hops=3), hops, inputs)
    top = difference(MemoryAttention(top_k=4), best, inputs)
    return [Proof(max(error, top), "a loop over hops by torch; top-k: the dense reading restricted to those slots")]


PAGE = Page(
    number=19,
    name="memory",
    title="Memory-based attention",
    line="what was written into a store is read back by likeness, in several hops",
    definition="Keys and values are slots of a store outside the network, written when something happens and read when "
    "something is asked.",
    latex=r"\alpha_t(s) = \operatorname{softmax}_s\!\left(h_t^\top m_s\right),\qquad c_t = \sum_s \alpha_t(s)\, v_s,"
    r"\qquad u_{k+1} = u_k + c_k",
    equation="α_t(s) = softmax_s(h_tᵀ m_s)\nc_t = Σ_s α_t(s) v_s;  next hop: u_(k+1) = u_k + c_k",
    explanation="The store outlives the sentence: it is appended to, and when full the oldest slot is overwritten. "
    "One reading finds what resembles the question. Some questions need two: what was read is added to the question, "
    "and the store is read again. Of a very large store each query reads its best k slots only; PyTorch finds them, or "
    "FAISS where it is installed. The end-to-end memory network is `regard.models.memory_network`.",
    analogy="A librarian: asked a question, she fetches a book, finds in it the name of another, and fetches that.",
    sources=(
        Source("Sukhbaatar et al. 2015, End-To-End Memory Networks", "https://arxiv.org/abs/1503.08895"),
        Source("Top-k of a large store: Wu et al. 2022, Memorizing Transformers", "https://arxiv.org/abs/2203.08913"),
    ),
    setup="""\
import torch
from regard.layers import MemoryAttention

facts = ["John: garden", "Mary: kitchen", "milk: John", "apple: Mary"]  # who or what: where or with whom
john, mary, milk, apple, garden, kitchen = 6 * torch.eye(6)
about = torch.stack([john, mary, milk, apple])[None]  # what a fact is found by
tells = torch.stack([garden, kitchen, john, mary])[None] - about  # it takes the question from there to here
question = milk[None, None] / 6  # where is the milk?
""",
    code="""\
layer = MemoryAttention(hops=2)
store = layer.write(about, values=tells / 6)
hops = layer.reads(question, store)
""",
    seen="*Where is the milk?* The first reading finds that John has it; the second, with John in mind, finds where "
    "John is. One hop would have stopped at John.",
    picture=_picture,
    check=_check,
)
