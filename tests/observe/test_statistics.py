"""Statistics of the weights against their definitions, what may be asked, and what looking leaves as it was."""

import math

import pytest
import torch
from observed import CASES, Case, check, check_best, check_map, draw, fitting, plainly, same, truth

from regard.attend import attend_with_weights, call
from regard.equation.masks import causal, padding
from regard.equation.scores import Dot
from regard.observe import plain
from regard.observe.record import Observe
from regard.observe.statistics import observe, statistics


@pytest.mark.parametrize(("dtype", "large"), [(torch.float64, 1.0), (torch.float32, 1.0), (torch.float32, 10.0)])
@pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())
def test_the_plain_way_gives_what_the_definitions_say(case: Case, dtype: torch.dtype, large: float) -> None:
    x, exact = draw(case, dtype, large), draw(case, torch.float64, large)
    request = fitting(case, weights=True, gradient=True)
    t = truth(case, exact)
    tolerance = (
        1e-9 if dtype == torch.float64 and case.after(lambda *s: torch.rand(s)) is None else 1e-5 * max(large, 1)
    )
    got = plain.statistics(x.call(case.prepared), request, x.gradient)
    check(got, request, t, tolerance)
    same(got.weights, t.weights, tolerance)
    assert t.allowed.all() if got.allowed is None else (got.allowed == t.allowed).all()
    assert got.gradient is not None
    same(got.gradient.queries, t.products.sum(-1), 10 * tolerance)
    same(got.gradient.keys, t.products.sum(2), 10 * tolerance)
    check_best(got.gradient.topk, t.products, t.allowed, request.topk, 10 * tolerance)
    check_map(got.gradient.map, t.products, t.allowed, request.map, 10 * tolerance)


@pytest.mark.usefixtures("_always_fused")
@pytest.mark.parametrize("large", [1.0, 10.0])
@pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())
def test_the_loops_give_what_the_definitions_say_or_leave_it_to_the_plain_way(case: Case, large: float) -> None:
    x, exact = draw(case, torch.float32, large), draw(case, torch.float64, large)
    request, asked = fitting(case), x.call(case.prepared)
    seen = statistics(asked, request)
    assert (not seen.not_fused) == case.fused
    if case.fused:  # else the test above has it
        check(seen, request, truth(case, exact), 1e-5 * large)


@pytest.mark.usefixtures("_always_fused")
@pytest.mark.parametrize("threads", [1, 2])
def test_hidden_keys_may_hold_anything(threads: int) -> None:
    q, k, v = torch.randn(2, 2, 40, 8), torch.randn(2, 2, 40, 8), torch.randn(2, 2, 40, 8)
    request = Observe(topk=3, entropy=True, mass=True, distance=True, map=4, rows=[39], columns=[0, 39])
    mask = causal() & padding([40, 33], queries=[40, 33])
    clean = observe(q, k, v, request, mask=mask)
    for x in (q, k, v):
        x[1, :, 33:] = torch.tensor([math.nan, math.inf, -math.inf, 3e38]).repeat(2)
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        dirty = [statistics(call(q, k, v, None, mask, None, "softmax", None, 0.0, False), request)]
    finally:
        torch.set_num_threads(before)
    dirty.append(plain.statistics(call(q, k, v, None, mask, None, "softmax", None, 0.0, False), request))
    for got in dirty:
        for name in ("lse", "entropy", "mass", "distance", "rows", "columns"):
            same(getattr(got, name), getattr(clean, name).double(), 1e-6)
        same(got.map.mean, clean.map.mean.double(), 1e-6)
        assert (got.topk.positions == clean.topk.positions).all()


def test_huge_scores_and_gradients_asked_of_the_inputs_change_nothing() -> None:
    q = torch.tensor([1e4, -1e4, 0.0]).view(1, 1, 3, 1).requires_grad_()
    k = torch.tensor([1.0, -1.0, 0.5]).view(1, 1, 3, 1).requires_grad_()
    got = observe(q, k, k, Observe(entropy=True, mass=True, topk=1), score=Dot(1.0))
    same(got.lse, torch.tensor([[[1e4, 1e4, math.log(3)]]]).double())
    same(got.entropy, torch.tensor([[[0.0, 0.0, math.log(3)]]]).double())
    assert got.topk is not None
    assert got.topk.positions.flatten().tolist()[:2] == [0, 1]


