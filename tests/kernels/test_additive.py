"""The fused additive kernel: as exact as the plain computation in float32, hidden keys, loops over time, no numba."""

import math
import os
import platform
import subprocess
import sys
import threading
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from regard.attend import attend, attend_with_weights, explain, plan
from regard.equation.biases import alibi
from regard.equation.masks import causal, dense, padding
from regard.equation.scores import Additive
from regard.equation.unrolled import unrolled
from regard.kernels import additive as fused
from regard.kernels.plan import kernel
from regard.layers import AdditiveAttention
from regard.machine import team

needs_numba = pytest.mark.skipif(fused._missing() is not None, reason=str(fused._missing()))


class Drawn:
    """Random tensors of one problem: A hidden features; float64 ones hold the same numbers."""

    def __init__(self, *sizes: int, A: int = 37, scale: float = 1.0, dtype: torch.dtype = torch.float32, seed: int = 0):
        B, H, Hk, Tq, Tk, D, Dv = sizes
        generator = torch.Generator().manual_seed(seed)

        def random(*shape: int) -> Tensor:
            x = torch.randn(*shape, generator=generator)
            return x.to(dtype).requires_grad_()

        self.q, self.k, self.v = random(B, H, Tq, D), random(B, Hk, Tk, D), random(B, Hk, Tk, Dv)
        self.parts = (random(A), random(A, D), random(A, D))
        with torch.no_grad():
            self.q *= scale
        self.seed = random(B, H, Tq, Dv).detach()

    @property
    def leaves(self) -> list[Tensor]:
        return [self.q, self.k, self.v, *self.parts]

    def run(self, name: str, **arguments: Any) -> list[Tensor]:
        with kernel(name):
            out = attend(self.q, self.k, self.v, score=Additive(*self.parts), **arguments)
        return [out, *torch.autograd.grad(out, self.leaves, self.seed.to(out.dtype))]


SIZES = {
    "training": (3, 1, 1, 5, 11, 16, 16),
    "one query": (4, 1, 1, 1, 30, 16, 9),
    "odd": (1, 2, 2, 97, 111, 16, 16),
    "grouped heads": (2, 6, 2, 5, 7, 8, 13),
    "ones": (1, 1, 1, 1, 1, 1, 1),
}
PARTS: dict[str, Callable[[tuple[int, ...]], dict[str, Any]]] = {
    "bare": lambda s: {},
    "padding, an empty row": lambda s: {"mask": padding([0] + [s[4]] * (s[0] - 1)) if s[0] > 1 else None},
    "causal and a bias": lambda s: {"mask": causal(), "bias": alibi(s[1])},
}


def rms(x: Tensor) -> float:
    return x.double().square().mean().sqrt().item()


@needs_numba
@pytest.mark.parametrize("A", [1, 37, 512])
@pytest.mark.parametrize("parts", PARTS.values(), ids=PARTS.keys())
@pytest.mark.parametrize("sizes", SIZES.values(), ids=SIZES.keys())
def test_it_errs_at_most_twice_as_much_as_the_plain_computation(sizes: tuple, parts: Callable, A: int) -> None:
    errors: dict[tuple[str, int], float] = {}
    for seed in range(4):
        x, exact = Drawn(*sizes, A=A, seed=seed), Drawn(*sizes, A=A, seed=seed)
        exact.q, exact.k, exact.v = (t.detach().double().requires_grad_() for t in (exact.q, exact.k, exact.v))
        exact.parts = tuple(t.detach().double().requires_grad_() for t in exact.parts)
        truth = exact.run("reference", **parts(sizes))
        for name in ("additive", "reference"):
            for i, (a, b) in enumerate(zip(x.run(name, **parts(sizes)), truth, strict=True)):
                errors[name, i] = errors.get((name, i), 0.0) + rms(a.double() - b) ** 2
    for i in range(len(truth)):
        floor = torch.finfo(torch.float32).eps * rms(truth[i]) / 4
        assert math.sqrt(errors["additive", i]) <= 2 * math.sqrt(errors["reference", i]) + floor, f"number {i}"


@needs_numba
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16], ids=str)
def test_half_formats_are_computed_in_float32(dtype: torch.dtype) -> None:
    x = Drawn(*SIZES["grouped heads"], dtype=dtype)
    for a, b in zip(x.run("additive"), x.run("reference"), strict=True):
        assert a.dtype == b.dtype == dtype
        torch.testing.assert_close(a.float(), b.float(), atol=0.02, rtol=0.02)
    with torch.autocast("cpu", dtype=torch.bfloat16), kernel("additive"):
        out = attend_with_weights(x.q.float(), x.k.float(), x.v.float(), score=Additive(*(p.float() for p in x.parts)))
    assert out.weights.dtype == out.scores.dtype == torch.float32


