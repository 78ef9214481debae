"""Row 20: the hierarchical attention network."""

from __future__ import annotations

from regard.guide.document import document_picture
from regard.guide.page import Page, Picture, Proof, Session, Source


def _picture(session: Session) -> Picture:
    of_sentences, of_words = session["weights"]
    return document_picture(session["review"], of_sentences[0], of_words[0])


def _check() -> list[Proof]:
    import torch

    from regard.guide.oracle import largest
    from regard.models.han import HAN, padded

    model = HAN(9, 3, embedding=4, encoder=3, attention=5).double()
    documents = [[[1, 2, 3], [4, 5]], [[6], [7, 8, 1], [2, 2, 3, 4]]]

    def summed_up(level: int, x: torch.Tensor) -> torch.Tensor:
        assert model.attention.encoders is not None
        encoder = model.attention.encoders[level]
        gru = torch.nn.GRU(x.shape[1], 3, bidirectional=True, batch_first=True).double()
        h = torch.func.functional_call(gru, dict(encoder.named_parameters()), (x[None],))[0][0]
        pool = model.attention.levels[level]
        return torch.softmax(torch.tanh(pool.key(h)) @ pool.u, 0) @ h  # type: ignore[operator]

    def one(document: list[list[int]]) -> torch.Tensor:
        sentences = [summed_up(0, model.embedding(torch.tensor(sentence))) for sentence in document]
        return model.out(summed_up(1, torch.stack(sentences)))

    found, by_loop = model(*padded(documents)), torch.stack([one(document) for document in documents])
    parameters = list(model.parameters())
    gradients = [torch.autograd.grad(x.square().sum(), parameters) for x in (found, by_loop)]
    error = largest([found, *gradients[0]], [by_loop, *gradients[1]])
    return [Proof(error, "a loop over single documents and sentences, with PyTorch's GRU and no padding")]


PAGE = Page(
    number=20,
    name="han",
    title="Hierarchical attention network (HAN)",
    line="a document's class, with the sentences and words that decided it",
    definition="Hierarchical attention (row 10) as a classifier: a bidirectional GRU reads the words of each sentence, "
    "attention sums them up; another reads the sentences, attention sums up the document; a linear layer gives the "
    "class.",
    latex=r"h_{it} = \operatorname{BiGRU}(w_{it}),\; s_i = \sum_t \alpha_{it} h_{it},\qquad "
    r"h_i = \operatorname{BiGRU}(s_i),\; v = \sum_i \alpha_i h_i,\qquad p = \operatorname{softmax}(W_c v + b_c)",
    equation="h_it = BiGRU(w_it),  s_i = Σ_t α_it h_it\nh_i = BiGRU(s_i),  v = Σ_i α_i h_i\np = softmax(W_c v + b_c)",
    explanation="The GRUs put each word and each sentence into its context before it is weighed, so that the same word "
    "can count in one place and not in another. The weights come with every answer: they name the sentences, and the "
    "words in them, that were read most. They say where information was read, not why the class was chosen.",
    analogy="A reviewer of a long book: chapter by chapter notes, the passages that mattered marked, and a verdict at "
    "the end.",
    sources=(Source("Yang et al. 2016, Hierarchical Attention Networks", "https://www.aclweb.org/anthology/N16-1174"),),
    setup="""\
import torch
from regard.models.han import HAN, padded

plain, good, bad = "the room was on our floor".split(), ["great", "lovely"], ["awful", "dirty"]
number = {word: i for i, word in enumerate([*plain, *good, *bad], start=1)}
drawn = torch.randint(0, 6, (64, 3, 4)).tolist()  # documents of three sentences of four plain words
texts = [[[plain[i] for i in sentence] for sentence in document] for document in drawn]
for i, text in enumerate(texts):  # one word, anywhere, makes the class
    text[i // 2 % 3][i % 4] = (good, bad)[i % 2][i // 4 % 2]
as_numbers = lambda texts: padded([[[number[word] for word in words] for words in text] for text in texts])
model = HAN(len(number) + 1, 2, embedding=8, encoder=6, attention=6)
optimiser, classes = torch.optim.Adam(model.parameters(), 0.03), torch.arange(64) % 2
for _ in range(60):
    optimiser.zero_grad()
    torch.nn.functional.cross_entropy(model(*as_numbers(texts)), classes).backward()
    optimiser.step()
review = ["the room was on".split(), "our lovely room was".split(), "on the floor was".split()]
""",
    code="""\
documents = as_numbers([review])
verdict = model(*documents).softmax(-1)
weights = model.weights(*documents)  # of sentences, and of words in theirs
""",
    seen="A small network after 60 steps on made-up reviews in which one word decides. It was never told which: the "
    "weights show that it found the word, and the sentence around it.",
    picture=_picture,
    check=_check,
)
