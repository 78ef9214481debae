"""What a validation says: the loss is that of teacher forcing, per token, so that its exponential is a perplexity."""

import math

import pytest
import torch

from regard.config import ModelConfig
from regard.data.batches import Encoded, pad
from regard.data.pairs import Pairs
from regard.data.tokenizer import Tokenizer
from regard.decoding.forced import force
from regard.evaluation.scores import bleu
from regard.models.seq2seq import Seq2Seq
from regard.training.validation import translate_greedily, validate

PAIRS = Pairs(["ab cab", "b", "c a b a b c", "a a"], ["un deux un", "deux", "trois un deux", "un un un un un"])


@pytest.fixture
def model():
    torch.manual_seed(2)
    sizes = {"embedding": 6, "encoder_hidden": 4, "decoder_hidden": 8}
    return Seq2Seq(ModelConfig(**sizes, dropout=0.3), 40).double()


@pytest.mark.parametrize("batch_tokens", [1, 1_000])
def test_loss_is_minus_log_p_of_the_targets_per_token_with_their_ends(model, batch_tokens):
    tokenizer = Tokenizer.train([*PAIRS.source, *PAIRS.target], 40)
    data = Encoded.of(PAIRS, tokenizer, 100)
    found = validate(model.train(), tokenizer, data, PAIRS.target, batch_tokens)
    assert model.training
    model.eval()
    targets = [ids[:-1] for ids in data.target]  # without their end, which `force` adds
    lengths = torch.tensor([len(ids) for ids in data.source])
    forced = force(model, pad(data.source), lengths, targets)
    loss = -sum(one.log_prob for one in forced) / sum(len(ids) + 1 for ids in targets)
    assert found.loss == pytest.approx(loss, rel=1e-6)
    assert found.perplexity == pytest.approx(math.exp(loss), rel=1e-6)


def test_bleu_is_that_of_the_greedy_translations_with_its_signature(model):
    tokenizer = Tokenizer.train([*PAIRS.source, *PAIRS.target], 40)
    data = Encoded.of(PAIRS, tokenizer, 100)
    found = validate(model, tokenizer, data, PAIRS.target, 50)
    expected = bleu(translate_greedily(model.eval(), tokenizer, data.source), PAIRS.target)
    assert (found.bleu, found.signature) == (expected.value, expected.signature)
