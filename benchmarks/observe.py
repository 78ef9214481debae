"""What looking costs: exact statistics of causal attention's weights beside one fused forward pass, 8 heads of 64.

    python benchmarks/observe.py [--out FILE.json] [--table FILE.md] [--long]

Entropy, mass per key, the 8 largest weights of each query and a map of 256 x 256 cells, of the same q, k, v that
`scaled_dot_product_attention` attends with, in this process and in turns. Reported: the ratio of their times (the
median of the rounds, with the lowest and highest), the memory that looking adds at its peak (in a process of its own,
results included), and the largest error against float64 on sampled queries, for scores of the usual size and ten times
that. Bars at T 32k: ratio at most 2.5, at most 200 MB, error at most 1e-5; `--long` adds T 128k, which must finish.
Up to T 8k, also how long it takes beneath a soft cap, and in blocks of queries, which is what is computed where the
compiled loops do not take a call, or cannot run. Run it alone.
"""

from __future__ import annotations

import argparse
import json
import platform
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from regard import Dot, Observe, causal, observe
from regard.attend import call
from regard.observe import plain

HEADS, FEATURES = 8, 64
REQUEST = Observe(topk=8, entropy=True, mass=True, map=256)
MAX_RATIO, MAX_MB, MAX_ERROR = 2.5, 200.0, 1e-5
SAMPLED = 48