@needs_numba
@pytest.mark.parametrize("magnitude", [1e2, 1e4, 1e30])
def test_any_scores(magnitude: float) -> None:
    x = Drawn(*SIZES["odd"], scale=magnitude)
    with torch.no_grad():
        x.parts[0].mul_(min(magnitude, 1e4))  # scores of that size
    found, plain = x.run("additive"), x.run("reference")
    assert all(a.isfinite().all() for a in found)
    exact = attend(*(t.detach().double() for t in (x.q, x.k, x.v)), score=Additive(*(t.double() for t in x.parts)))
    assert rms(found[0] - exact) <= 2 * rms(plain[0] - exact) + 1e-6  # nearly tied keys make both err


@needs_numba
@pytest.mark.parametrize("bad", [math.nan, math.inf, 3e38, 7.0])
def test_what_no_query_may_see_changes_no_bit_and_gets_gradient_zero(bad: float) -> None:
    results = []
    for fill in (0.0, bad):
        x = Drawn(2, 2, 2, 3, 6, 8, 8)
        with torch.no_grad():
            x.k[1, :, 4:] = x.v[1, :, 4:] = fill
        results.append(x.run("additive", mask=padding([6, 4])))
    for clean, dirty in zip(*results, strict=True):
        assert torch.equal(clean, dirty)
    assert (results[1][2][1, :, 4:] == 0).all()
    assert (results[1][3][1, :, 4:] == 0).all()


@needs_numba
def test_a_query_that_may_attend_to_nothing_gets_zero_and_gives_gradient_zero() -> None:
    x = Drawn(2, 2, 2, 3, 3, 8, 8)
    out, of_q, *rest = x.run("additive", mask=dense(torch.tensor([True, False, True])[None, None, :, None]))
    assert (out[:, :, 1] == 0).all()
    assert (of_q[:, :, 1] == 0).all()
    assert all(gradient.isfinite().all() for gradient in rest)


@needs_numba
def test_what_is_seen_is_seen_also_where_it_is_no_number() -> None:
    x = Drawn(1, 1, 1, 2, 3, 4, 4)
    with torch.no_grad():
        x.k[0, 0, 1, 0] = math.nan
    assert x.run("additive")[0].isnan().all()


@needs_numba
def test_a_row_does_not_depend_on_its_batch_nor_on_the_number_of_threads() -> None:
    x = Drawn(5, 2, 1, 7, 9, 8, 8)
    whole = x.run("additive", mask=causal())
    for row in range(5):
        with kernel("additive"):
            alone = attend(x.q[row, None], x.k[row, None], x.v[row, None], score=Additive(*x.parts), mask=causal())
        torch.testing.assert_close(alone[0], whole[0][row])
    threads = torch.get_num_threads()
    try:
        torch.set_num_threads(2)
        for a, b in zip(x.run("additive", mask=causal()), whole, strict=True):
            torch.testing.assert_close(a, b)
    finally:
        torch.set_num_threads(threads)


@needs_numba
def test_several_threads_at_once() -> None:
    drawn = [Drawn(2, 1, 1, t, 2 * t, 8, 8, seed=t) for t in (3, 5, 7, 9)]
    expected = [x.run("additive") for x in drawn]
    failures: list[object] = []

    def work(which: int) -> None:
        try:
            for _ in range(20):
                for a, b in zip(drawn[which].run("additive"), expected[which], strict=True):
                    assert torch.equal(a, b)
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=work, args=(n % 4,)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures


@needs_numba
def test_a_gradient_has_a_gradient() -> None:
    x = Drawn(2, 1, 1, 3, 4, 5, 6)
    found = []
    for name in ("additive", "reference"):
        with kernel(name):
            out = attend(x.q, x.k, x.v, score=Additive(*x.parts))
        (of_q,) = torch.autograd.grad(out.square().sum(), x.q, create_graph=True)
        found.append(torch.autograd.grad(of_q.square().sum(), x.leaves))
    for a, b in zip(*found, strict=True):
        torch.testing.assert_close(a, b, atol=1e-4, rtol=1e-4)


SPREADS = [
    *((0.01, 0.01), (0.3, 0.3), (0.8, 0.8), (3.0, 0.6), (0.1, 3.0), (40.0, 1.5), (6.0, 6.0)),
    *((1.0, 4.5), (9.0, 4.5), (2.0, 30.0), (300.0, 300.0)),
]


