"""Attention by 1.5-entmax, forward and backward: ours, in blocks, beside the package `entmax` on dense scores.

    python benchmarks/sparse_normalisers.py [--out FILE.json] [--table FILE.md] [--rounds N]

The case: T 2048, 1 row, 8 heads of 64, float32. The peer computes the scores as a matrix, the package's `entmax15` of
it (exact, by sorting, as it is by default), and the product with the values. Both run in this process, in turns;
reported are the median of the rounds with its quartiles, and the ratio of neighbours in time. Peak memory, beyond the
inputs, is of a process of its own for each. Growth: our time and peak memory for T from 1k to 8k, with the exponents of
T^p: every pair is computed, so time grows with T², and memory with T.

Bars: 2 times the package, and memory O(T): an exponent of at most 1.2, as small parts of it do not grow at all.
"""

import argparse
import json
import math
import os
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from regard import attend

HEADS, D, T = 8, 64, 2048
BAR, MAX_EXPONENT = 2.0, 1.2
LENGTHS = [1024, 2048, 4096, 8192]
OURS, PEER = "regard", "entmax on dense scores"
Call = Callable[[], object]


def inputs(steps: int) -> tuple[Tensor, ...]:
    """q, k, v (1, heads, steps, D)."""
    return tuple(torch.randn(1, HEADS, steps, D, requires_grad=True) for _ in range(3))


def context(who: str, x: tuple[Tensor, ...]) -> Tensor:
    """The context, ours or the peer's."""
    if who == OURS:
        return attend(*x, normalise="entmax")
    from entmax import entmax15

    q, k, v = x
    return entmax15(q @ k.mT / math.sqrt(D), -1) @ v


def both_ways(who: str, x: tuple[Tensor, ...]) -> Call:
    """Forward and backward."""
    along = torch.randn_like(x[0])
    return lambda: torch.autograd.grad(context(who, x), x, along)


def seconds(call: Call) -> float:
    """Seconds of one call."""
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def compare(rounds: int) -> list[dict[str, Any]]:
    """A row for each, forward and backward."""
    x = inputs(T)
    torch.testing.assert_close(context(OURS, x), context(PEER, x), atol=1e-5, rtol=1e-4)
    calls = {who: both_ways(who, x) for who in (OURS, PEER)}
    took: dict[str, list[float]] = {who: [] for who in calls}
    for call in calls.values():
        call()
    for number in range(rounds):
        for who in sorted(calls, reverse=bool(number % 2)):
            took[who].append(seconds(calls[who]))
    rows = []
    for who, times in took.items():
        low, middle, high = statistics.quantiles([b / a for a, b in zip(took[OURS], times, strict=True)], n=4)
        rows.append(
            {
                "who": who,
                "ms": statistics.median(times) * 1e3,
                "times_ours": middle,
                "times_ours_low": low,
                "times_ours_high": high,
                "bytes": peak_of(who, T),
            }
        )
        print(
            f"{who:24} {rows[-1]['ms']:9.1f} ms  {middle:5.2f} times ours [{low:.2f}, {high:.2f}]  "
            f"{rows[-1]['bytes'] / 2**20:8.1f} MiB"
        )
    return rows


def growth() -> list[dict[str, float]]:
    """Our seconds and peak bytes for each T."""
    rows = []
    for steps in LENGTHS:
        call = both_ways(OURS, inputs(steps))
        rows.append(
            {
                "T": steps,
                "seconds": min(seconds(call) for _ in range(min(2, 8192 // steps))),
                "bytes": peak_of(OURS, steps),
            }
        )
        print(f"T {steps:>6}: {rows[-1]['seconds'] * 1e3:9.1f} ms, {rows[-1]['bytes'] / 2**20:8.1f} MiB")
    return rows


def memory(field: str) -> int:
    """This process's VmRSS or VmHWM, bytes."""
    lines = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(field))


def peak_here(who: str, steps: int) -> int:
    """Bytes that a call takes at most beyond what was there; 0 where the system does not tell."""
    both_ways(who, inputs(256))()
    call = both_ways(who, inputs(steps))
    try:
        Path("/proc/self/clear_refs").write_text("5", encoding="utf-8")
        before = memory("VmRSS")
        call()
        return memory("VmHWM") - before
    except OSError:
        return 0


def peak_of(who: str, steps: int) -> int:
    """`peak_here` in a process of its own, whose allocator gives back what is freed."""
    command = [sys.executable, __file__, "--peak", who, str(steps)]
    settings = {**os.environ, "MALLOC_MMAP_THRESHOLD_": "65536"}
    return int(subprocess.run(command, env=settings, capture_output=True, text=True, check=True).stdout)


def exponent(rows: list[dict[str, float]], of: str) -> float:
    """p of the least-squares fit log y = p log T + c."""
    points = [(math.log(row["T"]), math.log(row[of])) for row in rows if row[of] > 0]
    if len(points) < 2:
        return math.nan
    return statistics.linear_regression(*zip(*points, strict=True)).slope


def markdown(result: dict[str, Any]) -> str:
    """The table that docs/results.md shows."""
    lines = ["| who | ms, forward and backward | times ours | peak MiB | bar |", "|---" * 5 + "|"]
    for r in result["rows"]:
        ratio = f"{r['times_ours']:.2f} ({r['times_ours_low']:.2f} to {r['times_ours_high']:.2f})"
        bar = "" if r["who"] == OURS else f"{BAR:g}: {'met' if r['times_ours'] >= BAR else '**not met**'}"
        lines.append(f"| {r['who']} | {r['ms']:,.0f} | {ratio} | {r['bytes'] / 2**20:,.0f} | {bar} |")
    lines += ["", "| T | ms, forward and backward | peak MiB |", "|---" * 3 + "|"]
    lines += [f"| {r['T']:,} | {r['seconds'] * 1e3:,.0f} | {r['bytes'] / 2**20:,.0f} |" for r in result["growth"]]
    met = result["exponent_memory"] <= MAX_EXPONENT
    lines += [
        "",
        f"Fitted exponent of time {result['exponent_time']:.2f}, of memory {result['exponent_memory']:.2f} "
        f"(bar {MAX_EXPONENT}: {'met' if met else '**not met**'}).",
    ]
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, help="write the figures here as JSON")
    parser.add_argument("--table", type=Path, help="write the tables in Markdown here")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--peak", nargs=2, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    torch.manual_seed(0)
    if arguments.peak:
        print(peak_here(arguments.peak[0], int(arguments.peak[1])))
        return
    result: dict[str, Any] = {"rows": compare(arguments.rounds), "growth": growth()}
    result["exponent_time"] = exponent(result["growth"], "seconds")
    result["exponent_memory"] = exponent(result["growth"], "bytes")
    print(f"exponents: time {result['exponent_time']:.2f}, memory {result['exponent_memory']:.2f} (bar {MAX_EXPONENT})")
    if arguments.table:
        arguments.table.write_text(markdown(result) + "\n", encoding="utf-8")
    if arguments.out:
        machine = {"torch": torch.__version__, "threads": torch.get_num_threads(), "python": platform.python_version()}
        arguments.out.write_text(json.dumps({"machine": machine, **result}, indent=2), encoding="utf-8")


if __name__ == "__main__":
    main()
