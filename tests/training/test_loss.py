import pytest
import torch
import torch.nn.functional as F

from regard.data.tokenizer import PAD
from regard.training import loss
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


def halves(tokens=97, words=3001, scale=3.0):
    """Scores in bfloat16, a bias, and targets of which some are padding; odd sizes."""
    targets = torch.randint(PAD + 1, words, (tokens,))
    targets[::7] = PAD
    return (torch.randn(tokens, words) * scale).bfloat16(), torch.randn(words), targets


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
@pytest.mark.parametrize("scale", [1.0, 300.0])
def test_the_compiled_loops_are_as_exact_as_the_rows(smoothing, scale):
    pytest.importorskip("numba")
    scores, bias, targets = halves(scale=scale)
    exact = scores.double()
    wanted = loss._by_rows(exact, bias.double(), targets, smoothing)
    ours, rows = scores.clone(), scores.clone()
    found, plain = loss._by_loops(ours, bias, targets, smoothing), loss._by_rows(rows, bias, targets, smoothing)
    for a, b, c in zip((*found, ours), (*plain, rows), (*wanted, exact), strict=True):
        assert (a - c).norm() <= 2 * (b - c).norm() + 1e-6 * c.norm()
    assert not ours[targets == PAD].any()


def test_the_loops_sums_do_not_hang_on_the_threads():
    pytest.importorskip("numba")
    found, before = [], torch.get_num_threads()
    for threads in (1, 2):
        torch.set_num_threads(threads)
        torch.manual_seed(1)
        found.append(loss._by_loops(*halves(), 0.1))
    torch.set_num_threads(before)
    assert all(torch.equal(a, b) for a, b in zip(*found, strict=True))


def test_the_loops_pass_on_what_is_not_a_number():
    pytest.importorskip("numba")
    scores, bias, targets = halves(3)
    scores[1, 5] = float("nan")
    total, d_bias = loss._by_loops(scores, bias, targets, 0.1)
    assert total.isnan()
    assert d_bias.isnan().all()


def test_training_in_half_precision_takes_the_loops(monkeypatch):
    pytest.importorskip("numba")
    taken, by_loops = [], loss._by_loops
    monkeypatch.setattr(loss, "_by_loops", lambda *given: taken.append(len(given)) or by_loops(*given))
    features, words, bias = (
        torch.randn(90, 8).requires_grad_(),
        torch.randn(3001, 8).requires_grad_(),
        torch.zeros(3001),
    )
    targets = torch.randint(1, 3001, (90,))
    with torch.autocast("cpu", torch.bfloat16):
        word_loss(features, words, bias, targets, 0.1).backward()
    assert taken == [4]
    assert word_loss(features, words, bias, targets, 0.1) > 0
    assert taken == [4]
