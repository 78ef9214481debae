"""What holds for every normaliser: rows that see nothing, hidden keys, extreme scores, formats, compilation."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from regard.attend import attend, attend_with_weights
from regard.equation.masks import dense, padding
from regard.equation.normalisers import (
    Entmax,
    Gumbel,
    Hard,
    Normaliser,
    Sample,
    Sigmoid,
    Softmax,
    Sparsemax,
    TopK,
    as_normaliser,
)

INF = math.inf
EVERY = [
    Softmax(),
    TopK(2),
    Sparsemax(),
    Entmax(1.5),
    Entmax(1.2),
    Entmax(3.0),
    Hard(),
    Hard(straight_through=True),
    Sample(),
    Gumbel(0.7),
    Gumbel(0.7, straight_through=True),
    Sigmoid(),
]
STEADY = [n for n in EVERY if "gumbel" not in n.name and n.name != "sample"]
WITH_GRADIENT = [n for n in EVERY if n.name not in ("hard", "sample")]
every = pytest.mark.parametrize("normaliser", EVERY, ids=repr)
with_gradient = pytest.mark.parametrize("normaliser", WITH_GRADIENT, ids=repr)


def gradient(out: Tensor, e: Tensor) -> Tensor:
    (of_e,) = torch.autograd.grad(out, e, torch.randn_like(out))
    return of_e


@every
def test_weights_are_positive_and_sum_to_one_except_sigmoids(normaliser: Normaliser) -> None:
    weights = normaliser.weights(3 * torch.randn(50, 7, dtype=torch.float64))
    assert (weights >= 0).all()
    if not isinstance(normaliser, Sigmoid):
        torch.testing.assert_close(weights.sum(-1), torch.ones(50, dtype=torch.float64), atol=1e-12, rtol=0)


@with_gradient
def test_an_empty_row_has_weights_zero_and_gradients_zero(normaliser: Normaliser) -> None:
    for function, empty in ((normaliser.weights, 0.0), (normaliser.log_prob, -INF)):
        e = torch.tensor([[1.0, 2.0, 3.0, -INF], [-INF] * 4], requires_grad=True)
        out = function(e)
        assert (out[1] == empty).all()
        assert out[0, 3] == empty
        of_e = gradient(out, e)
        assert (of_e[1] == 0).all()
        assert of_e[0, 3] == 0
        assert of_e.isfinite().all()


@every
def test_hidden_keys_are_as_if_they_were_not_there(normaliser: Normaliser) -> None:
    e = torch.randn(6, 9, dtype=torch.float64)
    keep = torch.tensor([0, 3, 4, 8])
    hidden = torch.full_like(e, -INF).index_copy(1, keep, e[:, keep])
    weights = normaliser.weights(hidden)
    assert (weights.sum(-1) > 0).all()
    assert (weights.index_fill(1, keep, 0) == 0).all()
    if normaliser in STEADY:
        torch.testing.assert_close(weights[:, keep], normaliser.weights(e[:, keep]), atol=1e-12, rtol=0)


@every
def test_scores_of_ten_thousand_overflow_nowhere(normaliser: Normaliser) -> None:
    e = torch.tensor([[1e4, -1e4, 0.0], [-1e4, -1e4, -2e4], [1e4, 1e4, 1e4]], requires_grad=True)
    weights = normaliser.weights(e)
    assert weights.isfinite().all()
    if not isinstance(normaliser, Sigmoid):
        torch.testing.assert_close(weights[0], torch.tensor([1.0, 0.0, 0.0]))
        torch.testing.assert_close(weights.sum(-1), torch.ones(3))
    if normaliser in WITH_GRADIENT:
        assert gradient(weights, e).isfinite().all()


@every
def test_one_key_no_key_and_no_row(normaliser: Normaliser) -> None:
    one = normaliser.weights(torch.tensor([[3.0], [-2.0]]))
    assert one.shape == (2, 1)
    if not isinstance(normaliser, Sigmoid):
        assert one.tolist() == [[1.0], [1.0]]
    for shape in ((2, 3, 0), (0, 4), (0, 0)):
        e = torch.zeros(shape, requires_grad=True)
        assert normaliser.weights(e).shape == normaliser.log_prob(e).shape == shape


@pytest.mark.parametrize("normaliser", [n for n in STEADY if n.name != "hard"], ids=repr)
def test_log_prob_is_the_logarithm_of_the_weights(normaliser: Normaliser) -> None:
    e = torch.randn(20, 6, dtype=torch.float64, requires_grad=True)
    weights, log_prob = normaliser.weights(e), normaliser.log_prob(e)
    torch.testing.assert_close(log_prob.exp(), weights, atol=1e-12, rtol=0)
    if isinstance(normaliser, Hard):
        return
    seen = weights > 0
    torch.testing.assert_close(
        torch.autograd.grad(log_prob[seen].sum(), e)[0], torch.autograd.grad(weights[seen].log().sum(), e)[0]
    )


@pytest.mark.parametrize("normaliser", [n for n in STEADY if not isinstance(n, Hard)], ids=repr)
def test_gradients_are_those_of_finite_differences(normaliser: Normaliser) -> None:
    e = torch.randn(4, 6, dtype=torch.float64)
    e[0, :3] = -INF  # hidden, which no difference may touch
    free = e[:, 3:].clone().requires_grad_()

    def weights(part: Tensor) -> Tensor:
        return normaliser.weights(torch.cat([e[:, :3], part], -1))

    assert torch.autograd.gradcheck(weights, free)
    assert torch.autograd.gradgradcheck(weights, free)


@every
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16], ids=str)
def test_half_formats_are_computed_in_float32(normaliser: Normaliser, dtype: torch.dtype) -> None:
    e = (3 * torch.randn(5, 8)).to(dtype)
    torch.manual_seed(1)
    weights = normaliser.weights(e)
    torch.manual_seed(1)
    assert weights.dtype == torch.float32
    assert torch.equal(weights, normaliser.weights(e.float()))
    assert normaliser.log_prob(e).dtype == torch.float32


# For alpha above 2 a weight's slope has no bound where it meets 0, and float32 has lost the digits before we begin.
@pytest.mark.parametrize("normaliser", [n for n in STEADY if not isinstance(n, Hard) and n != EVERY[5]], ids=repr)
def test_float32_is_accurate(normaliser: Normaliser) -> None:
    e = 2 * torch.randn(200, 97)
    exact = normaliser.weights(e.double())
    torch.testing.assert_close(normaliser.weights(e).double(), exact, atol=2e-6, rtol=0)


@given(st.integers(0, 10**6), st.sampled_from(STEADY), st.integers(1, 12))
def test_permuting_the_keys_permutes_the_weights(seed: int, normaliser: Normaliser, keys: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    e = 3 * torch.randn(2, keys, dtype=torch.float64, generator=generator)  # no ties
    order = torch.randperm(keys, generator=generator)
    torch.testing.assert_close(normaliser.weights(e[:, order]), normaliser.weights(e)[:, order], atol=1e-12, rtol=0)


@given(st.integers(0, 10**6), st.sampled_from([n for n in STEADY if not isinstance(n, Sigmoid)]))
def test_adding_a_constant_to_a_row_changes_nothing(seed: int, normaliser: Normaliser) -> None:
    e = torch.randn(3, 7, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))
    torch.testing.assert_close(normaliser.weights(e + 41.5), normaliser.weights(e), atol=1e-11, rtol=0)


@pytest.mark.parametrize("name", ["softmax", "sparsemax", "entmax", "hard", "sample", "gumbel", "sigmoid"])
def test_attend_takes_each_by_name_and_as_an_object(name: str) -> None:
    q, k, v = (torch.randn(2, 2, 5, 4, dtype=torch.float64, requires_grad=True) for _ in range(3))
    found = []
    for normalise in (name, as_normaliser(name)):
        torch.manual_seed(3)
        found.append(attend_with_weights(q, k, v, mask=padding([5, 0]), normalise=normalise))
        assert (found[-1].weights[1] == 0).all()
        assert (found[-1].log_prob[1] == -INF).all()
        assert (found[-1].lse[1] == -INF).all()
        torch.testing.assert_close(found[-1].weights @ v, found[-1].context)
        torch.testing.assert_close(found[-1].lse[0], found[-1].scores[0].logsumexp(-1))
    assert torch.equal(found[0].context, found[1].context)
    for of_x in torch.autograd.grad(found[0].context.sum(), (q, k, v), allow_unused=True, materialize_grads=True):
        assert (of_x[1] == 0).all()
        assert of_x.isfinite().all()


def test_two_parameters_of_one_kind_have_plans_of_their_own() -> None:
    q = torch.randn(1, 1, 4, 4, dtype=torch.float64)
    weak, strong = (attend(q, q, q, normalise=Entmax(alpha)) for alpha in (1.1, 3.0))
    assert not torch.allclose(weak, strong)
    torch.testing.assert_close(attend(q, q, q, normalise=Entmax(1.1)), weak)
    assert len({n.name for n in EVERY}) == len(EVERY)


@pytest.mark.plain
@pytest.mark.parametrize("normaliser", [n for n in STEADY if not isinstance(n, Softmax)], ids=repr)
def test_compiled_and_exported_equal_plain(normaliser: Normaliser) -> None:
    torch._dynamo.reset()

    def of_all(q: Tensor, k: Tensor, v: Tensor, allowed: Tensor) -> tuple[Tensor, Tensor]:
        found = attend_with_weights(q, k, v, mask=dense(allowed), normalise=normaliser)
        return found.context, found.weights

    x = [torch.randn(2, 2, 5, 4, requires_grad=True) for _ in range(3)]
    allowed = torch.rand(2, 1, 5, 5) > 0.3
    allowed[0, :, 2] = False
    plain = of_all(*x, allowed)
    compiled = torch.compile(of_all, fullgraph=True, backend="aot_eager")(*x, allowed)
    for a, b in zip(compiled, plain, strict=True):
        torch.testing.assert_close(a, b)
    for a, b in zip(*(torch.autograd.grad(out[0].square().sum(), x, allow_unused=True, materialize_grads=True)
                      for out in (compiled, plain)), strict=True):  # fmt: skip
        torch.testing.assert_close(a, b)

    class Layer(torch.nn.Module):
        def forward(self, *arguments: Tensor) -> tuple[Tensor, Tensor]:
            return of_all(*arguments)

    exported = torch.export.export(Layer(), (*x, allowed)).module()
    for a, b in zip(exported(*x, allowed), plain, strict=True):
        torch.testing.assert_close(a, b)