@needs_numba
@pytest.mark.parametrize("middle", [0.0, 25.0])
@pytest.mark.parametrize("spread", SPREADS, ids=str)
def test_every_form_and_range_errs_at_most_twice_as_much_as_tanh(spread: tuple[float, float], middle: float) -> None:
    """Scores and their gradients alone, of hidden features as they are: near, far, off centre, and too wide."""
    errors: dict[tuple[str, int], float] = {}
    for seed in range(3):
        generator = torch.Generator().manual_seed(seed)
        q, k, v, de = (
            torch.randn(*shape, generator=generator)
            for shape in ((3, 1, 5, 512), (3, 1, 11, 512), (512,), (3, 1, 5, 11))
        )
        inputs = [q * spread[0] - middle, k * spread[1] + middle, v]
        results = {}
        for name, dtype in (("truth", torch.float64), ("plain", torch.float32), ("fused", torch.float32)):
            x = [t.to(dtype, copy=True).requires_grad_() for t in inputs]
            e = fused._Scores.apply(*x, fused._make(x[1], None), None) if name == "fused" else fused._plain_scores(*x)
            results[name] = [e, *torch.autograd.grad(e, x, de.to(dtype))]
        for name in ("plain", "fused"):
            for i, (a, b) in enumerate(zip(results[name], results["truth"], strict=True)):
                errors[name, i] = errors.get((name, i), 0.0) + rms(a.double() - b) ** 2
    for i, number in enumerate(("scores", "dq", "dk", "dv")):
        floor = torch.finfo(torch.float32).eps * rms(results["truth"][i]) / 4
        assert math.sqrt(errors["fused", i]) <= 2 * math.sqrt(errors["plain", i]) + floor, number


@needs_numba
@pytest.mark.parametrize("factor", [0.0, 1e-30, 1e30])
@pytest.mark.parametrize("spread", [0.5, 2.0])
def test_any_v_of_which_some_are_nothing_beside_others(factor: float, spread: float) -> None:
    """Features that share a reciprocal are divided by each other's v."""
    torch.manual_seed(0)
    q, k, v = (torch.randn(shape) for shape in ((2, 1, 5, 200), (2, 1, 70, 200), (200,)))
    v[::3] *= 1e-20
    v[5:40] = 0
    inputs = [q * spread, k * spread, v * factor]
    found = fused._Scores.apply(*inputs, fused._make(inputs[1], None), None)
    truth = fused._plain_scores(*(x.double() for x in inputs))
    assert rms(found - truth) <= 2 * rms(fused._plain_scores(*inputs) - truth)


@needs_numba
def test_blocks_of_features_in_different_forms_and_more_keys_than_a_chunk_of_them() -> None:
    torch.manual_seed(0)
    q, k, v, de = (torch.randn(shape) for shape in ((1, 2, 6, 256), (1, 1, 150, 256), (256,), (1, 2, 6, 150)))
    k *= torch.tensor([0.2, 2.0, 3.5, 100.0]).repeat_interleave(64)
    q *= torch.tensor([0.1, 1.0, 5.0])[:, None].repeat(2, 1)
    results = []
    for dtype in (torch.float64, torch.float32):
        x = [t.to(dtype, copy=True).requires_grad_() for t in (q, k, v)]
        e = fused._plain_scores(*x)
        results.append([e, *torch.autograd.grad(e, x, de.to(dtype))])
    e = fused._Scores.apply(*x, fused._make(x[1], None), None)
    truth, plain = results
    for a, b, c in zip([e, *torch.autograd.grad(e, x, de)], plain, truth, strict=True):
        assert rms(a - c) <= 2 * rms(b - c)


@needs_numba
def test_without_the_openmp_of_pytorch_threads_of_python_compute_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    x = Drawn(8, 1, 1, 40, 40, 8, 8, A=64)
    wanted = x.run("additive")
    monkeypatch.setattr(team, "_openmp", lambda: None)
    monkeypatch.setattr(torch, "get_num_threads", lambda: 3)
    for _ in range(3):
        for a, b in zip(x.run("additive"), wanted, strict=True):
            assert torch.equal(a, b)


@needs_numba
def test_what_is_made_of_prepared_keys_is_made_once_and_again_when_they_change() -> None:
    x = Drawn(4, 1, 1, 1, 30, 16, 16)
    score = Additive(*(p.detach() for p in x.parts))
    with kernel("additive"), torch.no_grad():
        keys = score.prepare(x.k, x.v, padding([30, 30, 7, 1]))
        first = attend(x.q, keys, keys.values)
        made = keys.made["additive"][1]
        assert torch.equal(attend(x.q, keys, keys.values), first)
        assert keys.made["additive"][1] is made
        torch.testing.assert_close(first, attend(x.q, x.k, x.v, score=score, mask=padding([30, 30, 7, 1])))
        keys.k.mul_(-1)
        changed = attend(x.q, keys, keys.values)
    with kernel("reference"), torch.no_grad():
        torch.testing.assert_close(changed, attend(x.q, keys, keys.values), atol=1e-5, rtol=1e-5)


