import pytest
import torch
import torch.nn.functional as F

from regard.data.tokenizer import PAD
from regard.training.loss import word_loss


def example(tokens, dtype=torch.float64, scale=1.0):
    features, words = torch.randn(tokens, 8, dtype=dtype) * scale, torch.randn(50, 8, dtype=dtype)
    targets = torch.randint(PAD, 50, (tokens,))
    return features.requires_grad_(), words.requires_grad_(), torch.randn(50, dtype=dtype).requires_grad_(), targets


def plain(features, words, bias, targets, smoothing):
    scores = F.linear(features, words, bias)
    return F.cross_entropy(scores, targets, ignore_index=PAD, reduction="sum", label_smoothing=smoothing)


@pytest.mark.parametrize("tokens", [1, 63, 64, 65, 200])
@pytest.mark.parametrize("smoothing", [0.0, 0.1])
@pytest.mark.parametrize("scale", [1.0, 300.0])
def test_loss_and_gradients_are_torchs(tokens, smoothing, scale):
    *inputs, targets = example(tokens, scale=scale)
    found, wanted = word_loss(*inputs, targets, smoothing), plain(*inputs, targets, smoothing)
    torch.testing.assert_close(found, wanted, rtol=1e-10, atol=1e-10)
    gradients = zip(torch.autograd.grad(found * 0.5, inputs), torch.autograd.grad(wanted * 0.5, inputs), strict=True)
    for ours, torchs in gradients:
        torch.testing.assert_close(ours, torchs, rtol=1e-9, atol=1e-9)


def test_without_gradients_too_and_padding_counts_for_nothing():
    *inputs, targets = example(20)
    with torch.no_grad():
        torch.testing.assert_close(word_loss(*inputs, targets, 0.1), plain(*inputs, targets, 0.1))
    assert word_loss(*inputs, torch.full((20,), PAD), 0.1) == 0


def test_under_autocast_it_is_as_exact_as_torchs():
    *inputs, targets = example(200, torch.float32)
    truth = plain(*(x.double() for x in inputs), targets, 0.1)
    exact = torch.autograd.grad(truth, inputs)
    with torch.autocast("cpu", torch.bfloat16):
        ours, torchs = word_loss(*inputs, targets, 0.1), plain(*inputs, targets, 0.1)
    assert ours.dtype == torch.float32
    assert abs(ours - truth) <= 2 * abs(torchs - truth) + 1e-3 * truth
    for a, b, c in zip(torch.autograd.grad(ours, inputs), torch.autograd.grad(torchs, inputs), exact, strict=True):
        assert (a - c).norm() <= 2 * (b - c).norm()
