"""REINFORCE: the mean of its gradient is the exact gradient, which enumeration of every draw gives."""

import itertools

import pytest
import torch

from regard.layers.hard import HardAttention
from regard.layers.reinforce import Reinforce, entropy, log_prob

STEPS, S, D, N = 2, 3, 2, 40_000
LENGTHS = torch.tensor([3])
REWARDS = torch.tensor([[1.0, -2.0, 0.5], [0.0, 3.0, 1.0], [-1.0, 2.0, 4.0]]).double()  # of (first, second) draw


@pytest.fixture
def asked():
    return torch.randn(1, STEPS, D).double(), torch.randn(1, S, D).double()


def exact_gradient(query, states, bonus):
    """The gradient of E[R] + bonus · H over the nine pairs of draws."""
    query = query.clone().requires_grad_()
    p = torch.softmax(query @ states.mT, -1)[0]
    expected = sum(p[0, s] * p[1, t] * REWARDS[s, t] for s, t in itertools.product(range(S), repeat=2))
    spread = -(p * p.log()).sum()
    return torch.autograd.grad(expected + bonus * spread, query)[0][0]


def drawn_gradients(query, states, reinforce):
    """−gradient of the loss for each of N draws, (N, steps, features)."""
    many = query.expand(N, STEPS, D).clone().requires_grad_()
    layer = HardAttention(learn="reinforce")
    found = layer.attended(many, states.expand(N, S, D))
    first, second = found.weights[:, 0].argmax(-1).unbind(1)
    loss = reinforce(REWARDS[first, second], log_prob(found)[:, 0].sum(1), entropy(found)[:, 0].sum(1))
    return -torch.autograd.grad(loss * N, many)[0]


@pytest.mark.parametrize("baseline", [0.0, 1.5])
@pytest.mark.parametrize("bonus", [0.0, 0.7])
def test_the_mean_gradient_meets_the_exact_one(asked, baseline, bonus):
    reinforce = Reinforce(entropy=bonus).double().eval()
    reinforce.baseline.fill_(baseline)
    drawn = drawn_gradients(*asked, reinforce)
    error = (drawn.mean(0) - exact_gradient(*asked, bonus)).abs()
    standard = drawn.std(0) / N**0.5
    assert (error <= 4 * standard).all()
    assert (standard < 0.05).all()  # else the line above would say little


def test_a_baseline_near_the_mean_reward_makes_the_gradient_vary_less(asked):
    far, near = Reinforce(entropy=0.0).double().eval(), Reinforce(entropy=0.0).double().eval()
    far.baseline.fill_(20.0)
    near.baseline.fill_(1.0)
    spread = [drawn_gradients(*asked, one).var(0).sum() for one in (far, near)]
    assert spread[1] < spread[0] / 10


def test_the_baseline_is_xus_moving_average_and_moves_in_training_only():
    reinforce, zeros = Reinforce(decay=0.9), torch.zeros(4)
    for rewards in (torch.tensor([1.0, 2.0, 3.0, 2.0]), torch.full((4,), 5.0)):
        reinforce(rewards, zeros, zeros)
    torch.testing.assert_close(reinforce.baseline, torch.tensor(0.9 * 0.1 * 2.0 + 0.1 * 5.0))
    reinforce.eval()(torch.full((4,), 100.0), zeros, zeros)
    torch.testing.assert_close(reinforce.baseline, torch.tensor(0.68))
    other = Reinforce()
    other.load_state_dict(reinforce.state_dict())
    assert other.baseline == reinforce.baseline


def test_the_loss_by_hand_uses_the_baseline_from_before():
    reinforce = Reinforce(decay=0.5, entropy=0.1)
    logs = torch.tensor([-1.0, -2.0], requires_grad=True)
    loss = reinforce(torch.tensor([3.0, 1.0], requires_grad=True), logs, torch.tensor([0.5, 1.5]))
    torch.testing.assert_close(loss, torch.tensor((3.0 * 1 + 1.0 * 2) / 2 - 0.1 * 1.0))
    torch.testing.assert_close(torch.autograd.grad(loss, logs)[0], torch.tensor([-1.5, -0.5]))
    assert reinforce.baseline == 1.0


def test_a_row_without_positions_draws_nothing_and_costs_nothing():
    query = torch.randn(2, STEPS, D, requires_grad=True)
    found = HardAttention(learn="reinforce").attended(query, torch.randn(2, S, D), torch.tensor([0, 3]))
    logs, spread = log_prob(found), entropy(found)
    assert (found.weights[0] == 0).all()
    assert (logs[0] == 0).all()
    assert (spread[0] == 0).all()
    assert (logs[1] < 0).all()
    gradient = torch.autograd.grad(logs.sum() + spread.sum(), query)[0]
    assert (gradient[0] == 0).all()
    assert gradient.isfinite().all()


def test_entropy_counts_only_what_may_be_drawn():
    found = HardAttention(learn="reinforce").attended(
        torch.zeros(3, 1, D), torch.randn(3, S, D), torch.tensor([3, 2, 1])
    )
    torch.testing.assert_close(entropy(found)[:, 0, 0], torch.tensor([3.0, 2.0, 1.0]).log())


def test_it_learns_to_point_from_rewards_alone():
    layer, reinforce = HardAttention(learn="reinforce"), Reinforce(entropy=0.01)
    query = torch.nn.Parameter(torch.zeros(1, 1, 4))
    optimiser = torch.optim.Adam([query], 0.05)
    for _ in range(200):
        found = layer.attended(query.expand(32, 1, 4), torch.eye(4).expand(32, 4, 4))
        reward = found.context[:, 0, 0, 2]  # the third state is the one to look at
        loss = reinforce(reward, log_prob(found)[:, 0, 0], entropy(found)[:, 0, 0])
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    assert torch.softmax(query[0, 0], -1)[2] > 0.9


@pytest.mark.plain
def test_what_does_not_fit_is_named():
    with pytest.raises(ValueError, match=r"one shape, got \(2,\), \(2, 3\) and \(2,\)"):
        Reinforce()(torch.zeros(2), torch.zeros(2, 3), torch.zeros(2))
    with pytest.raises(ValueError, match="decay: expected 0 or more and below 1, got 1"):
        Reinforce(decay=1.0)
