"""Bins of source length: every sentence in exactly one, each bin a corpus BLEU of its own."""

import pytest
import sacrebleu
from hypothesis import given, settings
from hypothesis import strategies as st

from regard.errors import UserError
from regard.evaluation.lengths import by_length

REFERENCES = ["le chat dort bien ici", "un chien", "la petite fille mange une pomme rouge", "il pleut beaucoup ce soir"]
HYPOTHESES = ["le chat dort mal ici", "un chien", "la petite fille mange la pomme rouge", "il neige beaucoup ce soir"]


def test_each_bin_is_corpus_bleu_of_its_sentences():
    bins = by_length([5, 2, 11, 30], HYPOTHESES, REFERENCES, edges=(10, 20, 30))
    assert [(b.low, b.high, b.sentences) for b in bins] == [(0, 10, 2), (11, 20, 1), (21, 30, 1)]
    for inside, b in zip(([0, 1], [2], [3]), bins, strict=True):
        direct = sacrebleu.corpus_bleu([HYPOTHESES[i] for i in inside], [[REFERENCES[i] for i in inside]])
        assert b.bleu is not None
        assert b.bleu.value == direct.score
    mean_of_sentences = sum(sacrebleu.sentence_bleu(HYPOTHESES[i], [REFERENCES[i]]).score for i in (0, 1)) / 2
    assert bins[0].bleu.value != mean_of_sentences


def test_empty_bins_are_shown_as_such():
    bins = by_length([25], HYPOTHESES[:1], REFERENCES[:1], edges=(10, 20, 30))
    assert [(b.sentences, b.bleu is None) for b in bins] == [(0, True), (0, True), (1, False)]


def test_sentences_beyond_the_last_edge_are_kept():
    bins = by_length([5, 99], HYPOTHESES[:2], REFERENCES[:2], edges=(10, 60))
    assert bins[-1].label == "> 60"
    assert bins[-1].sentences == 1


def test_labels():
    assert [b.label for b in by_length([1], ["a"], ["a"], edges=(10, 20))] == ["≤ 10", "11–20"]


@settings(max_examples=30, deadline=None)
@given(st.lists(st.integers(0, 90), min_size=1, max_size=12), st.sets(st.integers(0, 80), min_size=1, max_size=5))
def test_no_sentence_is_lost_or_counted_twice(lengths, edges):
    text = ["un chat"] * len(lengths)
    bins = by_length(lengths, text, text, edges=sorted(edges))
    assert sum(b.sentences for b in bins) == len(lengths)


@pytest.mark.parametrize("edges", [(), (10, 10), (20, 10), (-1, 5)])
def test_edges_must_grow(edges):
    with pytest.raises(UserError, match="10 20 30"):
        by_length([1], ["a"], ["a"], edges=edges)


def test_different_lengths_are_refused():
    with pytest.raises(UserError, match="2 source lengths, 1 hypotheses"):
        by_length([1, 2], ["a"], ["a"])
