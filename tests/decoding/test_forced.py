"""Forced decoding gives what the search found: its log-probability and its attention."""

import pytest
import torch

from regard.config import ModelConfig
from regard.data.batches import pad
from regard.data.tokenizer import BOS, EOS
from regard.decoding.beam import beam_search
from regard.decoding.forced import force
from regard.decoding.greedy import greedy
from regard.decoding.options import Decoding
from regard.models.seq2seq import Seq2Seq

SIZES = {"embedding": 6, "encoder_hidden": 4, "decoder_hidden": 8, "dropout": 0.0}
SOURCES = [[5, 6, 7, 8, 9], [4], [9, 8, 7], [10, 4, 5, 6, 7, 8, 9]]


def model(**settings):
    torch.manual_seed(3)
    return Seq2Seq(ModelConfig(**SIZES | settings), 12).double().eval()


@pytest.mark.parametrize("settings", [{}, {"attention": "general", "cell": "lstm"}, {"attention": "local-p"}])
@pytest.mark.parametrize("search", ["greedy", "beam"])
def test_what_was_found_is_found_again(settings, search):
    network = model(**settings)
    source, lengths = pad(SOURCES), torch.tensor([len(ids) for ids in SOURCES])
    if search == "greedy":
        found = greedy(network, source, lengths, attention=True)
    else:
        found = [best[0] for best in beam_search(network, source, lengths, Decoding(beam=4), attention=True)]
    forced = force(network, source, lengths, [hypothesis.tokens for hypothesis in found])
    for hypothesis, again in zip(found, forced, strict=True):
        assert again.tokens == hypothesis.tokens
        steps = len(hypothesis.weights)
        torch.testing.assert_close(again.weights[:steps], hypothesis.weights)
        if hypothesis.complete:
            assert again.log_prob == pytest.approx(hypothesis.log_prob)


def test_log_prob_is_what_teacher_forcing_gives():
    network, target = model(), [6, 7, 4, 4]
    source, lengths = pad(SOURCES[:1]), torch.tensor([5])
    with torch.no_grad():
        logits = network.logits(network(source, lengths, torch.tensor([[BOS, *target]])))[0]
    asked = torch.tensor([*target, EOS])
    (forced,) = force(network, source, lengths, [target])
    assert forced.log_prob == pytest.approx(float(torch.log_softmax(logits, -1)[range(5), asked].sum()))
    assert forced.complete
    assert len(forced.weights) == len(target) + 1


def test_targets_of_any_length_side_by_side():
    network, targets = model(), [[4, 5], [], [6] * 9, [7]]
    lengths = torch.tensor([len(ids) for ids in SOURCES])
    together = force(network, pad(SOURCES), lengths, targets)
    for ids, target, found in zip(SOURCES, targets, together, strict=True):
        (alone,) = force(network, pad([ids]), torch.tensor([len(ids)]), [target])
        assert found.log_prob == pytest.approx(alone.log_prob)
        torch.testing.assert_close(found.weights[:, : len(ids)], alone.weights)
        assert not found.weights[:, len(ids) :].any()


def test_weights_are_not_kept_unless_asked_for_nor_where_there_are_none():
    source, lengths = pad(SOURCES[:1]), torch.tensor([5])
    assert force(model(), source, lengths, [[4]], attention=False)[0].weights is None
    assert force(model(attention="none"), source, lengths, [[4]])[0].weights is None
