"""Additive attention: regard's kernel against the plain broadcast, `torch.compile` of it, and Keras.

    python benchmarks/additive.py [--out FILE.json] [--table FILE.md] [--rounds N]

All start from projected queries and keys (Keras' layer has no projections): v · tanh(q + k), softmax, context; float32,
in this process, in turns. The allocator is the system's as it comes, which hands large blocks back and fetches them
anew: most of what plain takes is the page faults of its tensor. At the end freed memory is kept, as regard's own
training and translating keep it, and plain is compared with again.

Reported: each one's median milliseconds, and the median of the rounds' ratios with its quartiles; extra memory as the
peak of resident memory during a call, above that before it, each in a process of its own; growth with T as a fitted
exponent; pairs' features per second beside the divisions per second that PyTorch does on numbers in registers' reach
(four features share one, so the share may pass 100 %); and how long the first call takes in a process that finds
nothing compiled, and in the next. Dot products of the same sizes show what an additive score costs.

The forward pass has a bound: what its scores compute, were nothing else to do. A pair of a query and a key takes 17
operations on sixteen numbers for 64 features (the far form of `additive_loops`: four sums 1 + e^{2q} e^{2k}, seven more
products and sums that bring four fractions to one, one that adds it; and a reciprocal, an estimate that takes the time
of three and two that refine it). The rate of such operations is measured on the spot, in all threads at once. A
decoding step's bound is to read its keys and values once, as fast as a sum of so many numbers reads. Run it alone.
"""

import argparse
import json
import math
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from regard.kernels import additive
from regard.machine.memory import keep_freed_memory

Step = Callable[[Tensor, Tensor, Tensor, Tensor], Tensor]
SIZES = {  # batch, queries, keys, features
    "training": (8, 64, 64, 512),
    "decoding": (64, 1, 30, 512),
    "long": (2, 1000, 1000, 128),
}
OPERATIONS = 17 / 4
"""On sixteen numbers, for sixteen features of a pair."""
BARS = [  # case, backward, peer, at least
    ("training", False, "plain", 100.0),
    ("training", True, "plain", 40.0),
    ("training", True, "compiled", 8.0),
    ("training", True, "keras", None),
    ("decoding", False, "plain", 15.0),
    ("decoding", False, "keras", None),
    ("training", True, "dot product", None),
]


def tensors(case: str, grad: bool) -> list[Tensor]:
    """q, k, v of the score, values."""
    B, Tq, Tk, H = SIZES[case]
    shapes = ((B, Tq, H), (B, Tk, H), (H,), (B, Tk, H))
    return [(torch.randn(shape) / (math.sqrt(H) if len(shape) == 1 else 1)).requires_grad_(grad) for shape in shapes]


def plain(q: Tensor, k: Tensor, v: Tensor, values: Tensor) -> Tensor:
    """The equation, broadcast."""
    return torch.softmax((q.unsqueeze(2) + k.unsqueeze(1)).tanh() @ v, -1) @ values


def dot_product(q: Tensor, k: Tensor, v: Tensor, values: Tensor) -> Tensor:
    """Another score, of the same sizes."""
    return F.scaled_dot_product_attention(q, k, values)


def ours(case: str) -> Step:
    """The kernel; a decoder's keys are prepared once."""
    prepared: list[Any] = []

    def step(q: Tensor, k: Tensor, v: Tensor, values: Tensor) -> Tensor:
        heads = k[:, None]
        made = prepared[0] if prepared else additive._make(heads, None)
        if case == "decoding" and not prepared:
            prepared.append(made)
        if not torch.is_grad_enabled():
            return additive._weights_and_context(q[:, None], v, values[:, None], made, None)[1].squeeze(1)
        return additive._Context.apply(q[:, None], heads, v, values[:, None], made, None, None).squeeze(1)

    return step


