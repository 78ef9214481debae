"""A sink joins the softmax's denominator: against the definition, a softmax over one key more that has no value."""

import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from regard.attend import attend, attend_with_weights, explain
from regard.equation.masks import causal, dense, padding
from regard.equation.normalisers import Softmax
from regard.equation.scores import Dot
from regard.kernels.plan import kernel

H = 4


def random(*shape: int, dtype: torch.dtype = torch.float64) -> Tensor:
    return torch.randn(*shape, dtype=torch.float64).to(dtype).requires_grad_()


def drawn(Tq: int = 5, Tk: int = 7, dtype: torch.dtype = torch.float64) -> tuple[Tensor, ...]:
    return random(2, H, Tq, 8, dtype=dtype), random(2, 2, Tk, 8, dtype=dtype), random(2, 2, Tk, 3, dtype=dtype)


def by_one_more_key(q: Tensor, k: Tensor, v: Tensor, sink: Tensor, allowed: Tensor) -> tuple[Tensor, Tensor]:
    """The definition: the softmax over the keys and one more, whose logit is the sink and whose value is 0."""
    e = (q / math.sqrt(q.shape[-1])) @ k.repeat_interleave(2, 1).mT
    e = e.masked_fill(~allowed, -math.inf)
    beside = sink[:, None, None].expand(*e.shape[:3], 1)
    weights = torch.softmax(torch.cat([e, beside], -1), -1)[..., :-1]
    return weights @ v.repeat_interleave(2, 1), weights


@pytest.mark.parametrize(("Tq", "Tk"), [(5, 7), (1, 1), (7, 7), (97, 111)])
def test_it_is_a_key_more_that_has_no_value(Tq: int, Tk: int) -> None:
    q, k, v = drawn(Tq, Tk)
    sink = random(H)
    found = attend_with_weights(q, k, v, mask=causal(), normalise=Softmax(sink))
    context, weights = by_one_more_key(q, k, v, sink, causal().dense(2, H, Tq, Tk))
    torch.testing.assert_close(found.weights, weights, atol=1e-12, rtol=0)
    assert (found.weights.sum(-1) < 1).all()
    torch.testing.assert_close(found.log_prob.exp(), weights, atol=1e-12, rtol=0)
    torch.testing.assert_close(found.lse, found.scores.logsumexp(-1))
    seed = torch.randn_like(context)
    for a, b in zip(
        torch.autograd.grad(attend(q, k, v, mask=causal(), normalise=Softmax(sink)), (q, k, v, sink), seed),
        torch.autograd.grad(context, (q, k, v, sink), seed),
        strict=True,
    ):
        assert b.abs().max() > 0
        torch.testing.assert_close(a, b, atol=1e-11, rtol=0)


def test_gradients_are_those_of_finite_differences() -> None:
    q, k, v = random(2, H, 3, 4), random(2, 1, 4, 4), random(2, 1, 4, 2)

    def run(q: Tensor, k: Tensor, v: Tensor, sink: Tensor) -> tuple[Tensor, ...]:
        found = attend_with_weights(q, k, v, mask=padding([4, 0]), normalise=Softmax(sink), score=Dot(cap=2.0))
        return found.context, found.weights, found.log_prob[0]

    inputs = (q, k, v, random(H))
    assert torch.autograd.gradcheck(run, inputs)
    assert torch.autograd.gradgradcheck(lambda *x: run(*x)[0], inputs)


@pytest.mark.parametrize("logit", [-math.inf, -1e4, 0.0, 1e4, math.inf])
def test_an_empty_row_stays_empty_and_no_sink_makes_nan(logit: float) -> None:
    q, k, v = drawn()
    sink = torch.full((H,), logit, dtype=torch.float64, requires_grad=True)
    found = attend_with_weights(q, k, v, mask=padding([7, 0]), normalise=Softmax(sink))
    assert (found.weights[1] == 0).all()
    assert (found.context[1] == 0).all()
    assert (found.lse[1] == -math.inf).all()
    assert (found.log_prob[1] == -math.inf).all()
    of = torch.autograd.grad(found.context.sum() + found.weights.square().sum(), (q, k, v, sink))
    assert all(gradient.isfinite().all() for gradient in of)
    assert all((gradient[1] == 0).all() for gradient in of[:3])
    plain = attend_with_weights(q, k, v, mask=padding([7, 0]))
    if logit <= -1e4:
        torch.testing.assert_close(found.weights, plain.weights)
        torch.testing.assert_close(found.log_prob, plain.log_prob)
    if logit >= 1e4:
        assert (found.weights == 0).all()


