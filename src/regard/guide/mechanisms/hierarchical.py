"""Row 10: hierarchical attention."""

from __future__ import annotations

from regard.guide.document import document_picture
from regard.guide.page import Page, Picture, Proof, Session, Source


def _picture(session: Session) -> Picture:
    of_sentences, of_words = session["weights"]
    return document_picture(session["document"], of_sentences[0], of_words[0])


def _check() -> list[Proof]:
    import torch

    from regard.guide.oracle import difference
    from regard.layers import HierarchicalAttention

    layer = HierarchicalAttention([5, 5], 6).double()
    sentences, words = torch.tensor([3, 1]), torch.tensor([[2, 4, 1], [3, 0, 0]])

    def pooled(states: torch.Tensor, level: int) -> torch.Tensor:
        pool = layer.levels[level]
        return torch.softmax(torch.tanh(pool.key(states)) @ pool.u, 0) @ states  # type: ignore[operator]

    def one_by_one(states: torch.Tensor) -> torch.Tensor:
        documents = []
        for x, count, lengths in zip(states, sentences.tolist(), words.tolist(), strict=True):
            documents.append(pooled(torch.stack([pooled(x[i, : lengths[i]], 0) for i in range(count)]), 1))
        return torch.stack(documents)

    ours = lambda x: layer(x, [sentences, words])  # noqa: E731
    error = difference(ours, one_by_one, [torch.randn(2, 3, 4, 5)], layer.parameters())
    return [Proof(error, "a loop over documents and sentences, without padding")]


PAGE = Page(
    number=10,
    name="hierarchical",
    title="Hierarchical attention",
    line="words are weighed in their sentence, then sentences in their document",
    definition="Attention in levels: the words of a sentence are summed up as one vector, the vectors of the sentences "
    "as one of the document.",
    latex=r"\alpha_w = \operatorname{softmax}_w\!\left(u_w^\top \tanh(W_w h_w)\right),\; s = \sum_w \alpha_w "
    r"h_w,\qquad \alpha_s = \operatorname{softmax}_s\!\left(u_s^\top \tanh(W_s h_s)\right),\; v = \sum_s \alpha_s h_s",
    equation="α_w = softmax_w(u_wᵀ tanh(W_w h_w)),  s = Σ_w α_w h_w\n"
    "α_s = softmax_s(u_sᵀ tanh(W_s h_s)),  v = Σ_s α_s h_s",
    explanation="Nobody asks from outside: the vectors u are learned, and stand for the question what matters at all, "
    "at their level. A word counts as its weight in the sentence times the sentence's weight in the document, so a "
    "strong word in an unimportant sentence stays unimportant. There may be any number of levels, and parts of any "
    "length; a sentence without words has weight 0.",
    analogy="Telling a long book: each chapter is summed up first, and from the summaries the whole.",
    sources=(Source("Yang et al. 2016, Hierarchical Attention Networks", "https://www.aclweb.org/anthology/N16-1174"),),
    setup="""\
import torch
from regard.layers import HierarchicalAttention

document = ["we ate there".split(), "simply wonderful food".split(), "the bill came late".split()]
feeling = {"wonderful": 2.0, "late": -1.0}  # the first feature; the second says that there is a word
words = [torch.tensor([[feeling.get(word, 0.0), 1.0] for word in words]) for words in document]
states = torch.nn.utils.rnn.pad_sequence(words, batch_first=True)[None]  # (batch, sentences, words, features)
lengths = [torch.tensor([3]), torch.tensor([[3, 3, 4]])]
layer = HierarchicalAttention([2, 2], hidden=2, bias=False)
""",
    code="""\
for level in layer.levels:  # uᵀ tanh(W h): how strong is the feeling, either way?
    level.load_state_dict({"key.weight": torch.tensor([[2, 1], [-2, 1.0]]), "u": torch.tensor([-3, -3.0])})
weights = layer.weights(states, lengths)
""",
    seen="In each sentence the word with a feeling in it stands out, *wonderful* most; in the document the sentence "
    "that holds it. The first sentence has no such word: its words share equally, and it counts least.",
    picture=_picture,
    check=_check,
)
