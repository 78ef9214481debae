"""The compiled loops beside the plain way: threads, caps, formats, tiles that a mask knows, and where none can run."""

import math
import os
import platform
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import torch
from observed import same
from torch import Tensor

from regard.attend import call
from regard.equation.biases import alibi
from regard.equation.masks import causal, dense, documents, padding, tokens, window
from regard.equation.normalisers import Softmax
from regard.equation.patterns import bigbird, strided
from regard.equation.scores import Dot
from regard.observe import fused, plain
from regard.observe.fused import limits, sweep, visible
from regard.observe.record import Observe
from regard.observe.statistics import observe, statistics

WAYS = pytest.mark.parametrize("way", [fused, plain], ids=["fused", "plain"])
STATISTICS = ("lse", "entropy", "mass", "distance", "columns", "rows")


def problems(T: int = 150) -> dict[str, Any]:
    """Calls that the loops take, each in its own way."""
    generator = torch.Generator().manual_seed(0)
    q, k = torch.randn(1, 4, T, 16, generator=generator), torch.randn(1, 2, T, 16, generator=generator)

    def asked(score: Any = None, mask: Any = None, bias: Any = None, normalise: Any = "softmax") -> Any:
        return call(q, k, k, score, mask, bias, normalise, None, 0.0, False)

    return {
        "causal": asked(mask=causal()),
        "a cap and a sink": asked(Dot(cap=3.0), normalise=Softmax(torch.randn(4, generator=generator))),
        "documents": asked(mask=documents(torch.arange(T) // 40)),
        "a bias": asked(mask=window(60, 0), bias=alibi(4)),
    }


def request_of(T: int = 150) -> Observe:
    return Observe(topk=8, entropy=True, mass=True, distance=True, map=20, columns=[3, T - 1], rows=[T - 1])


@WAYS
@pytest.mark.usefixtures("_always_fused")
@pytest.mark.parametrize("name", problems())
def test_thread_counts_agree_and_each_with_itself_to_the_bit(name: str, way: Any) -> None:
    asked, request, seen = problems(700)[name], request_of(700), []
    before = torch.get_num_threads()
    try:
        for threads in (1, 2, 2):
            torch.set_num_threads(threads)
            seen.append(way.statistics(asked, request))
    finally:
        torch.set_num_threads(before)
    one, two, again = seen
    for statistic in STATISTICS:
        same(getattr(two, statistic), getattr(one, statistic).double(), 2e-6)
        assert torch.equal(getattr(two, statistic), getattr(again, statistic))
    for pooled in ("mean", "largest"):
        same(getattr(two.map, pooled), getattr(one.map, pooled).double(), 2e-6)
        torch.testing.assert_close(getattr(two.map, pooled), getattr(again.map, pooled), rtol=0, atol=0, equal_nan=True)
    assert torch.equal(two.topk.positions, again.topk.positions)


@WAYS
@pytest.mark.usefixtures("_always_fused")
def test_several_threads_at_once_see_what_each_sees_alone(way: Any) -> None:
    asked, request = list(problems().values()), request_of()
    expected = [way.statistics(one, request) for one in asked]

    def looks(which: int) -> bool:
        found = [way.statistics(asked[which % 4], request) for _ in range(5)]
        for seen in found:
            for statistic in STATISTICS:
                assert torch.equal(getattr(seen, statistic), getattr(expected[which % 4], statistic)), statistic
            assert torch.equal(seen.topk.positions, expected[which % 4].topk.positions)
        return True

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(looks, range(8)))


@pytest.mark.usefixtures("_always_fused")
@pytest.mark.parametrize("cap", [2.0, 50.0])
@pytest.mark.parametrize("spread", [1e-3, 0.3, 1.0, 8.0])
def test_a_cap_errs_at_most_twice_as_much_as_the_plain_way(spread: float, cap: float) -> None:
    """Of one key, the log-sum-exp is the score itself; of many, everything that follows."""
    torch.manual_seed(0)
    for keys, features in ((1, 1), (111, 16)):
        q, k = torch.randn(2, 3, 997, features) * spread * cap, torch.randn(2, 3, keys, features)
        request, found = Observe(entropy=True, columns=[0]), []
        for way, dtype in ((plain, torch.float64), (plain, torch.float32), (fused, torch.float32)):
            x = q.to(dtype), k.to(dtype), k.to(dtype)
            found.append(way.statistics(call(*x, Dot(cap=cap), None, None, "softmax", None, 0.0, False), request))
        for name in ("lse", "entropy", "columns"):
            exact, plainly_found, fused_found = (getattr(seen, name).double() for seen in found)
            floor = torch.finfo(torch.float32).eps * rms(exact) / 4
            assert rms(fused_found - exact) <= 2 * rms(plainly_found - exact) + floor, (name, keys)


def rms(x: Tensor) -> float:
    return x.square().mean().sqrt().item()


@pytest.mark.usefixtures("_always_fused")
def test_a_cap_is_reached_and_what_is_no_number_stays_none() -> None:
    q = torch.tensor([math.inf, -math.inf, 1e30, -0.0, 1e-30, math.nan]).view(1, 1, 6, 1)
    asked = call(
        q, torch.ones(1, 1, 1, 1), torch.ones(1, 1, 1, 1), Dot(1.0, cap=5.0), None, None, "softmax", None, 0.0, False
    )
    lse = statistics(asked, Observe()).lse.flatten()
    assert lse[:4].tolist() == [5.0, -5.0, 5.0, 0.0]
    assert lse[4].item() == pytest.approx(1e-30)
    assert lse[5].isnan()


@pytest.mark.usefixtures("_always_fused")
@pytest.mark.parametrize("tile", [0, 1])
def test_what_is_seen_is_seen_also_where_it_is_no_number(tile: int) -> None:
    """Keys of two of the loops' tiles; the mask hides a tile's others, or none."""
    k = torch.randn(1, 1, 1000, 4)
    k[0, 0, 600 * tile] = math.nan
    request = Observe(entropy=True, mass=True, map=4)
    for mask in (None, dense(torch.arange(1000)[None].expand(3, -1) % 600 == 0)):
        seen = statistics(call(k[:, :, -3:], k, k, None, mask, None, "softmax", None, 0.0, False), request)
        assert seen.lse.isnan().all()
        assert seen.entropy.isnan().all()
        assert seen.mass[..., 600 * tile].isnan().all()


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16], ids=str)
@WAYS
@pytest.mark.usefixtures("_always_fused")
def test_half_formats_are_read_as_the_numbers_they_hold(dtype: torch.dtype, way: Any) -> None:
    torch.manual_seed(0)
    q, k, v = (torch.randn(1, 2, 50, 16).to(dtype) for _ in range(3))
    request = Observe(topk=4, entropy=True, mass=True, map=5)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        got = way.statistics(call(q, k, v, None, causal(), None, "softmax", None, 0.0, False), request)
    expected = observe(q.float(), k.float(), v.float(), request, mask=causal())
    for name in ("lse", "entropy", "mass"):
        assert getattr(got, name).dtype == torch.float32
        same(getattr(got, name), getattr(expected, name).double(), 1e-6)


