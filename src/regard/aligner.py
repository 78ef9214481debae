"""Aligning a sentence with its translation: the model is made to write the translation, and attention says from where.

The words are the caller's: by default what stands between blanks, as Pharaoh files count them; or any cutting of the
sentence, such as a gold alignment's tokens.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from regard.data.batches import pad
from regard.decoding.forced import force
from regard.errors import UserError
from regard.translator import Translator

BLANKS = " \t\r\n"


@dataclass(frozen=True)
class Aligned:
    """A sentence pair and where each word of the translation was read.

    `attention` is (target words, source words): a source word's subwords are added up, a target word's are averaged. A
    subword that reaches over two words counts in each by its share of letters. `log_prob` is log p of the whole
    translation, its end included, in nats.
    """

    source_words: tuple[str, ...]
    target_words: tuple[str, ...]
    attention: np.ndarray
    log_prob: float


def align(
    translator: Translator,
    sources: Sequence[str],
    targets: Sequence[str],
    *,
    source_words: Sequence[Sequence[str]] | None = None,
    target_words: Sequence[Sequence[str]] | None = None,
    batch_tokens: int = 4096,
) -> list[Aligned]:
    """Where each word of a given translation is read, for sentence pairs in their order.

    source_words, target_words: the words of each sentence, in order and spelt as in it; None: cut at blanks.
    batch_tokens: bounds source tokens aligned at once; the batch a pair sits in changes nothing in its result.
    A pair with a blank side has weights of shape (target words, source words) too, all of them 0.
    Raises UserError for lists of different length, words that are not their sentence's, a model without attention.
    """
    if len(sources) != len(targets):
        raise UserError(f"{len(sources)} sentences and {len(targets)} translations: expected as many of each")
    read = [_cut(translator, sentence, words) for sentence, words in _with_words(sources, source_words)]
    written = [_cut(translator, sentence, words) for sentence, words in _with_words(targets, target_words)]
    found: list[Aligned | None] = [None] * len(sources)
    for chunk in _chunks([(len(s.ids), len(t.ids)) for s, t in zip(read, written, strict=True)], batch_tokens):
        lengths = torch.tensor([len(read[i].ids) for i in chunk])
        device = next(translator.model.parameters()).device
        source = pad([read[i].ids for i in chunk]).to(device)
        hypotheses = force(translator.model, source, lengths.to(device), [written[i].ids for i in chunk])
        for i, hypothesis in zip(chunk, hypotheses, strict=True):
            if hypothesis.weights is None:
                raise UserError(
                    "this model has no attention, so it aligns nothing: train one with --attention additive"
                )
            steps = hypothesis.weights[: len(written[i].ids), : len(read[i].ids)].double().cpu().numpy()
            weights = _mean(written[i].shares) @ steps @ read[i].shares.T
            found[i] = Aligned(read[i].words, written[i].words, weights, hypothesis.log_prob)
    return [
        pair or Aligned(read[i].words, written[i].words, np.zeros((len(written[i].words), len(read[i].words))), 0.0)
        for i, pair in enumerate(found)
    ]


@dataclass(frozen=True)
class _Cut:
    """A sentence as subwords and as words; `shares` (words, subwords) says what part of a subword is whose."""

    ids: list[int]
    words: tuple[str, ...]
    shares: np.ndarray


def _with_words(sentences: Sequence[str], words: Sequence[Sequence[str]] | None) -> Iterator[tuple[str, Sequence[str]]]:
    if words is not None and len(words) != len(sentences):
        raise UserError(f"{len(sentences)} sentences and {len(words)} lists of words: expected as many of each")
    for number, sentence in enumerate(sentences):
        yield sentence, cut_at_blanks(sentence) if words is None else words[number]


def cut_at_blanks(sentence: str) -> list[str]:
    """The words of a sentence as Pharaoh files count them: what stands between blanks, tabs included."""
    return [word for word in sentence.translate(dict.fromkeys(map(ord, BLANKS), " ")).split(" ") if word]


def _cut(translator: Translator, sentence: str, words: Sequence[str]) -> _Cut:
    owner = _owners(sentence, words)
    ids, spans = translator.tokenizer.spans(sentence)
    shares = np.zeros((len(words), len(ids)))
    for place, (start, end) in enumerate(spans):
        inside = [word for word in owner[start:end] if word is not None]
        # A subword that is nothing but a blank opens the word that follows.
        inside = inside or [word for word in owner[end:] if word is not None][:1]
        for word in inside:
            shares[word, place] += 1 / len(inside)
    return _Cut(ids, tuple(words), shares)


def _owners(sentence: str, words: Sequence[str]) -> list[int | None]:
    """For each character of the sentence, the word it belongs to."""
    owner: list[int | None] = [None] * len(sentence)
    end = 0
    for number, word in enumerate(words):
        start = sentence.find(word, end)
        if not word or start < 0:
            raise UserError(f"word {number + 1}, {word!r}, is not in its place in {sentence!r}")
        end = start + len(word)
        owner[start:end] = [number] * len(word)
    return owner


def _mean(shares: np.ndarray) -> np.ndarray:
    """Shares that add up to 1 in each word; a word without a subword keeps 0."""
    total = shares.sum(1, keepdims=True)
    return np.divide(shares, total, out=np.zeros_like(shares), where=total > 0)


def _chunks(lengths: Sequence[tuple[int, int]], tokens: int) -> Iterator[list[int]]:
    """Pairs of like length together, the longest first; those with a blank side are left out."""
    order = sorted((i for i, sizes in enumerate(lengths) if min(sizes)), key=lambda i: lengths[i], reverse=True)
    while order:
        size = max(1, tokens // max(lengths[order[0]]))
        yield order[:size]
        order = order[size:]