def test_an_empty_row_gives_its_sink_no_gradient() -> None:
    q, k, v = drawn()
    sink = random(H)
    out = attend_with_weights(q, k, v, mask=padding([0, 0]), normalise=Softmax(sink))
    (of_sink,) = torch.autograd.grad(out.weights.sum() + out.context.sum(), sink)
    assert (of_sink == 0).all()


def test_no_keys_at_all() -> None:
    q, k, v = drawn(Tk=0)
    assert (attend(q, k, v, normalise=Softmax(random(H))) == 0).all()


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16], ids=str)
def test_it_errs_at_most_twice_as_much_as_the_definition(dtype: torch.dtype) -> None:
    squares = torch.zeros(2, 5, dtype=torch.float64)
    for _ in range(4):
        rounded = [*drawn(13, 31, dtype), random(H, dtype=dtype)]
        exact = [x.detach().double().requires_grad_() for x in rounded]
        allowed = causal().dense(2, H, 13, 31)
        truth_context = by_one_more_key(*exact, allowed)[0]
        seed = torch.randn_like(truth_context).to(dtype)
        truth = [truth_context, *torch.autograd.grad(truth_context, exact, seed.double())]
        ours = attend(*rounded[:3], mask=causal(), normalise=Softmax(rounded[3]))
        plain = by_one_more_key(*rounded, allowed)[0]
        for who, out in enumerate((ours, plain)):
            for i, (a, b) in enumerate(zip((out, *torch.autograd.grad(out, rounded, seed)), truth, strict=True)):
                assert a.dtype == dtype
                squares[who, i] += (a.double() - b).square().mean()
    assert (squares[0].sqrt() <= 2 * squares[1].sqrt() + torch.finfo(dtype).eps / 4).all()


def refused(run: Callable[[], object], says: str) -> None:
    with pytest.raises(ValueError, match=says):
        run()


@pytest.mark.plain
def test_kernels_without_it_say_so_and_plans_tell_it_apart() -> None:
    q, k, v = drawn()
    sink = Softmax(random(H))
    with kernel("sdpa"):
        refused(
            lambda: attend(q, k, v, normalise=sink), "by softmax only, not by softmax with a sink for each of 4 heads"
        )
        refused(lambda: attend(q, k, v, score=Dot(cap=3.0)), r"the score Dot\(cap=3\) is not a dot product")
    assert "softmax with a sink" in explain(q, k, v, normalise=sink)
    with torch.no_grad():
        silent = attend(q, k, v, normalise=sink)
    with_gradient = attend(q.detach(), k.detach(), v.detach(), normalise=sink)  # the same sizes, another plan
    assert with_gradient.requires_grad
    assert not torch.allclose(silent, attend(q, k, v))
    other = attend(q, k, v, normalise=Softmax(sink.sink + 1))  # another tensor, the same plan
    assert not torch.allclose(silent, other)


@pytest.mark.plain
def test_what_does_not_fit_is_named() -> None:
    q, k, v = drawn()
    refused(
        lambda: Softmax(torch.zeros(2, 2)), r"sink must be a floating-point tensor \(heads,\), got torch.float32 of"
    )
    refused(lambda: Softmax(torch.zeros(2).long()), "got torch.int64")
    refused(lambda: Softmax(0.5), r"\(heads,\), got 0.5")  # type: ignore[arg-type]
    refused(lambda: attend(q, k, v, normalise=Softmax(torch.zeros(3))), "a sink for each of 3 heads, q has 4")


@pytest.mark.plain
def test_compiled_equals_plain() -> None:
    torch._dynamo.reset()

    def run(q: Tensor, k: Tensor, v: Tensor, sink: Tensor, allowed: Tensor) -> Tensor:
        return attend(q, k, v, mask=dense(allowed), normalise=Softmax(sink), score=Dot(0.3, cap=4.0))

    inputs = (*drawn(), random(H), torch.ones(5, 7, dtype=torch.bool).tril())
    compiled = torch.compile(run, fullgraph=True, backend="aot_eager")
    torch.testing.assert_close(compiled(*inputs), run(*inputs))
