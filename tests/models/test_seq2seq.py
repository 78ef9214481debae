import itertools

import pytest
import torch

from regard.config import ModelConfig
from regard.data.batches import make_batch
from regard.data.tokenizer import EOS
from regard.errors import UserError
from regard.models.seq2seq import Seq2Seq
from regard.training.module import token_loss

WORDS = 11
ATTENTIONS = ("none", "additive", "dot", "scaled-dot", "general", "local-m", "local-p")


def model(**settings):
    sizes = {"embedding": 6, "encoder_hidden": 4, "decoder_hidden": 8, "dropout": 0.0}
    return Seq2Seq(ModelConfig(**(sizes | settings)), WORDS).double().eval()


CASES = [
    {"attention": attention, "order": order, "input_feeding": feeding}
    for attention, order, feeding in itertools.product(ATTENTIONS, ("bahdanau", "luong"), (True, False))
] + [
    {"cell": "lstm", "layers": 2, "tied_embeddings": "none"},
    *({"attend_words": True, "attention": attention} for attention in ATTENTIONS),
    {"attend_words": True, "order": "luong", "input_feeding": True, "embedding": 5},
    {"layers": 3, "attention": "general", "tied_embeddings": "target", "bidirectional": False},
]
SOURCE = [[4, 5, 6, 7], [8, 9], [10]]
TARGET = [[5, 6, EOS], [7, EOS], [8, 9, 10, 4, EOS]]


@pytest.mark.parametrize("settings", CASES, ids=str)
def test_teacher_forcing_says_what_decoding_step_by_step_says(settings):
    net, batch = model(**settings), make_batch(SOURCE, TARGET)
    forced = torch.log_softmax(net.logits(net(batch.source, batch.source_lengths, batch.target_in)), -1)
    source = net.encode(batch.source, batch.source_lengths)
    state = net.start(source, 2)
    for t in range(batch.target_in.shape[1]):
        tokens = batch.target_in[:, t, None].expand(-1, 2)
        step = net.step(tokens, state, source, weights=True)
        state, weights = step.state, step.weights
        torch.testing.assert_close(step.log_probs[:, 1], forced[:, t])
        assert (weights is None) == (settings.get("attention") == "none")


@pytest.mark.parametrize("settings", CASES, ids=str)
def test_a_batch_is_its_sentences_in_loss_and_gradient(settings):
    net = model(**settings)
    together = token_loss(net, make_batch(SOURCE, TARGET))
    alone = sum(token_loss(net, make_batch([s], [t])) for s, t in zip(SOURCE, TARGET, strict=True))
    torch.testing.assert_close(together, alone)
    parameters = list(net.parameters())
    for a, b in zip(torch.autograd.grad(together, parameters), torch.autograd.grad(alone, parameters), strict=True):
        torch.testing.assert_close(a, b)


@pytest.mark.parametrize("attention", ["none", "additive", "local-p"])
@pytest.mark.parametrize("attend_words", [False, True])
def test_every_parameter_learns(attention, attend_words):
    net = model(attention=attention, attend_words=attend_words)
    token_loss(net, make_batch(SOURCE, TARGET)).backward()
    still = [name for name, parameter in net.named_parameters() if not parameter.grad.abs().any()]
    assert still == []


def test_without_attention_nothing_but_the_last_state_reaches_the_decoder():
    net = model(attention="none")
    batch = make_batch(SOURCE, TARGET)
    source = net.encode(batch.source, batch.source_lengths)
    assert [tensor.shape for tensor in source.memory] == [(3, 8)]
    assert net.decoder.readout.in_features == model(attention="additive").decoder.readout.in_features


def test_states_follow_their_parents():
    net, batch = model(attention="local-m", order="luong"), make_batch(SOURCE, TARGET)
    source = net.encode(batch.source, batch.source_lengths)
    tokens = torch.tensor([[4, 5], [6, 7], [8, 9]])
    state = net.step(tokens, net.start(source, 2), source, weights=False).state
    parents = torch.tensor([[1, 0], [1, 1], [0, 0]])
    moved = state.reorder(parents)
    for before, after in ((state.fed, moved.fed), (state.hidden[0][0], moved.hidden[0][0])):
        for row in range(3):
            assert torch.equal(after[row], before[row, parents[row]])
    kept = torch.tensor([2, 0])
    a = net.step(tokens[kept], moved.select(kept), source.select(kept), weights=True)
    b = net.step(tokens, moved, source, weights=True)
    torch.testing.assert_close(a.log_probs, b.log_probs[kept])
    torch.testing.assert_close(a.weights, b.weights[kept])


def test_attended_words_are_added_up_beside_the_states():
    net = model(attend_words=True)
    source = net.encode(torch.tensor(SOURCE[:1]), torch.tensor([4]))
    step = net.decoder.step(torch.zeros(1, 1, 6).double(), net.start(source, 1), source.memory, weights=True)
    words = net.embed(torch.tensor(SOURCE[:1]), "shared")
    torch.testing.assert_close(source.memory.values[0, 0, :, 8:], words[0])
    context, _ = net.decoder.context(net.start(source, 1).hidden[0][0], source.memory, None, False)
    torch.testing.assert_close(context[0, 0, 8:], step.weights[0, 0] @ words[0])


def test_scaled_embeddings_are_read_larger_and_written_as_they_are():
    net, same = model(), model(scale_embeddings=False)
    same.load_state_dict(net.state_dict())
    words = torch.tensor([4, 7, 0])
    torch.testing.assert_close(net.embed(words, "shared"), same.embed(words, "shared") * 6**0.5)
    assert torch.equal(net.output_words(), same.output_words())


def test_tied_tables_are_one():
    def size(tied):
        return sum(p.numel() for p in model(tied_embeddings=tied, embedding=8).parameters())

    assert size("none") - size("target") == WORDS * 8
    assert size("target") - size("all") == WORDS * 8


@pytest.mark.plain
def test_dot_attention_wants_states_of_one_size():
    with pytest.raises(UserError, match="decoder_hidden is 10, the encoder's states have 8 features"):
        model(attention="dot", decoder_hidden=10)
