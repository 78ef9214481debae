"""Samples follow the model's distribution, cut and sharpened as asked."""

import numpy as np
import pytest
import torch
from small import LENGTHS, SOURCE, model

from regard.data.batches import pad
from regard.data.tokenizer import BOS, PAD
from regard.decoding.greedy import greedy
from regard.decoding.options import Decoding
from regard.decoding.sampling import draw, sample, uniforms

LOGITS = torch.tensor([2.0, -torch.inf, 0.0, 1.0, -1.0, 1.5], dtype=torch.float64)


def shares(draws=20_000, **options):
    """How often each word is drawn, over evenly spread numbers."""
    uniform = (torch.arange(draws, dtype=torch.float64) + 0.5) / draws
    words = draw(LOGITS.expand(draws, -1), uniform, Decoding(sample=True, **options))
    return torch.bincount(words, minlength=len(LOGITS)) / draws


@pytest.mark.parametrize("temperature", [0.3, 1.0, 4.0])
def test_words_come_as_often_as_the_softmax_says(temperature):
    expected = torch.softmax(LOGITS / temperature, -1)
    torch.testing.assert_close(shares(temperature=temperature).double(), expected, rtol=0, atol=2e-4)


def test_without_a_cut_words_stand_in_the_vocabularys_order_whatever_the_batch():
    logits, u = 3 * torch.randn(40, 6000), torch.rand(40, dtype=torch.float64)
    logits[:, ::7] = -torch.inf
    p = np.exp(logits.double().numpy())
    found = draw(logits, u, Decoding(sample=True))
    for row, total in enumerate(p.cumsum(-1)):
        assert int(found[row]) == np.searchsorted(total, float(u[row]) * total[-1], side="right")
        assert found[row] == draw(logits[row : row + 1], u[row : row + 1], Decoding(sample=True))


def test_top_k_and_top_p_cut_the_tail_and_nothing_else():
    p = torch.softmax(LOGITS, -1)  # .43 0 .06 .16 .02 .26 ...
    for options, kept in (
        ({"top_k": 1}, [0]),
        ({"top_k": 3}, [0, 3, 5]),
        ({"top_k": 99}, [0, 2, 3, 4, 5]),
        ({"top_p": 0.01}, [0]),
        ({"top_p": float(p[0]) - 1e-9}, [0]),
        ({"top_p": float(p[0]) + 1e-9}, [0, 5]),
        ({"top_p": 0.999999}, [0, 2, 3, 4, 5]),
        ({"top_k": 3, "top_p": float(p[0] / p[[0, 3, 5]].sum()) + 1e-9}, [0, 5]),  # of what top_k left
    ):
        expected = torch.zeros_like(p)
        expected[kept] = p[kept] / p[kept].sum()
        torch.testing.assert_close(shares(**options).double(), expected, rtol=0, atol=2e-4)


def test_the_ends_of_the_unit_interval_are_words_that_may_come():
    for u in (0.0, 1.0 - 2.0**-53):
        for options in ({}, {"top_k": 2}, {"top_p": 0.5}):
            (word,) = draw(LOGITS[None], torch.tensor([u], dtype=torch.float64), Decoding(sample=True, **options))
            assert torch.isfinite(LOGITS[word])


def test_whole_outputs_come_as_often_as_the_model_says():
    net = model(sharp=2.0)
    with torch.no_grad():
        net.output_bias[[PAD, BOS]] = -1e3  # what is never drawn has next to no probability, as in a trained model
    decoding = Decoding(sample=True, max_length=2)
    source, lengths = pad(SOURCE[:1]), LENGTHS[:1]
    (found,) = sample(net, source, lengths, decoding, copies=4000)
    seen: dict[tuple, list[float]] = {}
    for h in found:
        seen.setdefault((*h.tokens, h.complete), []).append(h.log_prob)
    for values in seen.values():
        p = float(torch.tensor(values[0]).exp())
        assert abs(len(values) / 4000 - p) < 5 * (p * (1 - p) / 4000) ** 0.5 + 1e-3


def test_a_sample_depends_on_seed_sentence_and_number_alone():
    assert torch.equal(uniforms(1, [4, 5], 0, 9), uniforms(1, [4, 5], 0, 30)[:9])
    different = [
        uniforms(1, [4, 5], 0, 9),
        uniforms(2, [4, 5], 0, 9),
        uniforms(1, [4, 5], 1, 9),
        uniforms(1, [45], 0, 9),
    ]
    assert len({tuple(one.tolist()) for one in different}) == 4


def test_near_temperature_0_a_sample_is_greedy():
    net = model()
    cold = sample(net, pad(SOURCE), LENGTHS, Decoding(sample=True, temperature=1e-4))
    assert [h.tokens for (h,) in cold] == [h.tokens for h in greedy(net, pad(SOURCE), LENGTHS)]
