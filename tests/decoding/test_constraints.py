"""What an output must begin with and must not repeat, whichever way it is looked for."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from small import LENGTHS, SOURCE, batch, grams, log_prob, model

from regard.data.batches import pad
from regard.data.tokenizer import BOS, PAD
from regard.decoding.beam import beam_search
from regard.decoding.constraints import Constraints
from regard.decoding.forced import force
from regard.decoding.greedy import greedy
from regard.decoding.options import Decoding
from regard.decoding.sampling import sample

NET = model(words=9, sharp=3.0)


def decode(decoding, rows=SOURCE, net=NET, prefixes=None, attention=False):
    """Every hypothesis of each sentence, by beam, greedy or sampling, as the options say."""
    source, lengths = batch(rows)
    if decoding.sample:
        return sample(net, source, lengths, decoding, copies=3, prefixes=prefixes, attention=attention)
    if decoding.beam == 1:
        found = greedy(net, source, lengths, decoding, prefixes=prefixes, attention=attention)
        return [[hypothesis] for hypothesis in found]
    return beam_search(net, source, lengths, decoding, prefixes=prefixes, attention=attention)


WAYS = [Decoding(beam=1), Decoding(beam=4), Decoding(sample=True)]
OPTIONS = st.builds(
    lambda way, no_repeat, max_length, alpha, beta, seed: Decoding(
        beam=way.beam, sample=way.sample, no_repeat=no_repeat, max_length=max_length, length_penalty=alpha,
        coverage_penalty=beta, seed=seed if way.sample else 0,
    ),
    st.sampled_from(WAYS), st.integers(0, 3), st.sampled_from([None, 4, 7]), st.sampled_from([0.0, 0.7, 1.0]),
    st.sampled_from([0.0, 0.4]), st.integers(0, 3),
)  # fmt: skip
PREFIXES = st.lists(st.lists(st.integers(3, 8), max_size=3), min_size=5, max_size=5)


@settings(max_examples=40)
@given(decoding=OPTIONS, prefixes=PREFIXES)
def test_whatever_is_asked_scores_and_attention_are_those_of_teacher_forcing(decoding, prefixes):
    for row, found in enumerate(decode(decoding, prefixes=prefixes, attention=True)):
        assert found
        assert [h.score for h in found] == sorted((h.score for h in found), reverse=True)
        for h in found:
            assert h.tokens[: len(prefixes[row])] == prefixes[row]
            assert not {PAD, BOS} & set(h.tokens)
            assert h.log_prob == pytest.approx(log_prob(NET, SOURCE[row], h), abs=1e-9)
            assert len(h.weights) == len(h.tokens) + h.complete
            (forced,) = force(NET, *batch([SOURCE[row]]), [h.tokens])
            width = len(SOURCE[row])
            torch.testing.assert_close(h.weights[:, :width], forced.weights[: len(h.weights)], rtol=0, atol=1e-9)
            assert not h.weights[:, width:].any()
            if decoding.max_length:
                assert len(h.tokens) + h.complete <= decoding.max_length
            n, before = decoding.no_repeat, len(prefixes[row])
            said = grams(h.tokens, n) if n else []
            assert all(said[i] not in said[:i] for i in range(len(said)) if i + n > before)


@settings(max_examples=40)
@given(decoding=OPTIONS, prefixes=PREFIXES, order=st.permutations(range(5)), several=st.integers(1, 5))
def test_the_same_alone_in_any_batch_and_in_any_order(decoding, prefixes, order, several):
    whole = decode(decoding, prefixes=prefixes)
    some = order[:several]
    found = decode(decoding, [SOURCE[i] for i in some], prefixes=[prefixes[i] for i in some])
    for i, hypotheses in zip(some, found, strict=True):
        assert [h.tokens for h in hypotheses] == [h.tokens for h in whole[i]]
        assert [h.score for h in hypotheses] == pytest.approx([h.score for h in whole[i]], abs=1e-9)


def test_blocking_takes_words_away_and_leaves_the_others_as_they_are():
    logits = torch.randn(1, 2, 9, dtype=torch.float64)
    before = logits.clone()
    said = torch.tensor([[[4, 5, 4, 6, 4], [7, 7, 8, 3, 7]]])
    Constraints(None, 2, logits.device).restrict(logits, torch.tensor([0]), said, 5)
    gone = logits == -torch.inf
    assert gone[0, 0].nonzero().flatten().tolist() == [PAD, BOS, 5, 6]
    assert gone[0, 1].nonzero().flatten().tolist() == [PAD, BOS, 7, 8]
    assert torch.equal(logits[~gone], before[~gone])


def test_a_prefix_binds_its_own_sentence_alone_and_only_so_long():
    logits = torch.randn(3, 2, 9)
    constraints = Constraints([[4, 5], [], [6]], 0, logits.device)
    for step, allowed in ((0, [[4], None, [6]]), (1, [[5], None, None]), (2, [None] * 3)):
        now = logits.clone()
        constraints.restrict(now, torch.tensor([0, 1, 2]), None, step)
        for row, words in enumerate(allowed):
            left = torch.isfinite(now[row, 0]).nonzero().flatten().tolist()
            assert left == (words or list(range(2, 9)))
            assert torch.equal(now[row, :, left], logits[row, :, left])


def test_with_everything_blocked_the_output_ends():
    net = model(words=5, sharp=3.0)  # UNK and one word: two unigrams, then the end
    for decoding in (Decoding(beam=1, no_repeat=1), Decoding(beam=3, no_repeat=1), Decoding(sample=True, no_repeat=1)):
        source = [[4, 4], [3]]
        for found in decode(decoding, source, net):
            for h in found:
                assert h.complete
                assert len(h.tokens) <= 2


def test_where_nothing_repeats_blocking_changes_nothing():
    free = beam_search(NET, pad(SOURCE), LENGTHS, Decoding(beam=3, max_length=3))
    blocked = beam_search(NET, pad(SOURCE), LENGTHS, Decoding(beam=3, max_length=3, no_repeat=3))
    assert [[h.tokens for h in found] for found in free] == [[h.tokens for h in found] for found in blocked]
