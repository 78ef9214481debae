"""A window, forward and backward: ours, local-attention, SDPA with a dense mask; and growth with T.

    python benchmarks/window.py [--out FILE.json] [--table FILE.md] [--rounds N] [--flex]

The case: T 8192, 1 row, 4 heads of 64, float32; a query sees 128 keys before it and 128 behind. The peers run in this
process, in turns; reported are the median of the rounds with its quartiles, and ratios of neighbours in time. The
useful FLOPs are those of the pairs that the window shows, 4 D each forward and 3.5 times that with backward, and their
share is against the rate of a matrix product of 1024 x 1024 measured on the spot. Growth: time and peak memory (beyond
inputs and outputs' own process) for T from 4k to 256k, fitted to T^p; and one forward pass over a million positions.
The allocator is the system's as it comes, which fetches blocks above 32 MB anew at each call, so from T 64k on time
grows by their page faults; so growth is timed again with freed memory kept, as regard's own commands keep it.

Bars: 16 times SDPA with a dense mask, 1.8 times local-attention, p at most 1.05. FlexAttention on a CPU has no
backward: with --flex its compiled forward is timed, if a compiler is there. On a GPU: not measured.
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
import torch.nn.functional as F
from torch import Tensor

from regard import attend, window
from regard.machine.memory import keep_freed_memory

SIDE, HEADS, D, T = 128, 4, 64, 8192
BARS = {"SDPA with a dense mask": 16.0, "local-attention": 1.8}
MAX_EXPONENT = 1.05
LENGTHS = [2**n for n in range(12, 19)]
Call = Callable[[], Tensor]


def inputs(steps: int, learn: bool = True) -> tuple[Tensor, ...]:
    """q, k, v (1, heads, steps, D)."""
    return tuple(torch.randn(1, HEADS, steps, D, requires_grad=learn) for _ in range(3))


def ours(x: tuple[Tensor, ...]) -> Call:
    """By `attend`."""
    mask = window(SIDE, SIDE)
    return lambda: attend(*x, mask=mask)


def peers(x: tuple[Tensor, ...]) -> dict[str, Call]:
    """The others on the same tensors, those that are installed."""
    allowed = window(SIDE, SIDE).dense(1, HEADS, x[0].shape[2], x[0].shape[2])
    found: dict[str, Call] = {
        "SDPA with a dense mask": lambda: F.scaled_dot_product_attention(*x, attn_mask=allowed),
    }
    try:
        from local_attention import LocalAttention
    except ImportError:
        print("local-attention is not installed: pip install 'regard[bench]'")
    else:
        local = LocalAttention(
            SIDE, look_backward=1, look_forward=1, exact_windowsize=True, use_rotary_pos_emb=False, autopad=True
        )
        found["local-attention"] = lambda: local(*x)
    return found


def flex(x: tuple[Tensor, ...]) -> Call:
    """FlexAttention, compiled."""
    from torch.nn.attention.flex_attention import create_block_mask, flex_attention

    def inside(b: Tensor, h: Tensor, query: Tensor, key: Tensor) -> Tensor:
        return (query - key).abs() <= SIDE

    steps = x[0].shape[2]
    blocks = create_block_mask(inside, None, None, steps, steps, device="cpu")
    compiled = torch.compile(flex_attention)
    return lambda: compiled(*x, block_mask=blocks)


def both_ways(call: Call, x: tuple[Tensor, ...]) -> Callable[[], object]:
    """Forward and backward."""
    along = torch.randn_like(x[0])
    return lambda: torch.autograd.grad(call(), x, along)


def forward(call: Call) -> Callable[[], object]:
    """Forward alone."""

    def run() -> Tensor:
        with torch.no_grad():
            return call()

    return run


def seconds(call: Callable[[], object]) -> float:
    """Seconds of one call."""
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def useful_flops(steps: int, backward: bool) -> float:
    """Of the pairs that the window shows."""
    pairs = sum(min(steps, t + SIDE + 1) - max(0, t - SIDE) for t in range(steps))
    return pairs * HEADS * 4 * D * (3.5 if backward else 1)


def gemm_rate() -> float:
    """FLOPs a second of a matrix product, the best of many."""
    a, b = torch.randn(1024, 1024), torch.randn(1024, 1024)
    return 2 * 1024**3 / min(seconds(lambda: a @ b) for _ in range(30))


def compare(rounds: int, with_flex: bool) -> list[dict[str, Any]]:
    """Rows of the table: each peer, forward and with backward."""
    x = inputs(T)
    others = peers(x)
    own = ours(x)
    for name, call in others.items():
        torch.testing.assert_close(own(), call(), msg=lambda text, name=name: f"{name} computes something else: {text}")
    rows = []
    for backward in (False, True):
        wrap = (lambda call: both_ways(call, x)) if backward else forward
        timed: dict[str, list[float]] = {"regard": [], **{name: [] for name in others}}
        calls = {"regard": wrap(own), **{name: wrap(call) for name, call in others.items()}}
        if with_flex and not backward:
            timed["FlexAttention, compiled"], calls["FlexAttention, compiled"] = [], forward(flex(x))
        for call in calls.values():
            call()
        for _ in range(rounds):
            for name, call in calls.items():
                timed[name].append(seconds(call))
        rate = gemm_rate()
        for name, times in timed.items():
            quartiles = statistics.quantiles([b / a for a, b in zip(timed["regard"], times, strict=True)], n=4)
            rows.append(
                {
                    "who": name,
                    "backward": backward,
                    "ms": statistics.median(times) * 1e3,
                    "best_ms": min(times) * 1e3,
                    "times_ours": quartiles[1],
                    "times_ours_low": quartiles[0],
                    "times_ours_high": quartiles[2],
                    "useful_share": useful_flops(T, backward) / min(times) / rate,
                    "bar": BARS.get(name) if backward else None,
                }
            )
            print(
                f"{name:24} {'fwd+bwd' if backward else 'fwd':8} {rows[-1]['ms']:9.1f} ms  "
                f"{quartiles[1]:6.2f} times ours "
                f"[{quartiles[0]:.2f}, {quartiles[2]:.2f}]  {rows[-1]['useful_share']:.0%} of the GEMM rate, useful"
            )
    return rows


def memory(field: str) -> int:
    """This process's VmRSS or VmHWM, bytes."""
    lines = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(field))


