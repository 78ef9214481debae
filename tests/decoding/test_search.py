"""Greedy and beam search against the model's own teacher-forced scores and against enumeration."""

import pytest
import torch

from regard.config import ModelConfig
from regard.data.batches import make_batch, pad
from regard.data.tokenizer import BOS, EOS, PAD
from regard.decoding import beam as beam_module
from regard.decoding.beam import beam_search
from regard.decoding.greedy import greedy
from regard.decoding.options import Decoding
from regard.models.seq2seq import Seq2Seq
from regard.training.module import token_loss

SOURCE = [[4, 5, 6, 7, 4, 8], [8, 6], [7], [5, 5, 4, 6], [6, 4]]
LENGTHS = torch.tensor([6, 2, 1, 4, 2])


def model(words=9, seed=0, **settings):
    torch.manual_seed(seed)
    sizes = {"embedding": 5, "encoder_hidden": 4, "decoder_hidden": 8, "dropout": 0.0}
    net = Seq2Seq(ModelConfig(**(sizes | settings)), words).double().eval()
    with torch.no_grad():
        for parameter in net.parameters():
            parameter *= 4  # sharp enough that hypotheses differ, and some end early
        net.output_bias[EOS] = 1.0
    return net


MODELS = [
    {},
    {"attention": "none"},
    {"attention": "general", "cell": "lstm", "layers": 2},
    {"attention": "local-m"},
    {"attention": "dot", "input_feeding": True, "order": "bahdanau"},
]


def log_prob(net, source, hypothesis):
    """The model's own log-probability of an output, by teacher forcing."""
    target = [*hypothesis.tokens, EOS] if hypothesis.complete else hypothesis.tokens
    with torch.no_grad():
        return -float(token_loss(net, make_batch([source], [target])))


@pytest.mark.parametrize("settings", MODELS, ids=str)
@pytest.mark.parametrize("beams", [1, 3, 6])
def test_a_hypothesis_has_the_models_own_score(settings, beams):
    net = model(**settings)
    for source, hypotheses in zip(SOURCE, beam_search(net, pad(SOURCE), LENGTHS, Decoding(beam=beams)), strict=True):
        assert 1 <= len(hypotheses) <= beams
        assert len({(*h.tokens, h.complete) for h in hypotheses}) == len(hypotheses)
        assert [h.score for h in hypotheses] == sorted((h.score for h in hypotheses), reverse=True)
        for h in hypotheses:
            assert h.log_prob == pytest.approx(log_prob(net, source, h), abs=1e-9)
            assert h.score == pytest.approx(h.log_prob / (len(h.tokens) + h.complete), abs=1e-12)
            assert not {PAD, BOS, EOS} & set(h.tokens)


@pytest.mark.parametrize("settings", MODELS, ids=str)
def test_greedy_is_a_beam_of_one_and_scores_its_own_output(settings):
    net = model(**settings)
    found = greedy(net, pad(SOURCE), LENGTHS)
    beams = beam_search(net, pad(SOURCE), LENGTHS, Decoding(beam=1))
    for source, one, (other,) in zip(SOURCE, found, beams, strict=True):
        assert one.tokens == other.tokens
        assert one.log_prob == pytest.approx(other.log_prob, abs=1e-9)
        assert one.log_prob == pytest.approx(log_prob(net, source, one), abs=1e-9)


@pytest.mark.parametrize("settings", MODELS, ids=str)
@pytest.mark.parametrize("beams", [1, 4])
def test_a_sentence_comes_out_the_same_alone_in_any_batch_and_in_any_order(settings, beams):
    net = model(**settings)

    def search(order):
        rows = [SOURCE[i] for i in order]
        found = beam_search(net, pad(rows), torch.tensor([len(row) for row in rows]), Decoding(beam=beams))
        return {i: [h.tokens for h in hypotheses] for i, hypotheses in zip(order, found, strict=True)}

    whole = search(range(5))
    for order in ([4, 3, 2, 1, 0], [2, 0], *([i] for i in range(5))):
        assert search(order).items() <= whole.items()


