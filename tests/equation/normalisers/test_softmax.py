"""The softmax against torch's where rows see something, and what it says where they see nothing."""

import math

import pytest
import torch

from regard.equation.normalisers import Softmax, as_normaliser, log_sum_exp

INF = math.inf


def test_rows_that_see_something_are_torchs_softmax() -> None:
    e = torch.randn(3, 5, dtype=torch.float64)
    e[0, 2] = e[1, :4] = -INF
    softmax = Softmax()
    torch.testing.assert_close(softmax.weights(e), torch.softmax(e, -1), atol=0, rtol=0)
    torch.testing.assert_close(softmax.log_prob(e), torch.log_softmax(e, -1), atol=1e-12, rtol=0)
    torch.testing.assert_close(log_sum_exp(e), torch.logsumexp(e, -1), atol=0, rtol=0)


def test_an_empty_row_has_weights_zero_log_sum_exp_minus_infinity_and_gradients_zero() -> None:
    softmax = Softmax()
    for function, empty in ((softmax.weights, 0.0), (softmax.log_prob, -INF), (log_sum_exp, -INF)):
        e = torch.tensor([[1.0, 2.0, 3.0], [-INF, -INF, -INF]], requires_grad=True)
        out = function(e)
        assert (out[1] == empty).all()
        out.backward(torch.full_like(out, 5.0))
        assert e.grad is not None
        assert (e.grad[1] == 0).all()
        assert e.grad[0].isfinite().all()


def test_no_keys_at_all() -> None:
    e = torch.zeros(2, 3, 0, requires_grad=True)
    assert Softmax().weights(e).shape == Softmax().log_prob(e).shape == (2, 3, 0)
    assert log_sum_exp(e).tolist() == [[-INF] * 3] * 2


@pytest.mark.plain
def test_unknown_names_are_refused() -> None:
    with pytest.raises(ValueError, match=r"expected one of entmax, .*softmax, sparsemax, got 'sofmax'"):
        as_normaliser("sofmax")
    with pytest.raises(ValueError, match="a name, or an object with name, weights and log_prob, got None"):
        as_normaliser(None)  # type: ignore[arg-type]
