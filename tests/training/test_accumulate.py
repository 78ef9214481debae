"""A step over several batches, or several processes, is the step that one batch of all their tokens would be."""

import types

import pytest
import torch
from small_run import pairs, settings

from regard.config import ModelConfig
from regard.data.batches import Encoded, Step, make_batch
from regard.data.tokenizer import Tokenizer
from regard.models.seq2seq import Seq2Seq
from regard.training import fit
from regard.training.module import Translation
from regard.training.together import Together


def module(**train):
    torch.manual_seed(5)
    config = settings(clip=1e9, **train).train
    model = Seq2Seq(ModelConfig(embedding=8, encoder_hidden=8, decoder_hidden=16, dropout=0.0), 60).double()
    made = Translation(model, config, 10, Together())
    optimizer = torch.optim.SGD(model.parameters(), lr=0.0)  # changes nothing: what is compared is the gradient
    made.optimizers = lambda: optimizer
    made.manual_backward = torch.Tensor.backward
    made._trainer = types.SimpleNamespace(global_step=0)
    return made


@pytest.mark.parametrize("attention", ["additive", "none"])
def test_the_loss_is_a_mean_over_the_tokens_of_all_batches(attention):
    data = pairs(23)
    tokenizer = Tokenizer.train([*data.source, *data.target], 60)
    encoded = Encoded.of(data, tokenizer, 100)
    rows = list(zip(encoded.source, encoded.target, strict=True))
    tokens = sum(map(len, encoded.target))
    parts = [rows[:1], rows[1:16], rows[16:]]  # of very different sizes: a mean of means would be off
    split = Step([make_batch(*zip(*part, strict=True)) for part in parts], tokens)
    whole = Step([make_batch(encoded.source, encoded.target)], tokens)
    losses, gradients = [], []
    for step in (whole, split):
        made = module()
        losses.append(made.training_step(step, 0)["loss"])
        gradients.append([p.grad for p in made.model.parameters()])
    torch.testing.assert_close(losses[0].double(), losses[1].double(), rtol=1e-6, atol=0)
    for one, other in zip(*gradients, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-9, atol=1e-12)


def test_a_run_that_accumulates_goes_over_the_data_as_often_as_asked(tmp_path):
    report = fit(
        settings(accumulate=3, steps=None, epochs=2, validate_every=4),
        tmp_path / "m",
        pairs(200),
        pairs(20, 1),
        quiet=True,
    )
    assert report.epochs == pytest.approx(2, abs=3 / 20)
    assert report.epochs >= 2