def keras() -> Step:
    """Keras' layer on the torch backend; its scale is v."""
    os.environ["KERAS_BACKEND"] = "torch"
    os.environ.setdefault("KERAS_HOME", tempfile.mkdtemp())
    import keras as library

    layer = library.layers.AdditiveAttention(use_scale=True)

    def step(q: Tensor, k: Tensor, v: Tensor, values: Tensor) -> Tensor:
        if not layer.built:
            layer.build([q.shape, values.shape, k.shape])
        return layer([q, values, k])

    return step


def call(step: Step, x: list[Tensor], backward: bool) -> Callable[[], object]:
    """The step, ready to be timed."""
    if not backward:

        def forward() -> Tensor:
            with torch.no_grad():
                return step(*x)

        return forward

    seed = torch.randn(x[0].shape[0], x[0].shape[1], x[3].shape[2])

    def both() -> object:
        return torch.autograd.grad(step(*x), x, seed, allow_unused=True)

    return both


def seconds(work: Callable[[], object], least: float = 0.02) -> float:
    """Seconds per call, over at least so many."""
    times, start = 0, time.perf_counter()
    while not times or time.perf_counter() - start < least:
        work()
        times += 1
    return (time.perf_counter() - start) / times


def compare(one: Callable[[], object], other: Callable[[], object], rounds: int) -> dict[str, float]:
    """Medians in milliseconds, and how many times as long the other takes, with quartiles."""
    one(), other()
    timed = []
    for number in range(rounds):
        if number % 2:
            mine = seconds(one)
            timed.append((mine, seconds(other)))
        else:
            theirs = seconds(other)
            timed.append((seconds(one), theirs))
    low, middle, high = statistics.quantiles([b / a for a, b in timed], n=4)
    return {
        "ours_ms": statistics.median(a for a, _ in timed) * 1e3,
        "theirs_ms": statistics.median(b for _, b in timed) * 1e3,
        "ratio": middle,
        "ratio_low": low,
        "ratio_high": high,
    }


def measured(
    case: str, backward: bool, peer: str, bar: float | None, known: dict[str, Step], rounds: int
) -> dict[str, Any]:
    """A row of the table: both give the same, and are timed."""
    x = tensors(case, backward)
    torch.testing.assert_close(ours(case)(*x), plain(*x), atol=1e-4, rtol=1e-4)
    found = compare(call(ours(case), x, backward), call(known[peer], x, backward), rounds)
    met = None if bar is None else found["ratio"] >= bar
    row = {"case": case, "backward": backward, "peer": peer, "bar": bar, **found, "met": met}
    print(row, flush=True)
    return row


def peers() -> dict[str, Step]:
    """Who is compared with; compiling takes half a minute."""
    return {"plain": plain, "compiled": torch.compile(plain), "keras": keras(), "dot product": dot_product}


def division_rate() -> float:
    """Divisions of float32 a second, all threads, as PyTorch does them on numbers that stay in the first caches."""
    x, out = torch.rand(16384) + 1, torch.empty(16384)
    alone = 16384 / min(seconds(lambda: torch.reciprocal(x, out=out)) for _ in range(5))
    return alone * torch.get_num_threads()


def operation_rate(times: int = 5_000_000) -> float:
    """Products with a sum of sixteen float32 a second, all threads at once, of numbers that stay in registers."""
    import numpy as np
    from numba import njit

    from regard.machine.lanes import LANES, same, total

    one, tenth = np.float32(1), np.float32(0.1)
    assert LANES == 16

    @njit(nogil=True)
    def chains(times: int, one: Any, tenth: Any) -> float:
        """Ten, of which none waits for another."""
        x, y = same(one), same(tenth)
        a = y + x
        b = a + x
        c = b + x
        d = c + x
        e = d + x
        f = e + x
        g = f + x
        h = g + x
        i = h + x
        j = i + x
        for _ in range(times):
            a, b, c, d, e = a * x + y, b * x + y, c * x + y, d * x + y, e * x + y
            f, g, h, i, j = f * x + y, g * x + y, h * x + y, i * x + y, j * x + y
        return total(a + b + c + d + e + f + g + h + i + j)

    chains(1, one, tenth)
    threads = torch.get_num_threads()
    with ThreadPoolExecutor(threads) as pool:

        def together() -> None:
            list(pool.map(lambda _: chains(times, one, tenth), range(threads)))

        return 10 * times * threads / min(seconds(together) for _ in range(5))