@pytest.mark.parametrize("name", ["sample", "gumbel"])
def test_a_drawn_weight_is_the_one_attend_draws_next(name: str) -> None:
    q, k, v = (torch.randn(2, 2, 9, 4) for _ in range(3))
    torch.manual_seed(1)
    seen = observe(q, k, v, Observe(weights=True, mass=True), normalise=name)
    used = attend_with_weights(q, k, v, normalise=name).weights
    assert seen.weights is not None
    assert torch.equal(seen.weights, used)
    same(seen.mass, used.sum(2).double())


def test_gradient_times_attention_is_what_autograd_says() -> None:
    torch.manual_seed(0)
    q, k, v = torch.randn(1, 4, 6, 8).double(), torch.randn(1, 2, 9, 8).double(), torch.randn(1, 2, 9, 3).double()
    got = attend_with_weights(q.requires_grad_(), k, v, mask=causal())
    loss = (got.context**3).sum()
    of_context, of_weights = torch.autograd.grad(loss, (got.context, got.weights))
    seen = observe(q, k, v, Observe(gradient=True, topk=2), mask=causal(), context_gradient=of_context).gradient
    product = (got.weights * of_weights).detach()
    assert seen is not None
    same(seen.queries, product.sum(-1), 1e-12)
    same(seen.keys, product.sum(2), 1e-12)
    check_best(seen.topk, product, got.scores > -math.inf, 2, 1e-12)


def test_dropout_is_taken_and_of_no_effect_and_the_generator_stays() -> None:
    q = torch.randn(1, 1, 5, 4)
    state = torch.get_rng_state()
    seen = observe(q, q, q, Observe(weights=True), dropout=0.5)
    assert torch.equal(state, torch.get_rng_state())
    assert seen.weights is not None
    same(seen.weights.sum(-1), torch.ones(1, 1, 5).double())


def test_what_is_not_asked_for_is_not_there() -> None:
    q = torch.randn(1, 1, 5, 4)
    seen = observe(q, q, q)
    assert seen.lse.shape == (1, 1, 5)
    rest = ("topk", "entropy", "mass", "distance", "map", "rows", "columns", "weights", "allowed", "gradient")
    assert all(getattr(seen, name) is None for name in rest)


@pytest.mark.plain
@pytest.mark.parametrize(
    ("request_", "more", "message"),
    [
        (Observe(topk=-1), {}, "Observe: topk must be a whole number, 0 or more, got -1"),
        (Observe(map=2.5), {}, "Observe: map must be a whole number, 0 or more, got 2.5"),  # type: ignore[arg-type]
        (Observe(rows=[5]), {}, "Observe: rows must name some of the 5 queries, 0 to 4, got 5"),
        (Observe(columns=[-1]), {}, "Observe: columns must name some of the 5 keys, 0 to 4, got -1"),
        (Observe(gradient=True), {}, "go together, got only the request"),
        (Observe(), {"context_gradient": torch.zeros(1, 1, 5, 4)}, "go together, got only the gradient"),
        (
            Observe(gradient=True),
            {"context_gradient": torch.zeros(1, 5, 4)},
            r"context's shape \(1, 1, 5, 4\), got \(1, 5, 4\)",
        ),
    ],
)
def test_a_request_that_cannot_be_answered_says_so(request_: Observe, more: dict, message: str) -> None:
    q = torch.randn(1, 1, 5, 4)
    with pytest.raises(ValueError, match=message):
        observe(q, q, q, request_, **more)


def test_a_factor_below_zero_leaves_no_entropy_and_everything_else() -> None:
    q, k, v = draw(Case(), torch.float64).q, draw(Case(), torch.float64).k, draw(Case(), torch.float64).v
    factor = torch.ones(2, 4, 7, 7).double()
    factor[:, :, 3, 2] = -2.0
    got = observe(q, k, v, Observe(topk=1, entropy=True, mass=True, weights=True), after=factor)
    expected = torch.softmax(plainly(q, k), -1) * factor
    same(got.weights, expected, 1e-9)
    same(got.mass, expected.sum(2), 1e-9)
    same(got.topk.weights, expected.amax(-1, keepdim=True), 1e-9)
    assert got.entropy.isnan().nonzero()[:, 2].unique().tolist() == [3]
