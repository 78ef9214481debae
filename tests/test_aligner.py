"""Alignments by forced decoding: the same in any batch, over the words the caller cuts, and equal to the search's."""

import numpy as np
import pytest
import torch

from regard.aligner import align, cut_at_blanks
from regard.errors import UserError
from regard.recipes.builtin import written
from regard.translator import Translator, load

PAIRS = written("valid", 12, 3)
SOURCES, TARGETS = [pair.source for pair in PAIRS], [pair.target for pair in PAIRS]


@pytest.fixture(scope="module")
def translator(tiny_translator):
    return load(tiny_translator).to(torch.float64)


def test_rows_add_up_to_1_over_the_words_between_blanks(translator):
    for pair, found in zip(PAIRS, align(translator, SOURCES, TARGETS), strict=True):
        assert found.source_words == tuple(pair.source.split())
        assert found.target_words == tuple(pair.target.split())
        assert found.attention.shape == (len(found.target_words), len(found.source_words))
        np.testing.assert_allclose(found.attention.sum(1), 1)
        assert found.log_prob < 0


def test_the_batch_changes_nothing(translator):
    alone = [align(translator, [s], [t])[0] for s, t in zip(SOURCES, TARGETS, strict=True)]
    backwards = align(translator, SOURCES[::-1], TARGETS[::-1], batch_tokens=60)[::-1]
    for found in (align(translator, SOURCES, TARGETS), backwards):
        for one, other in zip(alone, found, strict=True):
            np.testing.assert_allclose(one.attention, other.attention, atol=1e-12)
            assert one.log_prob == pytest.approx(other.log_prob)


def test_a_translation_aligned_with_its_source_looks_where_the_search_looked(translator):
    for translation in translator.translate(SOURCES[:6], beam=3):
        words = [list(translation.source_words)], [list(translation.target_words)]
        (found,) = align(
            translator, [translation.source], [translation.text], source_words=words[0], target_words=words[1]
        )
        ids = translator.tokenizer.encode([translation.text])[0]
        if translator.tokenizer.pieces(ids) != list(translation.tokens):
            continue  # the model spelt a word in other subwords than the tokenizer would
        np.testing.assert_allclose(found.attention, translation.attention, atol=1e-9)


def test_the_callers_words(translator):
    found = align(
        translator,
        SOURCES,
        TARGETS,
        source_words=[pair.source_words for pair in PAIRS],
        target_words=[pair.target_words for pair in PAIRS],
    )
    by_blanks = align(translator, SOURCES, TARGETS)
    for pair, one, other in zip(PAIRS, found, by_blanks, strict=True):
        assert (one.source_words, one.target_words) == (pair.source_words, pair.target_words)
        np.testing.assert_allclose(one.attention.sum(1), 1)
        # A word between blanks is read where its parts are read: its column is the sum of theirs.
        place, start = [], 0
        for word in one.source_words:
            start = pair.source.index(word, start)
            place.append(pair.source[:start].count(" "))
            start += len(word)
        last = len(one.target_words) - 1
        if one.target_words[last] == other.target_words[-1]:
            merged = np.bincount(place, weights=one.attention[last], minlength=len(other.source_words))
            np.testing.assert_allclose(merged, other.attention[-1])


def test_a_subword_over_two_words_counts_in_both_by_its_letters(translator):
    sentence = "Marie's"
    ids, spans = translator.tokenizer.spans(sentence)
    assert (0, 6) in spans or len(ids) > 1
    (found,) = align(translator, [sentence], ["un"], source_words=[["Mari", "e's"]])
    np.testing.assert_allclose(found.attention.sum(1), 1)


def test_blank_sides_unknown_letters_and_blanks_of_all_kinds(translator):
    sources = ["", "a cat", " \t ", "☃ \u00a0 x", "a  cat \t sleeps "]
    found = align(translator, sources, ["un chat", "", "", "⁂ ⁂", "un chat\tdort"])
    assert [pair.attention.shape for pair in found] == [(2, 0), (0, 2), (0, 0), (2, 3), (3, 3)]
    assert found[0].log_prob == 0.0
    assert align(translator, [], []) == []
    assert cut_at_blanks(" a\u00a0b\tc  d\r\n") == ["a\u00a0b", "c", "d"]


def test_what_cannot_be_aligned_is_said(translator, tmp_path):
    with pytest.raises(UserError, match="2 sentences and 1 translations"):
        align(translator, ["a", "b"], ["c"])
    with pytest.raises(UserError, match="word 2, 'dog', is not in its place"):
        align(translator, ["a cat"], ["un chat"], source_words=[["a", "dog"]])
    with pytest.raises(UserError, match="1 sentences and 2 lists of words"):
        align(translator, ["a cat"], ["un chat"], target_words=[["un", "chat"], []])
    from regard.config import ModelConfig
    from regard.models.seq2seq import Seq2Seq

    sizes = {"embedding": 4, "encoder_hidden": 4, "decoder_hidden": 4}
    blind = Seq2Seq(ModelConfig(attention="none", **sizes), len(translator.tokenizer))
    with pytest.raises(UserError, match="no attention"):
        align(Translator(blind, translator.tokenizer), ["a cat"], ["un chat"])