def reading_rate() -> float:
    """Bytes of float32 a second that a sum reads, all threads, of as many as a decoding step reads."""
    B, _, Tk, H = SIZES["decoding"]
    x = torch.randn(2 * B * Tk * H)  # keys and values
    return 4 * x.numel() / min(seconds(x.sum) for _ in range(5))


def bounds(rows: list[dict[str, Any]]) -> dict[str, float]:
    """What the machine allows at most, and the share of it that was reached."""
    forward, decoding = (
        next(row for row in rows if row["case"] == case and not row["backward"]) for case in ("training", "decoding")
    )
    features, operations = math.prod(SIZES["training"]), operation_rate()
    rate, bound_ms = features / forward["ours_ms"] * 1e3, features / 16 * OPERATIONS / operations * 1e3
    B, _, Tk, H = SIZES["decoding"]
    reading = reading_rate()
    decoding_ms = 8 * B * Tk * H / reading * 1e3
    return {
        "features_per_second": rate,
        "division_share": rate / division_rate(),
        "operations_per_second": operations,
        "bound_ms": bound_ms,
        "bound_share": bound_ms / forward["ours_ms"],
        "bound_ratio": forward["theirs_ms"] / bound_ms,
        "bytes_per_second": reading,
        "decoding_bound_ms": decoding_ms,
        "decoding_bound_share": decoding_ms / decoding["ours_ms"],
        "decoding_bound_ratio": decoding["theirs_ms"] / decoding_ms,
    }


