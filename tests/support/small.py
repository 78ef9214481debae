"""Small models in float64 whose every output can be written down, for the tests of this folder."""

import itertools

import torch

from regard.config import ModelConfig
from regard.data.batches import make_batch, pad
from regard.data.tokenizer import EOS, UNK
from regard.models.seq2seq import Seq2Seq
from regard.training.module import token_loss

SOURCE = [[4, 5, 6, 3, 4, 6], [6, 6], [5], [5, 5, 4, 6], [6, 4]]
LENGTHS = torch.tensor([len(row) for row in SOURCE])


def model(words=7, seed=0, sharp=4.0, **settings):
    torch.manual_seed(seed)
    sizes = {"embedding": 5, "encoder_hidden": 4, "decoder_hidden": 8, "dropout": 0.0}
    net = Seq2Seq(ModelConfig(**(sizes | settings)), words).double().eval()
    with torch.no_grad():
        for parameter in net.parameters():
            parameter *= sharp  # so that hypotheses differ, and some end early
        net.output_bias[EOS] = 1.0
    return net


def log_prob(net, source, hypothesis):
    """The model's own log-probability of an output, by teacher forcing."""
    target = [*hypothesis.tokens, EOS] if hypothesis.complete else hypothesis.tokens
    with torch.no_grad():
        return -float(token_loss(net, make_batch([source], [target])))


def every_output(words, steps):
    """Every output of at most `steps` words, its end included, and whether it has an end."""
    for n in range(steps):
        for output in itertools.product(range(UNK, words), repeat=n):
            yield list(output), True
    for output in itertools.product(range(UNK, words), repeat=steps):
        yield list(output), False


def batch(rows):
    return pad(rows), torch.tensor([len(row) for row in rows])


def grams(tokens, n):
    return [tuple(tokens[i : i + n]) for i in range(len(tokens) - n + 1)]