def peak(call: Callable[[], object]) -> int:
    """Bytes that a call takes at most beyond what was there; 0 where the system does not tell."""
    try:
        Path("/proc/self/clear_refs").write_text("5", encoding="utf-8")
        before = memory("VmRSS")
        call()
        return memory("VmHWM") - before
    except OSError:
        return 0


def peak_of(steps: int) -> int:
    """`peak` of forward and backward in a process of its own, whose allocator gives back what is freed."""
    command = [sys.executable, __file__, "--peak", str(steps)]
    settings = {**os.environ, "MALLOC_MMAP_THRESHOLD_": "65536"}
    return int(subprocess.run(command, env=settings, capture_output=True, text=True, check=True).stdout)


def peak_here(steps: int) -> int:
    """The same in this process, which does nothing else."""
    for size in (LENGTHS[0], steps):  # the first brings what is imported
        x = inputs(size)
        took = peak(both_ways(ours(x), x))
    return took


def growth() -> list[dict[str, float]]:
    """Seconds and peak bytes, forward and backward, for each T."""
    rows = [{"T": steps, "seconds": best_of(steps), "bytes": peak_of(steps)} for steps in LENGTHS]
    keep_freed_memory()
    for row in rows:
        row["seconds_kept"] = best_of(int(row["T"]))
        print(
            f"T {row['T']:>7}: {row['seconds'] * 1e3:9.1f} ms, {row['seconds_kept'] * 1e3:9.1f} with freed memory kept"
        )
    return rows