MASKS = [
    documents(torch.arange(300) // 70),
    causal() & documents(torch.tensor([[0] * 300, [*range(300)]])),
    strided(64),
    bigbird(16) & padding([300, 0]),
    window(40, 0) | tokens([3, 200]),
    dense(torch.rand(2, 4, 300, 300, generator=torch.Generator().manual_seed(1)) < 0.01),
    ~dense(torch.ones(300, 300).tril(-100).bool()),
]


@pytest.mark.parametrize("mask", MASKS, ids=repr)
@pytest.mark.parametrize("bias", [None, alibi(4)], ids=["", "with a bias"])
def test_tiles_that_a_mask_knows_are_skipped_and_nothing_else(
    mask: Any, bias: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In several spans of queries and many tiles of keys, some known to be empty or full and others asked."""
    monkeypatch.setattr(limits, "FEW", 0)
    monkeypatch.setattr(sweep, "STRIP", 64 * 300)
    monkeypatch.setattr(visible, "WRITTEN", 64 * 300)
    monkeypatch.setattr(visible, "TILE", 16)
    q, k, v = (torch.randn(2, 4, 300, 8) for _ in range(3))
    asked = call(q, k, v, None, mask, bias, "softmax", None, 0.0, False)
    request = Observe(topk=3, entropy=True, mass=True, distance=True, map=20, columns=(5, 210))
    if missing := limits.missing():
        pytest.skip(missing)
    found, expected = fused.statistics(asked, request), plain.statistics(asked, request)
    for name in ("lse", "entropy", "mass", "distance", "columns"):
        torch.testing.assert_close(getattr(found, name), getattr(expected, name), atol=2e-5, rtol=2e-5)
    torch.testing.assert_close(found.topk.weights, expected.topk.weights, atol=2e-5, rtol=2e-5)
    for name in ("mean", "largest"):
        pair = (getattr(seen.map, name) for seen in (found, expected))
        torch.testing.assert_close(*pair, atol=2e-5, rtol=2e-5, equal_nan=True)


def without_numba(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "numba", None)
    for name in [name for name in sys.modules if name.startswith("regard.observe.fused_loops")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.delattr(sys.modules["regard.observe"], "fused_loops", raising=False)


def without_a_compiler(monkeypatch: pytest.MonkeyPatch) -> None:
    def loops() -> None:
        raise RuntimeError("no target for this processor")

    monkeypatch.setattr(sweep, "_loops", loops)


@pytest.mark.usefixtures("_always_fused")
@pytest.mark.parametrize("name", problems())
@pytest.mark.parametrize(
    ("spoil", "why"),
    [
        (without_numba, "numba is not installed: pip install 'regard[fast]'"),
        (without_a_compiler, "numba does not work here: RuntimeError: no target for this processor"),
    ],
)
def test_without_numba_blocks_of_queries_give_the_same_and_it_is_said(
    name: str, spoil: Callable[[pytest.MonkeyPatch], None], why: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked, request = problems()[name], request_of()
    there = statistics(asked, request)
    assert there.not_fused == ()
    limits.missing.cache_clear()
    try:
        spoil(monkeypatch)
        absent = statistics(asked, request)
    finally:
        limits.missing.cache_clear()
    assert absent.not_fused == (why,)
    for statistic in STATISTICS:
        same(getattr(absent, statistic), getattr(there, statistic).double(), 2e-5)
    assert (absent.topk.positions == there.topk.positions).all()
    for pooled in ("mean", "largest"):
        same(getattr(absent.map, pooled), getattr(there.map, pooled).double(), 2e-5)


OTHER_PROCESSOR = """
import torch
from regard.attend import call
from regard.equation.masks import causal
from regard.equation.scores import Dot
from regard.observe import fused, plain
from regard.observe.fused import limits
from regard.observe.record import Observe
assert limits.missing() is None
q, k = torch.randn(1, 4, 97, 16), torch.randn(1, 2, 111, 16)
request = Observe(topk=3, entropy=True, mass=True, distance=True, map=9, columns=[5])
for score in (Dot(), Dot(cap=2.0)):
    asked = call(q, k, k, score, causal(), None, "softmax", None, 0.0, False)
    found, expected = fused.statistics(asked, request), plain.statistics(asked, request)
    for name in ("lse", "entropy", "mass", "distance", "columns"):
        torch.testing.assert_close(getattr(found, name), getattr(expected, name), atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(found.map.mean, expected.map.mean, atol=1e-5, rtol=1e-5, equal_nan=True)
"""


@pytest.mark.slow
@pytest.mark.skipif(platform.machine() != "x86_64", reason="names a processor of that family")
@pytest.mark.usefixtures("_always_fused")
def test_a_processor_without_avx_512_computes_the_same() -> None:
    settings = {"NUMBA_CPU_NAME": "haswell", "NUMBA_CPU_FEATURES": "+avx,+avx2,+fma"}
    subprocess.run([sys.executable, "-c", OTHER_PROCESSOR], check=True, env={**os.environ, **settings})


@pytest.mark.parametrize(
    ("more", "why"),
    [
        ({"score": lambda q, k: q @ k.mT}, "they know dot products, not <lambda>(q, k)"),
        ({"normalise": "sparsemax"}, "they know the softmax, not sparsemax"),
        ({"after": torch.ones(1, 1, 600, 600)}, "a factor follows the normaliser"),
        ({"request": Observe(weights=True)}, "all weights are wanted"),
    ],
)
def test_what_the_loops_leave_is_said(more: dict[str, Any], why: str) -> None:
    q = torch.randn(1, 1, 600, 4)
    assert observe(q, q, q, **more).not_fused == (why,)
    assert observe(q.double(), q.double(), q.double()).not_fused == ("they compute in float32, not in float64",)
    assert observe(q[:, :, :5], q, q).not_fused == ("so few pairs",)
