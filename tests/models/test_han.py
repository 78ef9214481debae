"""The hierarchical attention network: a loop over single documents says the same, padding nothing, and it learns."""

import pytest
import torch
import torch.nn.functional as F
from cases import Case, must_hold
from grids import lengths_of, softmax_within
from torch import nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence, pad_sequence

from regard.models.han import HAN, padded

DOCUMENTS = [
    [[3, 1, 4], [1, 5]],
    [[2]],
    [[7, 1, 8, 2], [], [8, 1], [8, 2, 8]],
    [],
]


def small(classes=3):
    torch.manual_seed(1)
    return HAN(12, classes, embedding=6, encoder=4, attention=5)


def pooled(level, h):
    alpha = torch.softmax(torch.tanh(h @ level.key.weight.T + level.key.bias) @ level.u, 0)
    return alpha @ h, alpha


def torchs(encoder):
    """`torch.nn.GRU` with the same parameters: not copies, so that gradients reach them."""
    hidden, features = encoder.weight_hh_l0.shape[1], encoder.weight_ih_l0.shape[1]
    rnn = nn.GRU(features, hidden, bidirectional=True, batch_first=True)
    return lambda x: torch.func.functional_call(rnn, dict(encoder.named_parameters()), (x,))


def alone(model, document):
    """One document, sentence by sentence, through `torch.nn.GRU`."""
    words, sentences = map(torchs, model.attention.encoders)
    of_words, of_sentences = model.attention.levels
    parts, looked = [], []
    for sentence in document:
        if sentence:
            vector, alpha = pooled(of_words, words(model.embedding(torch.tensor(sentence))[None])[0][0])
            parts.append(vector)
            looked.append(alpha)
    if not parts:
        return model.out.bias, None, []
    vector, alpha = pooled(of_sentences, sentences(torch.stack(parts)[None])[0][0])
    return model.out(vector), alpha, looked


def draw(batch, time):
    documents, words = torch.randint(1, 5, (batch, time, 3)), torch.randint(0, 4, (batch, time))
    if time:
        words[:, 0] += words[:, 0] == 0  # something to read, unless a check says otherwise
    return documents, lengths_of(batch, time), words


def packed(model, documents, sentences, words):
    """All documents at once, by packed sequences; what is empty is taken out before."""

    def summed_up(level, x, lengths):
        encoder, pool = model.attention.encoders[level], model.attention.levels[level]
        ahead = pack_padded_sequence(x, lengths.clamp(min=1), batch_first=True, enforce_sorted=False)
        h, _ = pad_packed_sequence(torchs(encoder)(ahead)[0], batch_first=True, total_length=x.shape[1])
        alpha = softmax_within(torch.tanh(pool.key(h)) @ pool.u, torch.arange(x.shape[1]) < lengths[:, None])
        return (alpha[:, None] @ h)[:, 0]

    vectors = summed_up(0, model.embedding(documents).flatten(0, 1), words.flatten()).unflatten(0, words.shape)
    there = (torch.arange(words.shape[1]) < sentences[:, None]) & (words > 0)
    rows = pad_sequence([vector[kept] for vector, kept in zip(vectors, there, strict=True)], batch_first=True)
    return model.out(summed_up(1, rows, there.sum(1)))


test_what_must_hold = must_hold(
    {
        "han": Case(
            lambda: HAN(5, 2, embedding=3, encoder=2, attention=2),
            draw,
            packed,
            lengths=1,
            nothing=lambda model: model.out.bias,
        )
    }
)


def test_it_is_a_loop_over_single_documents():
    model = small().double()
    batch = padded(DOCUMENTS)
    logits = model(*batch)
    sentences, words = model.weights(*batch)
    for row, document in enumerate(DOCUMENTS):
        wanted, of_sentences, of_words = alone(model, document)
        torch.testing.assert_close(logits[row], wanted, rtol=1e-10, atol=1e-10)
        there = [j for j, sentence in enumerate(document) if sentence]
        for j, alpha in zip(there, of_words, strict=True):
            torch.testing.assert_close(words[row, j, : len(alpha)], alpha, rtol=1e-10, atol=1e-10)
        if there:
            torch.testing.assert_close(sentences[row, there], of_sentences, rtol=1e-10, atol=1e-10)
        assert (sentences[row] > 0).sum() == len(there)


def test_its_gradients_are_those_of_the_loop():
    model = small().double()
    logits = model(*padded(DOCUMENTS))
    wanted = torch.stack([alone(model, document)[0] for document in DOCUMENTS])
    for found, truth in zip(
        torch.autograd.grad(logits.square().sum(), list(model.parameters())),
        torch.autograd.grad(wanted.square().sum(), list(model.parameters())),
        strict=True,
    ):
        torch.testing.assert_close(found, truth, rtol=1e-10, atol=1e-10)


def test_padding_and_company_change_nothing():
    model = small().double()
    together = model(*padded(DOCUMENTS))
    for row, document in enumerate(DOCUMENTS):
        torch.testing.assert_close(model(*padded([document]))[0], together[row])
    documents, sentences, words = padded(DOCUMENTS)
    longer = F.pad(documents, (0, 3, 0, 2), value=11)
    torch.testing.assert_close(model(longer, sentences, F.pad(words, (0, 2), value=7)), together)


def test_padded():
    documents, sentences, words = padded(DOCUMENTS)
    assert documents.shape == (4, 4, 4)
    assert sentences.tolist() == [2, 1, 4, 0]
    assert words[2].tolist() == [4, 0, 2, 3]
    assert documents[2, 3].tolist() == [8, 2, 8, 0]
    assert [x.shape for x in padded([])] == [(0, 0, 0), (0,), (0, 0)]


def a_document(generator):
    """Noise, and in one sentence one of the words 1 and 2, which is the document's class."""
    draw = lambda low, high: int(torch.randint(low, high, (), generator=generator))  # noqa: E731
    document = [[draw(3, 12) for _ in range(draw(2, 6))] for _ in range(draw(2, 5))]
    label, place = draw(0, 2), draw(0, len(document))
    document[place][draw(0, len(document[place]))] = 1 + label
    return document, label, place


def test_it_learns_which_word_counts_and_looks_at_it():
    generator = torch.Generator().manual_seed(3)
    train, test = ([a_document(generator) for _ in range(n)] for n in (256, 100))
    model = small(2)
    optimiser = torch.optim.Adam(model.parameters(), 0.02)
    batch, labels = padded([x for x, _, _ in train]), torch.tensor([label for _, label, _ in train])
    for _ in range(60):
        optimiser.zero_grad()
        F.cross_entropy(model(*batch), labels).backward()
        optimiser.step()
    batch, labels = padded([x for x, _, _ in test]), torch.tensor([label for _, label, _ in test])
    with torch.no_grad():
        right = (model(*batch).argmax(-1) == labels).float().mean()
        sentences, _ = model.weights(*batch)
    assert right >= 0.95
    # Chance would be a third. The sentences' GRU carries the word to the neighbours, so looking there is right too.
    places = torch.tensor([place for _, _, place in test])
    assert (sentences.argmax(-1) == places).float().mean() >= 0.5


@pytest.mark.plain
def test_wrong_shapes_are_named():
    documents, sentences, words = padded(DOCUMENTS)
    with pytest.raises(ValueError, match=r"documents: expected whole numbers \(batch, sentences, words\), got"):
        small()(documents[0], sentences, words)
    with pytest.raises(ValueError, match=r"lengths\[1\]: expected whole numbers of shape \(4, 4\)"):
        small()(documents, sentences, words[:, :2])