def best_of(steps: int) -> float:
    """Seconds of a few calls' best, forward and backward."""
    x = inputs(steps)
    call = both_ways(ours(x), x)
    call()
    return min(seconds(call) for _ in range(max(2, min(5, 2**18 // steps))))


def exponent(rows: list[dict[str, float]], of: str) -> float:
    """p of the least-squares fit log y = p log T + c."""
    points = [(math.log(row["T"]), math.log(row[of])) for row in rows if row[of] > 0]
    if len(points) < 2:
        return math.nan
    mean_x, mean_y = (statistics.fmean(values) for values in zip(*points, strict=True))
    return sum((a - mean_x) * (b - mean_y) for a, b in points) / sum((a - mean_x) ** 2 for a, _ in points)


def million() -> float:
    """Seconds of one forward pass over 2^20 positions."""
    x = inputs(2**20, learn=False)
    return seconds(forward(ours(x)))


def markdown(result: dict[str, Any]) -> str:
    """The table that docs/results.md shows."""
    lines = ["| who | pass | ms | times ours | useful share of the GEMM rate | bar |", "|---" * 6 + "|"]
    for row in result["rows"]:
        ratio = f"{row['times_ours']:.2f} ({row['times_ours_low']:.2f} to {row['times_ours_high']:.2f})"
        bar = ""
        if row["bar"]:
            bar = f"{row['bar']:g}: {'met' if row['times_ours'] >= row['bar'] else '**not met**'}"
        way = "forward and backward" if row["backward"] else "forward"
        lines.append(f"| {row['who']} | {way} | {row['ms']:,.1f} | {ratio} | {row['useful_share']:.0%} | {bar} |")
    lines += ["", "| T | ms, forward and backward | the same, freed memory kept | peak MiB |", "|---" * 4 + "|"]
    for r in result["growth"]:
        times = f"{r['seconds'] * 1e3:,.1f} | {r['seconds_kept'] * 1e3:,.1f}"
        lines.append(f"| {r['T']:,} | {times} | {r['bytes'] / 2**20:,.1f} |")
    of = {name: result[f"exponent_{name}"] for name in ("time", "time_kept", "memory")}
    met = {name: "met" if found <= MAX_EXPONENT else "**not met**" for name, found in of.items()}
    lines += [
        "",
        f"Fitted exponent of time {of['time']:.3f} ({met['time']}; bar {MAX_EXPONENT}), with freed memory kept "
        f"{of['time_kept']:.3f} ({met['time_kept']}), of memory {of['memory']:.3f} ({met['memory']}). "
        f"Forward over 1,048,576 positions: {result['million_seconds']:.1f} s. FlexAttention on a GPU: not measured.",
    ]
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, help="write the figures here as JSON")
    parser.add_argument("--table", type=Path, help="write the tables in Markdown here")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--flex", action="store_true", help="time FlexAttention's compiled forward too")
    parser.add_argument("--peak", type=int, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    torch.manual_seed(0)
    if arguments.peak:
        print(peak_here(arguments.peak))
        return
    result: dict[str, Any] = {"rows": compare(arguments.rounds, arguments.flex), "growth": growth()}
    result["exponent_time"] = exponent(result["growth"], "seconds")
    result["exponent_time_kept"] = exponent(result["growth"], "seconds_kept")
    result["exponent_memory"] = exponent(result["growth"], "bytes")
    result["million_seconds"] = million()
    print(f"exponents: time {result['exponent_time']:.3f}, memory {result['exponent_memory']:.3f} (bar {MAX_EXPONENT})")
    print(f"forward over 1,048,576 positions: {result['million_seconds']:.1f} s")
    if arguments.table:
        arguments.table.write_text(markdown(result) + "\n", encoding="utf-8")
    if arguments.out:
        machine = {"torch": torch.__version__, "threads": torch.get_num_threads(), "python": platform.python_version()}
        arguments.out.write_text(json.dumps({"machine": machine, **result}, indent=2))


if __name__ == "__main__":
    main()
