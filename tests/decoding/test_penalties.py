"""A beam as wide as all outputs is enumeration: what it finds best is best by the stated formula."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from small import SOURCE, batch, every_output, grams, model

from regard.data.tokenizer import BOS
from regard.decoding.beam import beam_search
from regard.decoding.greedy import greedy
from regard.decoding.options import Decoding
from regard.decoding.penalties import UNREAD, best_to_come, coverage, score

STEPS = 4


def outputs_of(net, source):
    """Every output with its log p and how much was read of each source word, by stepping the model through it."""
    encoded = net.encode(*batch([source]))

    def walk(tokens, state, total, read):
        last = torch.tensor([[tokens[-1] if tokens else BOS]])
        step = net.step(last, state, encoded, weights=True)
        read = read + step.weights[0, 0]
        for word in range(2, net.vocabulary):
            value = total + float(step.log_probs[0, 0, word])
            if word == 2:
                yield tokens, True, value, read
            elif len(tokens) + 1 == STEPS:
                yield [*tokens, word], False, value, read
            else:
                yield from walk([*tokens, word], step.state, value, read)

    with torch.no_grad():
        yield from walk([], net.start(encoded, 1), 0.0, torch.zeros(len(source), dtype=torch.float64))


ORACLE = {}


def oracle(attention, source):
    key = (attention, tuple(source))
    if key not in ORACLE:
        ORACLE[key] = list(outputs_of(model(attention=attention), source))
        assert len(ORACLE[key]) == len(list(every_output(7, STEPS)))
    return ORACLE[key]


@settings(max_examples=60)
@given(
    alpha=st.floats(0, 2),
    beta=st.sampled_from([0.0, 0.05, 0.2, 1.0, 5.0]),
    no_repeat=st.integers(0, 3),
    prefix=st.lists(st.integers(3, 6), max_size=2),
    which=st.integers(0, 4),
    n_best=st.integers(1, 4),
    attention=st.sampled_from(["additive", "general", "local-m"]),
)
def test_the_best_by_the_formula_is_found(alpha, beta, no_repeat, prefix, which, n_best, attention):
    source = SOURCE[which]
    ranked = []
    for tokens, complete, log_p, read in oracle(attention, source):
        said = grams(tokens, no_repeat) if no_repeat else []
        new = [tuple(tokens[i : i + no_repeat]) for i in range(len(said)) if i + no_repeat > len(prefix)]
        old = said[: len(said) - len(new)]
        fresh = all(gram not in old + new[:i] for i, gram in enumerate(new))
        if tokens[: len(prefix)] == prefix and fresh:
            n = len(tokens) + complete
            cover = sum(math.log(min(max(float(a), UNREAD), 1.0)) for a in read)
            ranked.append((log_p / n**alpha + beta * cover, tokens, log_p))
    ranked.sort(reverse=True)
    decoding = Decoding(beam=400, length_penalty=alpha, coverage_penalty=beta, no_repeat=no_repeat, max_length=STEPS)
    (found,) = beam_search(model(attention=attention), *batch([source]), decoding, n_best=n_best, prefixes=[prefix])
    for hypothesis, (best, tokens, log_p) in zip(found[:n_best], ranked, strict=False):
        assert hypothesis.score == pytest.approx(best, abs=1e-9)
        if abs(best - hypothesis.score) < 1e-12 and hypothesis.tokens == tokens:
            assert hypothesis.log_prob == pytest.approx(log_p, abs=1e-9)
    assert len(found) >= min(n_best, len(ranked))


def test_a_greedy_output_is_scored_by_the_same_formula():
    net, decoding = model(), Decoding(beam=1, length_penalty=0.6, coverage_penalty=0.3, max_length=STEPS)
    for one, (other,) in zip(
        greedy(net, *batch(SOURCE), decoding), beam_search(net, *batch(SOURCE), decoding), strict=True
    ):
        assert (one.tokens, one.complete) == (other.tokens, other.complete)
        assert one.score == pytest.approx(other.score, abs=1e-9)
        assert one.log_prob == pytest.approx(other.log_prob, abs=1e-9)


@given(
    log_p=st.floats(-50, 0),
    more=st.lists(st.floats(-5, 0), max_size=6),
    alpha=st.floats(0, 2),
    words=st.integers(1, 6),
)
def test_nothing_that_comes_later_beats_the_bound(log_p, more, alpha, words):
    limit = words + len(more)
    bound = best_to_come(log_p, limit, alpha)
    for i in range(len(more) + 1):
        assert score(log_p + sum(more[:i]), words + i, alpha) <= bound + 1e-12


def test_coverage_counts_the_sentences_own_words_and_stays_finite():
    read = torch.tensor([[[0.5, 2.0, 0.0], [1.0, 1.0, 0.0]]], dtype=torch.float64)
    found = coverage(read, torch.tensor([2]), 0.5)
    torch.testing.assert_close(found, torch.tensor([[0.5 * math.log(0.5), 0.0]], dtype=torch.float64))
    assert coverage(read, torch.tensor([3]), 1.0)[0, 1] == pytest.approx(math.log(UNREAD))
