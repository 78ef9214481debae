"""Hard attention: always one position, the argmax; in training the gradients that `learn` promises."""

import pytest
import torch
import torch.nn.functional as F
from cases import Case, must_hold

from regard.layers.additive import AdditiveAttention
from regard.layers.dot import DotAttention
from regard.layers.hard import HardAttention
from regard.layers.local import LocalAttention

B, T, S, D = 3, 5, 7, 6
LENGTHS = torch.tensor([7, 3, 1])


def draw(batch, time):
    lengths = torch.randint(1, time + 1, (batch,)) if time else torch.zeros(batch).long()
    return torch.randn(batch, T, D), torch.randn(batch, time, D), lengths


def at_the_argmax(layer, query, states, lengths):
    if isinstance(layer.scored_by, AdditiveAttention):
        by = layer.scored_by
        e = torch.tanh(by.query(query)[:, :, None] + by.key(states)[:, None]) @ by.v
    else:
        e = query @ states.mT
    e = e.masked_fill(torch.arange(states.shape[1]) >= lengths[:, None, None], -torch.inf)
    return F.one_hot(e.argmax(-1), states.shape[1]).to(states.dtype) @ states


class Training(torch.nn.Module):
    """A layer that stays in training."""

    def __init__(self, layer):
        super().__init__()
        self.layer = layer

    def forward(self, *arguments):
        return self.layer.train()(*arguments)


def straight_through(layer, query, states, lengths):
    e = (query @ states.mT).masked_fill(torch.arange(states.shape[1]) >= lengths[:, None, None], -torch.inf)
    soft = torch.softmax(e, -1)
    hard = F.one_hot(e.argmax(-1), states.shape[1]).to(states.dtype)
    return (hard + soft - soft.detach()) @ states


NO_DIFFERENCES = {"has_the_gradients_of_finite_differences": "straight-through gradients are softmax's, by intent"}

test_what_must_hold = must_hold(
    {
        name: Case(make, draw, oracle, lengths=2, padded=(1,), without=without, draws=20)
        for name, make, oracle, without in (
            ("argmax", HardAttention, at_the_argmax, {}),
            ("argmax of additive scores", lambda: HardAttention(AdditiveAttention(D, D, 4)), at_the_argmax, {}),
            ("straight-through", lambda: Training(HardAttention()), straight_through, NO_DIFFERENCES),
        )
    }
)


@pytest.mark.parametrize("learn", ["straight-through", "gumbel", "reinforce"])
@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("by", [DotAttention(), AdditiveAttention(D, D, 4), LocalAttention(D, D, 2)])
def test_weights_are_one_hot_in_training_and_evaluation(learn, training, by):
    layer = HardAttention(by, learn=learn, temperature=0.7).train(training)
    query, states, _ = draw(B, S)
    weights = layer.weights(query, states, LENGTHS)
    assert ((weights == 0) | (weights == 1)).all()
    seen = (layer.scores(query, states, LENGTHS) > -torch.inf).any(-1)
    assert torch.equal(weights.sum(-1), seen.float())
    assert (weights.masked_select((torch.arange(S) >= LENGTHS[:, None])[:, None]) == 0).all()


def test_ties_go_to_the_first_position():
    states = torch.tensor([[[1.0], [2.0], [2.0], [2.0]]])
    assert HardAttention().eval().weights(torch.ones(1, 1, 1), states).tolist() == [[[0.0, 1.0, 0.0, 0.0]]]


def test_soft_attention_tends_to_it_as_its_scores_grow():
    query, states = torch.randn(B, T, D).double(), torch.randn(B, S, D).double()
    soft = DotAttention(scale=1e4)(query, states, LENGTHS)
    torch.testing.assert_close(soft, HardAttention().eval()(query, states, LENGTHS))


def test_gumbels_gradient_is_that_of_pytorchs_gumbel_softmax():
    layer = HardAttention(learn="gumbel", temperature=0.5)
    query, states = torch.randn(B, T, D, requires_grad=True), torch.randn(B, S, D)
    torch.manual_seed(4)
    (ours,) = torch.autograd.grad(layer(query, states).square().sum(), query)
    torch.manual_seed(4)
    weights = F.gumbel_softmax((query @ states.mT)[:, None], 0.5, hard=True)[:, 0]
    (theirs,) = torch.autograd.grad((weights @ states).square().sum(), query)
    torch.testing.assert_close(ours, theirs)


def test_with_reinforce_no_gradient_passes_the_draw_and_log_prob_has_one():
    layer = HardAttention(learn="reinforce")
    query, states = torch.randn(B, T, D, requires_grad=True), torch.randn(B, S, D)
    found = layer.attended(query, states, LENGTHS)
    assert not found.context.requires_grad
    assert found.log_prob.requires_grad
    torch.testing.assert_close(found.log_prob[0, 0], torch.log_softmax(query[0] @ states[0].T, -1))


@pytest.mark.parametrize("learn", ["straight-through", "gumbel"])
def test_it_learns_to_point(learn):
    """Which of the states carries the flag: the scores learn it only through the gradient past the choice."""
    layer = HardAttention(AdditiveAttention(2, 3, 8), learn=learn)
    optimiser = torch.optim.Adam(layer.parameters(), 0.05)
    for _ in range(150):
        flag = torch.randint(0, 5, (64,))
        states = torch.cat([F.one_hot(flag, 5)[..., None].float(), torch.randn(64, 5, 2)], -1)
        loss = (layer(torch.ones(64, 1, 2), states)[..., 0] - 1).square().mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    assert (layer.eval().weights(torch.ones(64, 1, 2), states)[:, 0].argmax(-1) == flag).float().mean() > 0.95


@pytest.mark.plain
def test_unknown_ways_to_learn_are_refused():
    with pytest.raises(ValueError, match="learn: expected one of straight-through, gumbel, reinforce, got 'st'"):
        HardAttention(learn="st")
    with pytest.raises(ValueError, match="temperature must be a number above 0"):
        HardAttention(learn="gumbel", temperature=0.0)
