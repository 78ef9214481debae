"""Reading aids on models so small that what they must say can be worked out by other means."""

import math

import pytest
import torch
from torch import Tensor

from regard.equation.masks import causal, padding
from regard.observe.aids import ablation_curve, difference, norm_weighted, rollout, value_zeroing
from regard.observe.record import Observe
from regard.observe.statistics import observe


def test_rollout_is_the_jacobian_of_a_linear_network_with_residuals() -> None:
    torch.manual_seed(0)
    weights = [torch.rand(2, 3, 5, 5).double().softmax(-1) for _ in range(4)]

    def network(x: Tensor) -> Tensor:  # (positions,): half of a layer's input passes by, half through the mean head
        for layer in weights:
            x = 0.5 * x + 0.5 * (layer[0] @ x).mean(0)
        return x

    expected = torch.autograd.functional.jacobian(network, torch.zeros(5).double())
    got = rollout(weights)
    torch.testing.assert_close(got[0], expected)
    torch.testing.assert_close(got.sum(-1), torch.ones(2, 5).double())


def test_rollout_of_a_query_that_sees_nothing_is_itself() -> None:
    weights = torch.tensor([[0.0, 0.0], [0.5, 0.5]])[None, None]
    assert rollout([weights])[0, 0].tolist() == [1.0, 0.0]


def test_rollout_refuses_what_cannot_be_multiplied() -> None:
    with pytest.raises(ValueError, match="one layer or more, got none"):
        rollout([])
    with pytest.raises(ValueError, match=r"one size in every layer, got \[\(1, 1, 2, 2\), \(1, 1, 3, 3\)\]"):
        rollout([torch.ones(1, 1, 2, 2), torch.ones(1, 1, 3, 3)])


def test_norms_are_those_of_what_each_key_adds_to_the_output() -> None:
    torch.manual_seed(0)
    weights, values = torch.rand(2, 3, 4, 5).double(), torch.randn(2, 3, 5, 6).double()
    out = torch.nn.Linear(18, 7, bias=False).double()
    got = norm_weighted(weights, values, out.weight.detach())
    for h in range(3):
        for i in range(5):
            brought = torch.zeros(2, 4, 3, 6).double()
            brought[:, :, h] = weights[:, h, :, i, None] * values[:, h, None, i]
            torch.testing.assert_close(got[:, h, :, i], out(brought.flatten(2)).norm(dim=-1).detach())
    with pytest.raises(ValueError, match=r"\(features, 3 heads x 6\), got \(7, 12\)"):
        norm_weighted(weights, values, torch.ones(7, 12))


def test_value_zeroing_finds_the_turn_of_an_output_and_nothing_where_nothing_is_read() -> None:
    weights = torch.tensor([[1.0, 0.0, 0.0], [0.5, 0.5, 0.0], [0.0, 0.0, 1.0]]).double()
    values = torch.tensor([[1.0, 0.0], [0.0, 1.0], [0.0, 3.0]]).double()

    def output(without: int | None) -> Tensor:
        left = values.clone()
        if without is not None:
            left[without] = 0
        return (weights @ left + torch.tensor([1.0, 0.0]))[None]

    # 0: (2, 0), without its own (1, 0): no turn. 1: (1.5, 0.5). 2: (1, 3), without its own (1, 0).
    without = [math.cos(math.atan2(0.5, 1) - math.atan2(0.5, 1.5)), 1.5 / math.hypot(1.5, 0.5)]
    turns = [1 - cosine for cosine in without]
    got = value_zeroing(output, 3)[0]
    torch.testing.assert_close(got[0], torch.zeros(3).double())
    torch.testing.assert_close(got[1], torch.tensor([*turns, 0.0]).double() / sum(turns))
    torch.testing.assert_close(got[2], torch.tensor([0.0, 0.0, 1.0]).double())


def test_an_ablation_curve_of_a_sum_is_its_sorted_partial_sums() -> None:
    worth = torch.tensor([3.0, 1.0, 4.0, 1.0, 5.0])
    curve = ablation_curve(lambda kept: worth[kept].sum().item(), worth, steps=5, orders=200)
    assert curve.removed == [0, 1, 2, 3, 4, 5]
    assert curve.by_importance == [14, 9, 5, 2, 1, 0]
    for many, mean, low, high in zip(curve.removed, curve.at_random, curve.random_low, curve.random_high, strict=True):
        assert mean == pytest.approx(14 * (1 - many / 5), abs=0.6)
        assert curve.by_importance[many] <= low <= mean <= high
    again = ablation_curve(lambda kept: worth[kept].sum().item(), worth, steps=5, orders=200)
    assert again == curve


def test_a_difference_keeps_what_either_may_see_and_takes_gradients() -> None:
    torch.manual_seed(0)
    q, k = torch.randn(1, 2, 4, 4), torch.randn(1, 2, 4, 4)
    request = Observe(weights=True, gradient=True, topk=1, map=2)
    a = observe(q, k, k, request, mask=causal(), context_gradient=q)
    b = observe(q, k, k, request, mask=padding([2]), context_gradient=q)
    got = difference(a, b)
    later = torch.ones(4, 4, dtype=torch.bool).triu(1)
    later[:, :2] = False
    assert (got.allowed == ~later).all()
    torch.testing.assert_close(got.weights, b.weights - a.weights)
    torch.testing.assert_close(got.gradient.queries, b.gradient.queries - a.gradient.queries)
    torch.testing.assert_close(got.gradient.keys, b.gradient.keys - a.gradient.keys)
    assert got.gradient.topk is None
    assert got.gradient.map.mean.shape == (1, 2, 2, 2)


def test_a_difference_is_taken_number_by_number_of_what_both_have() -> None:
    torch.manual_seed(0)
    q, k = torch.randn(2, 2, 6, 4), torch.randn(2, 2, 6, 4)
    request = Observe(topk=2, entropy=True, mass=True, map=3)
    a, b = observe(q, k, k, request, mask=padding([0, 6])), observe(2 * q, k, k, request, mask=padding([0, 6]))
    got = difference(a, b)
    torch.testing.assert_close(got.entropy, b.entropy - a.entropy)
    torch.testing.assert_close(got.map.mean[1], (b.map.mean - a.map.mean)[1])
    assert (got.lse[0] == 0).all()  # nothing to see in either
    assert got.map.mean[0].isnan().all()
    assert got.topk is None
    assert got.distance is None
    assert difference(a, a).gradient is None
    with pytest.raises(ValueError, match="two observations of one size"):
        difference(a, observe(q[:, :, :3], k, k, mask=causal()))