def growth(rounds: int) -> tuple[float, list[tuple[int, float]]]:
    """The exponent fitted to milliseconds over T (as many queries as keys), and these."""
    found = []
    for T in (128, 256, 512, 1024):
        x = [torch.randn(shape).requires_grad_() for shape in ((1, T, 128), (1, T, 128), (128,), (1, T, 128))]
        work = call(ours("training"), x, True)
        work()
        found.append((T, min(seconds(work) for _ in range(max(2, rounds // 2))) * 1e3))
    logs = [(math.log(T), math.log(ms)) for T, ms in found]
    slope, _ = statistics.linear_regression(*zip(*logs, strict=True))
    return slope, found


def peak() -> int:
    """The most resident memory so far, in kB (Linux)."""
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM"))


def extra_memory(who: str) -> float:
    """MB above what was there before, at the peak of one call forward and backward of `long`."""
    torch.manual_seed(0)
    warm = [torch.randn(shape).requires_grad_() for shape in ((1, 4, 128), (1, 4, 128), (128,), (1, 4, 128))]
    step = plain if who == "plain" else ours("training")
    call(step, warm, True)()
    x = tensors("long", True)
    Path("/proc/self/clear_refs").write_text("5")  # the peak begins here
    before = peak()
    call(step, x, True)()
    return (peak() - before) / 1024


def in_its_own_process(*what: str, **environment: str) -> float:
    """The figure that this script prints when asked for one thing alone."""
    done = subprocess.run(
        [sys.executable, __file__, *what], check=True, capture_output=True, text=True, env=os.environ | environment
    )
    return float(done.stdout.split()[-1])


def first_call() -> float:
    """Seconds until the first context is there, beside what PyTorch and regard took to import."""
    x = tensors("decoding", False)
    start = time.perf_counter()
    if why := additive._missing():
        raise SystemExit(why)
    call(ours("decoding"), x, False)()
    return time.perf_counter() - start


def ready() -> dict[str, float]:
    """The first call's seconds on a fresh machine, and where the loops are kept from an earlier process."""
    with tempfile.TemporaryDirectory() as folder:
        return {which: in_its_own_process("--first-call", NUMBA_CACHE_DIR=folder) for which in ("fresh", "kept")}


def markdown(result: dict[str, Any]) -> str:
    """The table that docs/results.md shows."""
    lines = ["| case | pass | against | theirs ms | regard ms | ratio | bar |", "|---" * 7 + "|"]
    for row in result["rows"]:
        B, Tq, Tk, H = SIZES[row["case"]]
        bar = "" if row["bar"] is None else f"≥ {row['bar']:g} × {'met' if row['met'] else '**not met**'}"
        lines.append(
            f"| B {B}, {Tq} × {Tk}, H {H} | forward{' and backward' if row['backward'] else ''} "
            f"| {row['peer']}{', freed memory kept' if row.get('kept') else ''} "
            f"| {row['theirs_ms']:.3f} | {row['ours_ms']:.3f} "
            f"| {row['ratio']:.1f} ({row['ratio_low']:.1f} to {row['ratio_high']:.1f}) | {bar} |"
        )
    memory = result["memory_mb"]
    lines += [
        "",
        f"Extra memory, B 2, 1000 × 1000, H 128, forward and backward: {memory['regard']:.0f} MB against "
        f"{memory['plain']:.0f} MB ({result['memory_share']:.2%}; bar 1 %). "
        f"Forward: {result['features_per_second'] / 1e9:.1f} G features of pairs a second, "
        f"{result['division_share']:.0%} of PyTorch's rate of divisions. Its bound: {OPERATIONS} operations on 16 "
        f"features of a pair, at {result['operations_per_second'] / 1e9:.1f} G operations a second, are "
        f"{result['bound_ms']:.2f} ms, {result['bound_share']:.0%} of what it takes and {result['bound_ratio']:.0f} "
        f"times as fast as plain. A decoding step's bound: {result['bytes_per_second'] / 1e9:.0f} GB a second, "
        f"{result['decoding_bound_ms']:.2f} ms, {result['decoding_bound_share']:.0%} of what it takes and "
        f"{result['decoding_bound_ratio']:.0f} times as fast as plain. "
        f"Growth with T: exponent {result['exponent']:.2f}. First call: {result['ready_s']['fresh']:.1f} s on a fresh "
        f"machine (bar 3 s), {result['ready_s']['kept']:.1f} s in the next process.",
    ]
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, help="write the figures here as JSON")
    parser.add_argument("--table", type=Path, help="write the table in Markdown here")
    parser.add_argument("--rounds", type=int, default=12)
    parser.add_argument("--memory", choices=("plain", "regard"), help="measure this one's memory, and nothing else")
    parser.add_argument("--first-call", action="store_true", help="measure the first call, and nothing else")
    arguments = parser.parse_args()
    if arguments.first_call:
        print(first_call())
        return
    if arguments.memory:
        print(extra_memory(arguments.memory))
        return
    torch.manual_seed(0)
    if why := additive._missing():
        raise SystemExit(why)
    until_ready = ready()
    print(f"ready in {until_ready}")
    known = peers()
    rows = [measured(*each, known, arguments.rounds) for each in BARS]
    memory = {who: in_its_own_process("--memory", who) for who in ("plain", "regard")}
    exponent, times = growth(arguments.rounds)
    if keep_freed_memory():
        for case, backward, peer, _ in BARS:
            if peer == "plain":
                rows.append(measured(case, backward, peer, None, known, arguments.rounds) | {"kept": True})
    result = {
        "machine": {
            "torch": torch.__version__,
            "threads": torch.get_num_threads(),
            "python": platform.python_version(),
        },
        "ready_s": until_ready,
        "rows": rows,
        "memory_mb": memory,
        "memory_share": memory["regard"] / memory["plain"],
        "exponent": exponent,
        "growth_ms": times,
        **bounds(rows),
    }
    print(markdown(result))
    if arguments.table:
        arguments.table.write_text(markdown(result) + "\n", encoding="utf-8")
    if arguments.out:
        arguments.out.write_text(json.dumps(result, indent=2))


if __name__ == "__main__":
    main()