def drawn(T: int, large: float = 1.0) -> tuple[Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    q, k, v = (torch.randn(1, HEADS, T, FEATURES, generator=generator) for _ in range(3))
    return large * q, k, v


def measure_time(T: int, rounds: int) -> dict[str, float]:
    """Seconds of each, round by round."""
    q, k, v = drawn(T)
    timed = []
    for _ in range(rounds):
        start = time.perf_counter()
        F.scaled_dot_product_attention(q, k, v, is_causal=True)
        middle = time.perf_counter()
        observe(q, k, v, REQUEST, mask=causal())
        timed.append((middle - start, time.perf_counter() - middle))
    ratios = [looking / forward for forward, looking in timed]
    return {
        "forward_s": statistics.median(forward for forward, _ in timed),
        "looking_s": statistics.median(looking for _, looking in timed),
        "ratio": statistics.median(ratios),
        "ratio_low": min(ratios),
        "ratio_high": max(ratios),
    }


def measure_others(T: int, rounds: int) -> dict[str, float]:
    """Seconds beneath a soft cap, and of the same as `measure_time` in blocks of queries: the median of the rounds."""
    q, k, v = drawn(T)
    asked = call(q, k, v, None, causal(), None, "softmax", None, 0.0, False)
    timed = []
    for _ in range(rounds):
        start = time.perf_counter()
        observe(q, k, v, REQUEST, score=Dot(cap=50.0), mask=causal())
        middle = time.perf_counter()
        plain.statistics(asked, REQUEST)
        timed.append((middle - start, time.perf_counter() - middle))
    capped, blocks = (statistics.median(one) for one in zip(*timed, strict=True))
    return {"capped_s": capped, "blocks_s": blocks}


def measure_memory(T: int) -> float:
    """MB that looking adds to the peak of a process that holds q, k and v: run as a process of its own."""
    q, k, v = drawn(T)
    observe(*(x[:, :1, :600] for x in (q, k, v)), REQUEST, mask=causal())  # the loops are loaded
    Path("/proc/self/clear_refs").write_text("5", encoding="ascii")  # the peak begins here (Linux)
    before = peak_kb()
    observe(q, k, v, REQUEST, mask=causal())
    return (peak_kb() - before) * 1024 / 1e6


def peak_kb() -> int:
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM"))


def measure_error(T: int, large: float) -> float:
    """The largest error on sampled queries: absolute below 1, relative above. Of the mass, on sampled keys."""
    q, k, v = drawn(T, large)
    seen = observe(q, k, v, REQUEST, mask=causal())
    assert seen.topk is not None
    assert seen.entropy is not None
    assert seen.mass is not None
    generator = torch.Generator().manual_seed(1)
    rows = torch.randint(0, T, (SAMPLED,), generator=generator)
    rows[0], rows[1] = 0, T - 1
    e = q[:, :, rows].double() @ k.double().mT / FEATURES**0.5
    e = e.masked_fill(torch.arange(T) > rows[:, None], -torch.inf)
    lse, weights = e.logsumexp(-1), e.softmax(-1)
    best = weights.topk(8).values
    pairs = [
        (seen.lse[:, :, rows], lse),
        (seen.entropy[:, :, rows], -torch.special.xlogy(weights, weights).sum(-1)),
        (seen.topk.weights[:, :, rows], best),
        # a key's mass in float64 from all queries' log-sum-exp, in float64 too, would take the whole matrix; the keys
        # that only the last queries see do not
        (seen.mass[..., -256:], last_mass(q, k, T)),
    ]
    return max(float(((a.double() - b).abs() / b.abs().clamp(min=1)).max()) for a, b in pairs)


def last_mass(q: Tensor, k: Tensor, T: int) -> Tensor:
    """The mass of the last 256 keys, which only the last 256 queries see, in float64."""
    e = q[:, :, -256:].double() @ k.double().mT / FEATURES**0.5
    hidden = torch.arange(T) > torch.arange(T - 256, T)[:, None]
    return e.masked_fill(hidden, -torch.inf).softmax(-1).sum(2)[..., -256:]


def in_another_process(T: int) -> float:
    run = subprocess.run([sys.executable, __file__, "--memory", str(T)], capture_output=True, text=True, check=True)
    return float(run.stdout)


def markdown(rows: list[dict[str, Any]]) -> str:
    """The table that docs/results.md shows."""
    lines = [
        "| T | fused forward s | looking s | ratio | added MB | error | error, scores × 10 | bars | beneath a cap s "
        "| in blocks s |",
        "|---" * 10 + "|",
    ]
    for row in rows:
        lines.append(
            f"| {row['T']:,} | {row['forward_s']:.2f} | {row['looking_s']:.2f} "
            f"| {row['ratio']:.2f} ({row['ratio_low']:.2f} to {row['ratio_high']:.2f}) | {row['added_mb']:.0f} "
            f"| {row['error']:.1e} | {row['error_large']:.1e} | {'met' if row['met'] else '**not met**'} "
            + (f"| {row['capped_s']:.2f} | {row['blocks_s']:.2f} |" if "blocks_s" in row else "| | |")
        )
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, help="write the figures here as JSON")
    parser.add_argument("--table", type=Path, help="write the table in Markdown here")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--long", action="store_true", help="T 131,072 too (minutes)")
    parser.add_argument("--memory", type=int, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.memory:
        print(measure_memory(arguments.memory))
        return
    measure_time(1024, 1)  # the loops are compiled
    rows = []
    for T in (2048, 8192, 32768, *([131072] if arguments.long else [])):
        rounds = 1 if T > 32768 else arguments.rounds if T == 32768 else 5 * arguments.rounds
        row: dict[str, Any] = {"T": T, **measure_time(T, rounds), "added_mb": in_another_process(T)}
        if T <= 8192:
            row |= measure_others(T, arguments.rounds)
        row["error"], row["error_large"] = measure_error(T, 1.0), measure_error(T, 10.0)
        error = max(row["error"], row["error_large"])
        row["met"] = error <= MAX_ERROR and (T != 32768 or (row["ratio"] <= MAX_RATIO and row["added_mb"] <= MAX_MB))
        rows.append(row)
        print(markdown(rows).splitlines()[-1] if len(rows) > 1 else markdown(rows), flush=True)
    if arguments.table:
        arguments.table.write_text(markdown(rows) + "\n", encoding="utf-8")
    if arguments.out:
        machine = {"torch": torch.__version__, "threads": torch.get_num_threads(), "python": platform.python_version()}
        arguments.out.write_text(json.dumps({"machine": machine, "rounds": arguments.rounds, "rows": rows}, indent=2))


if __name__ == "__main__":
    main()
