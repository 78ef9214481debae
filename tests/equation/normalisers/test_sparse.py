"""Sparsemax and α-entmax against the package `entmax`, and against what defines them."""

import itertools
import math

import pytest
import torch
from entmax import entmax15, entmax_bisect, sparsemax
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from regard.equation.normalisers import Entmax, Softmax, Sparsemax

INF = math.inf
ORACLES = [
    (Sparsemax(), lambda e: sparsemax(e, -1)),
    (Entmax(2.0), lambda e: sparsemax(e, -1)),
    (Entmax(1.5), lambda e: entmax15(e, -1)),
    (Entmax(), lambda e: entmax15(e, -1)),
    *[(Entmax(alpha), lambda e, alpha=alpha: entmax_bisect(e, alpha, -1, 100)) for alpha in (1.01, 1.3, 1.7, 2.5, 4)],
]


@pytest.mark.parametrize(("normaliser", "oracle"), ORACLES, ids=lambda x: repr(x) if hasattr(x, "name") else "")
@pytest.mark.parametrize("keys", [1, 2, 7, 97, 1000])
@pytest.mark.parametrize("spread", [0.1, 1.0, 10.0])
def test_the_package_entmax_gives_the_same_weights_and_gradients(normaliser, oracle, keys, spread) -> None:
    e = (spread * torch.randn(5, keys, dtype=torch.float64)).requires_grad_()
    along = torch.randn(5, keys, dtype=torch.float64)
    found, expected = normaliser.weights(e), oracle(e)
    torch.testing.assert_close(found, expected, atol=1e-10, rtol=0)
    torch.testing.assert_close(
        torch.autograd.grad(found, e, along)[0], torch.autograd.grad(expected, e, along)[0], atol=1e-10, rtol=1e-10
    )


@pytest.mark.parametrize(("normaliser", "oracle"), ORACLES, ids=lambda x: repr(x) if hasattr(x, "name") else "")
@pytest.mark.parametrize("spread", [0.1, 1.0, 10.0])
def test_float32_errs_at_most_twice_as_much_as_the_package_entmax(normaliser, oracle, spread) -> None:
    e, along = spread * torch.randn(200, 97), torch.randn(200, 97)

    def with_gradient(weigh, dtype):
        x = e.to(dtype).requires_grad_()
        p = weigh(x)
        return p.detach().double(), torch.autograd.grad(p, x, along.to(dtype))[0].double()

    truth = with_gradient(oracle, torch.float64)
    ours, plain = with_gradient(normaliser.weights, torch.float32), with_gradient(oracle, torch.float32)
    for a, b, exact in zip(ours, plain, truth, strict=True):
        floor = torch.finfo(torch.float32).eps * exact.norm() / 4
        assert (a - exact).norm() <= 2 * (b - exact).norm() + floor


rows = st.lists(st.floats(-5, 5, allow_subnormal=False), min_size=1, max_size=12).map(
    lambda row: torch.tensor(row, dtype=torch.float64)
)


@given(rows, st.data())
def test_sparsemax_is_the_nearest_point_of_the_simplex(e: Tensor, data: st.DataObject) -> None:
    p = Sparsemax().weights(e)
    torch.testing.assert_close(p.sum(), torch.ones((), dtype=torch.float64))
    # Nearest on a convex set: every other point of it lies on the far side, (e - p) . (other - p) <= 0.
    other = torch.softmax(3 * torch.randn(e.shape, dtype=torch.float64), -1)
    corners = torch.eye(len(e), dtype=torch.float64)
    for point in (other, *corners):
        assert ((e - p) @ (point - p)) <= 1e-10


@given(rows, st.sampled_from([1.05, 1.5, 1.9, 2.0, 3.0]))
def test_entmax_meets_the_conditions_of_its_maximum(e: Tensor, alpha: float) -> None:
    p = Entmax(alpha).weights(e)
    torch.testing.assert_close(p.sum(), torch.ones((), dtype=torch.float64))
    # The slope of p . e + H_alpha(p), e_i - p_i ** (alpha - 1) / (alpha - 1), is one number where p > 0 and at most
    # that number where p = 0.
    slope = e - p ** (alpha - 1) / (alpha - 1)
    level = slope[p > 0]
    if alpha <= 2:  # above, slopes at tiny weights are too steep to compare numbers
        torch.testing.assert_close(level, level.mean().expand_as(level), atol=1e-6, rtol=0)
    assert (slope <= level.max() + 1e-6).all()


@given(rows)
def test_alpha_towards_one_is_softmax_and_two_is_sparsemax(e: Tensor) -> None:
    soft = torch.softmax(e, -1)
    errors = [(Entmax(1 + step).weights(e) - soft).abs().max().item() for step in (1e-2, 1e-4)]
    assert errors[1] <= 1e-3
    assert errors[1] <= errors[0] + 1e-9
    torch.testing.assert_close(Entmax(2.0).weights(e), Sparsemax().weights(e), atol=0, rtol=0)


def test_sparsemax_by_hand() -> None:
    e = torch.tensor([[1.0, 0.5, -1.0], [2.0, 0.0, 0.0], [0.0, 0.0, -INF]])
    expected = torch.tensor([[0.75, 0.25, 0.0], [1.0, 0.0, 0.0], [0.5, 0.5, 0.0]])
    torch.testing.assert_close(Sparsemax().weights(e), expected)


def test_ties_share_and_a_lone_winner_takes_all() -> None:
    for normaliser in (Sparsemax(), Entmax(1.5), Entmax(1.3), Entmax(3.0)):
        torch.testing.assert_close(normaliser.weights(torch.zeros(1, 8)), torch.full((1, 8), 0.125))
        assert normaliser.weights(torch.tensor([[9.0, 0.0, 0.0]])).tolist()[0][0] == (
            1.0 if normaliser.alpha >= 1.5 else pytest.approx(1.0, abs=1e-2)
        )


def test_the_larger_alpha_the_fewer_keys() -> None:
    e = torch.randn(50, 40, dtype=torch.float64)
    kept = [
        (normaliser.weights(e) > 0).double().sum(-1).mean().item()
        for normaliser in (Softmax(), Entmax(1.25), Entmax(1.5), Sparsemax(), Entmax(4.0))
    ]
    assert kept[0] == 40
    assert all(more > fewer for more, fewer in itertools.pairwise(kept))


def test_jacobian_by_vmap_is_the_formula() -> None:
    e = torch.randn(6, dtype=torch.float64)
    p = Sparsemax().weights(e)
    support = (p > 0).double()
    expected = torch.diag(support) - torch.outer(support, support) / support.sum()
    torch.testing.assert_close(torch.func.jacrev(Sparsemax().weights)(e), expected)


@pytest.mark.plain
@pytest.mark.parametrize("alpha", [1.0, 0.5, INF, "2"])
def test_alpha_must_be_above_one(alpha: object) -> None:
    with pytest.raises(ValueError, match="alpha must be a number above 1"):
        Entmax(alpha)  # type: ignore[arg-type]
