import pytest
import torch
from torch import nn

from regard.equation.unrolled import unrolled
from regard.layers.stepwise import StepLinear


def loop(linear, steps, start):
    h, total = start, 0.0
    for x in steps:
        h = torch.tanh(linear(h) + x)
        total = total + (h**2).sum()
    return total


@pytest.mark.parametrize("bias", [True, False])
def test_one_weight_gradient_for_all_steps_is_the_sum_of_theirs(bias):
    linear = StepLinear(5, 5, bias=bias).double()
    steps, start = torch.randn(7, 3, 2, 5).double(), torch.randn(3, 2, 5).double().requires_grad_()
    wanted = torch.autograd.grad(loop(linear, steps, start), [*linear.parameters(), start])
    with unrolled():
        value = loop(linear, steps, start)
    found = torch.autograd.grad(value, [*linear.parameters(), start])
    for a, b in zip(found, wanted, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-12, atol=1e-12)


def test_steps_that_the_loss_does_not_need_count_for_nothing():
    linear = StepLinear(3, 3).double()
    with unrolled():
        first, _ = linear(torch.ones(1, 3).double()), linear(torch.randn(1, 3).double())
    (grad,) = torch.autograd.grad(first.sum(), [linear.weight])
    torch.testing.assert_close(grad, torch.ones(3, 3).double())


def test_outside_and_without_gradients_it_is_a_linear_map():
    linear = StepLinear(4, 3)
    same = nn.Linear(4, 3)
    same.load_state_dict(linear.state_dict())
    x = torch.randn(2, 4)
    assert torch.equal(linear(x), same(x))
    with unrolled(), torch.no_grad():
        assert torch.equal(linear(x), same(x))


def test_nested_unrolling_and_two_backward_passes():
    linear = StepLinear(2, 2).double()
    x = torch.randn(1, 2).double()
    for _ in range(2):
        linear.zero_grad()
        with unrolled():
            y = linear(x)
            with unrolled():
                z = linear(y)
            total = (linear(z)).sum()
        total.backward()
        found = linear.weight.grad.clone()
        linear.zero_grad()
        linear(linear(linear(x))).sum().backward()
        torch.testing.assert_close(found, linear.weight.grad)


def test_under_autocast_the_weight_is_cast_once_and_its_gradient_is_float32():
    linear = StepLinear(16, 16)
    with torch.autocast("cpu", torch.bfloat16), unrolled():
        value = loop(linear, torch.randn(3, 4, 16), torch.randn(4, 16))
    value.backward()
    assert linear.weight.grad.dtype == torch.float32
    assert torch.isfinite(linear.weight.grad).all()
