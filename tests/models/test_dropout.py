import pytest
import torch

from regard.models.dropout import Dropout


@pytest.mark.parametrize("p", [0.1, 0.3, 0.5, 0.9])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_it_drops_its_share_and_keeps_the_expectation(p, dtype):
    y = Dropout(p)(torch.ones(401, 503, dtype=dtype)).double()
    dropped = (y == 0).double()
    assert dropped.mean().item() == pytest.approx(round(256 * p) / 256, abs=4e-3)
    assert y.mean().item() == pytest.approx(1, rel=2e-2)
    assert y.unique().numel() == 2
    for axis in (0, 1):  # no row or column is favoured, nor the place within a 64-bit number
        assert dropped.mean(axis).std() < 3 * (p * (1 - p) / 401) ** 0.5
    for byte in range(8):
        assert dropped.flatten()[byte::8].mean().item() == pytest.approx(p, abs=1e-2)


def test_neighbours_are_independent():
    dropped = (Dropout(0.5)(torch.ones(100_000)) == 0).double()
    for distance in (1, 2, 4, 7, 8, 9):
        together = (dropped[:-distance] * dropped[distance:]).mean().item()
        assert together == pytest.approx(0.25, abs=6e-3)


def test_gradients_go_where_values_went():
    x = torch.randn(37, 3, dtype=torch.float64, requires_grad=True)
    y = Dropout(0.4)(x)
    (grad,) = torch.autograd.grad(y.sum(), x)
    torch.testing.assert_close(grad * x, y)


def test_a_seed_decides_it_and_evaluation_leaves_all():
    x, drop = torch.randn(5, 7), Dropout(0.5)
    torch.manual_seed(4)
    first = drop(x)
    torch.manual_seed(4)
    assert torch.equal(drop(x), first)
    assert drop.eval()(x) is x
    assert Dropout(0.0)(x) is x
    assert Dropout(0.5)(torch.zeros(0, 3)).shape == (0, 3)
