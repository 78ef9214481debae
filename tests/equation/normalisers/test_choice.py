"""Hard, drawn and Gumbel-softmax weights: PyTorch's own argmax and gumbel_softmax, and the frequencies of draws."""

import math

import pytest
import torch
import torch.nn.functional as F

from regard.equation.normalisers import Gumbel, Hard, Sample, Softmax

INF = math.inf


@pytest.mark.parametrize("normaliser", [Hard(), Hard(straight_through=True), Sample(), Gumbel(0.5, True)], ids=repr)
def test_weights_are_exactly_one_hot(normaliser: Hard | Sample | Gumbel) -> None:
    weights = normaliser.weights(3 * torch.randn(100, 9))
    assert ((weights == 0) | (weights == 1)).all()
    assert (weights.sum(-1) == 1).all()


def test_hard_takes_the_highest_and_the_first_of_equal_ones() -> None:
    e = torch.randn(30, 8)
    assert torch.equal(Hard().weights(e), F.one_hot(e.argmax(-1), 8).float())
    tied = torch.tensor([[1.0, 3.0, 3.0, 3.0], [2.0, 2.0, 0.0, 2.0], [-INF, 0.0, -INF, 0.0]])
    assert Hard().weights(tied).argmax(-1).tolist() == [1, 0, 1]
    assert Hard().weights(torch.zeros(1, 5000)).argmax(-1).tolist() == [0]
    assert Hard().log_prob(tied)[0].tolist() == [-INF, 0.0, -INF, -INF]


def test_hard_gives_the_scores_no_gradient_and_straight_through_softmaxs() -> None:
    e, along = torch.randn(4, 6, requires_grad=True), torch.randn(4, 6)
    assert not Hard().weights(e).requires_grad
    of_hard, of_soft = (torch.autograd.grad(n.weights(e), e, along)[0] for n in (Hard(True), Softmax()))
    assert torch.equal(of_hard, of_soft)


@pytest.mark.parametrize("straight_through", [False, True])
@pytest.mark.parametrize("temperature", [0.1, 1.0, 3.0])
def test_gumbel_is_pytorchs_from_the_same_seed(temperature: float, straight_through: bool) -> None:
    e, along = torch.randn(7, 9, requires_grad=True), torch.randn(7, 9)
    torch.manual_seed(5)
    found = Gumbel(temperature, straight_through).weights(e)
    torch.manual_seed(5)
    expected = F.gumbel_softmax(e, temperature, hard=straight_through)
    torch.testing.assert_close(found, expected)
    torch.testing.assert_close(torch.autograd.grad(found, e, along), torch.autograd.grad(expected, e, along))


@pytest.mark.parametrize("normaliser", [Sample(), Gumbel(0.5, straight_through=True)], ids=repr)
def test_draws_come_as_often_as_softmax_says(normaliser: Sample | Gumbel) -> None:
    e, n = torch.tensor([0.0, 1.0, -INF, 2.0, -1.0]), 20_000
    shares = normaliser.weights(e.expand(n, 5)).mean(0)
    p = torch.softmax(e, -1)
    assert shares[2] == 0
    assert ((shares - p).abs() <= 5 * (p * (1 - p) / n).sqrt()).all()
    torch.testing.assert_close(normaliser.log_prob(e), torch.log_softmax(e, -1))


def test_a_low_temperature_tends_to_one_hot() -> None:
    e = torch.randn(200, 6)
    assert Gumbel(1e-3).weights(e).amax(-1).mean() > 0.99


def test_the_seed_is_pytorchs() -> None:
    draws = []
    for seed in (1, 1, 2):
        torch.manual_seed(seed)
        draws.append(Sample().weights(torch.zeros(20, 10)))
    assert torch.equal(draws[0], draws[1])
    assert not torch.equal(draws[0], draws[2])


@pytest.mark.plain
@pytest.mark.parametrize("temperature", [0.0, -1.0, INF, math.nan, "1"])
def test_a_temperature_is_above_zero(temperature: object) -> None:
    with pytest.raises(ValueError, match="temperature must be a number above 0"):
        Gumbel(temperature)  # type: ignore[arg-type]