OTHER_PROCESSOR = """
import torch
from regard.kernels import additive
from regard.machine import lanes
assert additive._missing() is None and not lanes.is_avx512()
x = [t.requires_grad_() for t in (torch.randn(2, 1, 5, 40), torch.randn(2, 1, 7, 40), torch.randn(40))]
e = additive._Scores.apply(*x, additive._make(x[1], None), None)
plain = additive._plain_scores(*x)
torch.testing.assert_close(e, plain, atol=1e-5, rtol=1e-5)
for a, b in zip(*(torch.autograd.grad(y.sin().sum(), x) for y in (e, plain))):
    torch.testing.assert_close(a, b, atol=1e-5, rtol=1e-5)
"""


@needs_numba
@pytest.mark.skipif(platform.machine() != "x86_64", reason="names a processor of that family")
def test_a_processor_without_avx_512_computes_the_same() -> None:
    settings = {"NUMBA_CPU_NAME": "haswell", "NUMBA_CPU_FEATURES": "+avx,+avx2,+fma"}
    subprocess.run([sys.executable, "-c", OTHER_PROCESSOR], check=True, env={**os.environ, **settings})


def in_a_loop(layer: AdditiveAttention, states: Tensor, queries: Tensor) -> Tensor:
    """As a decoder asks: the next query depends on the last context."""
    memory, fed, total = layer.prepare(states, torch.tensor([6, 2, 4])), torch.zeros(3, 1, 8), torch.zeros(())
    for query in queries.split(1, 1):
        fed = torch.tanh(layer(query + fed, memory))
        total = total + fed.square().sum()
    return total


@needs_numba
@pytest.mark.parametrize("times", [1, 2])
def test_in_an_unrolled_loop_gradients_are_the_sum_of_the_steps(times: int) -> None:
    layer = AdditiveAttention(8, 8, 8)
    states, queries = torch.randn(3, 6, 8, requires_grad=True), torch.randn(3, 5, 8, requires_grad=True)
    leaves = [states, queries, *layer.parameters()]
    with kernel("reference"):
        wanted = torch.autograd.grad(in_a_loop(layer, states, queries), leaves)
    for _ in range(times):
        with kernel("additive"), unrolled():
            total = in_a_loop(layer, states, queries)
        found = torch.autograd.grad(total, leaves, retain_graph=True)
    for a, b in zip(found, wanted, strict=True):
        torch.testing.assert_close(a, b, atol=1e-5, rtol=1e-5)
    for a, b in zip(torch.autograd.grad(total, leaves), wanted, strict=True):  # nothing was left from before
        torch.testing.assert_close(a, b, atol=1e-5, rtol=1e-5)


def big(dtype: torch.dtype = torch.float32, device: str = "cpu") -> tuple[Tensor, Additive]:
    q = torch.zeros(4, 1, 64, 32, dtype=dtype, device=device)
    return q, Additive(*(torch.zeros(*s, dtype=dtype, device=device) for s in ((32,), (32, 32), (32, 32))))


@needs_numba
def test_it_is_taken_where_there_is_much_to_do_and_says_why_elsewhere() -> None:
    q, score = big()
    assert plan(q, q, q, score=score).kernel == "additive"
    assert plan(q, q, q, score=score, weights=True).kernel == "additive"
    assert plan(q[:, :, :1], q[:, :, :1], q[:, :, :1], score=score).kernel == "reference"
    assert "not additive: so few pairs" in explain(q[:, :, :1], q[:, :, :1], q[:, :, :1], score=score)
    q, score = big(torch.float64)
    assert plan(q, q, q, score=score).reasons["additive"] == ["it computes in float32, not in float64"]

    class Own(Additive):
        def compare(self, q: Tensor, k: Tensor) -> Tensor:
            return 2 * super().compare(q, k)

    q, score = big()
    assert plan(q, q, q, score=Own(*score.tensors)).kernel == "reference"


@pytest.mark.plain
def test_without_numba_the_reference_computes_the_same_and_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    why = "numba is not installed: pip install 'regard[fast]'"
    monkeypatch.setattr(fused, "_missing", lambda: why)
    q, score = big()
    assert plan(q, q, q, score=score).kernel == "reference"
    assert plan(q, q, q, score=score).reasons["additive"] == [why]
    with kernel("additive"), pytest.raises(ValueError, match="numba is not installed"):
        plan(q, q, q, score=score)