@pytest.mark.parametrize("seed", range(6))
def test_in_float32_only_ties_may_fall_otherwise(seed):
    net = model(seed=seed).float()
    together = beam_search(net, pad(SOURCE), LENGTHS, Decoding(beam=4))
    for source, found in zip(SOURCE, together, strict=True):
        (alone,) = beam_search(net, torch.tensor([source]), torch.tensor([len(source)]), Decoding(beam=4))
        assert alone[0].tokens == found[0].tokens or abs(alone[0].score - found[0].score) < 1e-5


@pytest.mark.parametrize("settings", [s for s in MODELS if s.get("attention") != "none"], ids=str)
@pytest.mark.parametrize("search", ["greedy", "beam"])
def test_attention_is_that_of_teacher_forcing_the_output(settings, search):
    net = model(**settings)
    if search == "greedy":
        found = greedy(net, pad(SOURCE), LENGTHS, attention=True)
    else:
        found = [h for h, *_ in beam_search(net, pad(SOURCE), LENGTHS, Decoding(beam=4), attention=True)]
    for source, hypothesis in zip(SOURCE, found, strict=True):
        state, encoded = None, net.encode(torch.tensor([source]), torch.tensor([len(source)]))
        state, words = net.start(encoded, 1), [BOS, *hypothesis.tokens]
        assert len(hypothesis.weights) == len(hypothesis.tokens) + hypothesis.complete
        for word, looked in zip(words, hypothesis.weights, strict=False):
            step = net.step(torch.tensor([[word]]), state, encoded, weights=True)
            state = step.state
            torch.testing.assert_close(looked[: len(source)], step.weights[0, 0])
            assert (looked[len(source) :] == 0).all()


def test_a_model_that_never_ends_is_cut_and_still_answers():
    net = model()
    with torch.no_grad():
        net.output_bias[EOS] = -1e4
    for h in greedy(net, pad(SOURCE), LENGTHS) + [
        h for h, *_ in beam_search(net, pad(SOURCE), LENGTHS, Decoding(beam=3))
    ]:
        assert not h.complete
    assert [len(h.tokens) for h in greedy(net, pad(SOURCE), LENGTHS)] == [22, 14, 12, 18, 14]


@pytest.mark.parametrize("penalty", [0.0, 0.3, 1.0])
@pytest.mark.parametrize("n_best", [1, 3])
def test_stopping_early_loses_nothing(monkeypatch, penalty, n_best):
    """But for the K that may finish: the bound alone stops here, and a search that goes on finds the same."""
    net = model()
    decoding = Decoding(beam=40, length_penalty=penalty, max_length=6)
    early = beam_search(net, pad(SOURCE), LENGTHS, decoding, n_best=n_best)
    monkeypatch.setattr(beam_module, "best_to_come", lambda log_prob, limit, length_penalty: float("inf"))
    late = beam_search(net, pad(SOURCE), LENGTHS, decoding, n_best=n_best)
    for one, other in zip(early, late, strict=True):
        assert [h.tokens for h in one[:n_best]] == [h.tokens for h in other[:n_best]]


def test_the_bound_stops_a_search():
    steps = []

    class Counted:
        def __init__(self, net):
            self.encode, self.start, self.net = net.encode, net.start, net

        def step(self, tokens, state, source, *, weights):
            steps.append(len(tokens))
            return self.net.step(tokens, state, source, weights=weights)

    beam_search(Counted(model()), pad(SOURCE), LENGTHS, Decoding(beam=5, length_penalty=0.0))
    assert sum(steps) < 22 * 5


@pytest.mark.plain
def test_what_cannot_be_searched_is_said():
    with pytest.raises(ValueError, match="a beam of 2 finds 1 to 2 outputs, got 3"):
        beam_search(model(), pad(SOURCE), LENGTHS, Decoding(beam=2), n_best=3)
    with pytest.raises(ValueError, match="coverage_penalty: it weighs attention, and this model has none"):
        beam_search(model(attention="none"), pad(SOURCE), LENGTHS, Decoding(coverage_penalty=0.2))
    with pytest.raises(ValueError, match="max_length: 2 leaves no room after a prefix of 2 subwords"):
        beam_search(model(), pad(SOURCE[:1]), LENGTHS[:1], Decoding(max_length=2), prefixes=[[4, 5]])
