"""The doubly stochastic penalty, by hand."""

import torch

from regard.attend import attend_with_weights
from regard.equation.masks import padding
from regard.equation.normalisers import Softmax
from regard.equation.reference import Attended
from regard.layers.penalties import doubly_stochastic


def found(weights, scores=None):
    weights = torch.tensor(weights)[None, None]
    scores = torch.where(weights > 0, weights, -torch.inf) if scores is None else torch.tensor(scores)[None, None]
    return Attended(weights, weights, scores, Softmax())


def test_by_hand():
    one = found([[0.5, 0.5, 0.0], [0.25, 0.5, 0.25]], [[0.0] * 3] * 2)
    # Sums over the steps: 0.75, 1, 0.25; squares of what is missing: 0.0625, 0, 0.5625.
    torch.testing.assert_close(doubly_stochastic(one), torch.tensor([[0.625]]))
    torch.testing.assert_close(doubly_stochastic(one, strength=2.0), torch.tensor([[1.25]]))


def test_a_permutation_costs_nothing():
    assert doubly_stochastic(found([[0.0, 1.0], [1.0, 0.0]], [[0.0] * 2] * 2)).item() == 0


def test_positions_that_no_step_may_see_cost_nothing():
    hidden = found([[0.5, 0.5, 0.0], [0.25, 0.75, 0.0]])
    torch.testing.assert_close(doubly_stochastic(hidden), torch.tensor([[0.25**2 + 0.25**2]]))


def test_padded_steps_do_not_count():
    torch.manual_seed(0)
    q, k = torch.randn(2, 1, 4, 3), torch.randn(2, 1, 5, 3)
    both = attend_with_weights(q, k, k, mask=padding([5, 3]))
    penalty = doubly_stochastic(both, torch.tensor([4, 2]))
    alone = attend_with_weights(q[1:, :, :2], k[1:, :, :3], k[1:, :, :3])
    torch.testing.assert_close(penalty[1], doubly_stochastic(alone)[0])
    torch.testing.assert_close(penalty[0], doubly_stochastic(both)[0])


def test_its_gradient_reaches_the_scores_and_lowers_it():
    q, k = torch.randn(1, 1, 4, 3).double(), torch.randn(1, 1, 4, 3).double()
    assert torch.autograd.gradcheck(
        lambda q, k: doubly_stochastic(attend_with_weights(q, k, k)), (q.requires_grad_(), k.requires_grad_())
    )


def test_an_empty_row_costs_nothing_and_gives_no_gradient():
    q = torch.randn(2, 1, 4, 3, requires_grad=True)
    penalty = doubly_stochastic(attend_with_weights(q, q, q, mask=padding([0, 4])))
    assert penalty[0].item() == 0
    assert (torch.autograd.grad(penalty.sum(), q)[0][0] == 0).all()
