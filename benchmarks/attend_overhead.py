"""What `attend` adds to a bare `scaled_dot_product_attention`, in cases that SDPA takes.

    python benchmarks/attend_overhead.py [--out FILE.json] [--rounds N]

Both run in this process, in turns (which goes first changes from round to round); a round's ratio compares two
neighbours in time, so a drift of the machine cancels. Reported: the median of the rounds with its quartiles.
Bars: at T >= 512 at most 1.03 times SDPA; at T = 1 at most 25 µs added. Run it alone: a busy core spoils both.
"""

import argparse
import json
import platform
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from regard import attend, causal, dense, padding

MAX_RATIO, MAX_ADDED_US = 1.03, 25.0
Pair = tuple[Callable[[], Tensor], Callable[[], Tensor]]


def pair(T: int, kind: str, backward: bool) -> Pair:
    """A bare call and ours, on the same tensors (B 2, H 8, D 64, float32)."""
    q, k, v = (torch.randn(2, 8, T, 64, requires_grad=backward) for _ in range(3))
    lengths = torch.tensor([T, max(1, T // 2)])
    allowed = torch.rand(1, 1, T, T) > 0.3
    allowed[..., 0] = True
    bias = torch.randn(1, 8, T, T)
    theirs, ours = {
        "plain": ({}, {}),
        "causal": ({"is_causal": True}, {"mask": causal()}),
        "mask": ({"attn_mask": allowed}, {"mask": dense(allowed)}),
        "bias": ({"attn_mask": bias}, {"bias": bias}),
        "padding": ({}, {"mask": padding(lengths)}),
    }[kind]

    def bare() -> Tensor:
        if kind == "padding":  # SDPA takes lengths only as a mask made of them, each time they are others
            within = (torch.arange(T) < lengths[:, None])[:, None, None]
            return F.scaled_dot_product_attention(q, k, v, attn_mask=within)
        return F.scaled_dot_product_attention(q, k, v, **theirs)

    def finish(out: Tensor) -> Tensor:
        if backward:
            torch.autograd.grad(out, (q, k, v), out.detach())
        return out

    return lambda: finish(bare()), lambda: finish(attend(q, k, v, **ours))


def seconds(call: Callable[[], Tensor], times: int) -> float:
    """Seconds per call."""
    start = time.perf_counter()
    for _ in range(times):
        call()
    return (time.perf_counter() - start) / times


def measure(both: Pair, rounds: int) -> dict[str, float]:
    """Median seconds of each, and the rounds' ratio and difference with quartiles."""
    bare, ours = both
    torch.testing.assert_close(bare(), ours())
    times = max(1, int(0.02 / seconds(bare, 3)))
    timed = []
    for number in range(rounds):
        if number % 2:
            of_ours = seconds(ours, times)
            timed.append((seconds(bare, times), of_ours))
        else:
            of_bare = seconds(bare, times)
            timed.append((of_bare, seconds(ours, times)))
    ratio = statistics.quantiles([b / a for a, b in timed], n=4)
    added = statistics.quantiles([(b - a) * 1e6 for a, b in timed], n=4)
    return {
        "bare_us": statistics.median(a for a, _ in timed) * 1e6,
        "attend_us": statistics.median(b for _, b in timed) * 1e6,
        "ratio": ratio[1],
        "ratio_low": ratio[0],
        "ratio_high": ratio[2],
        "added_us": added[1],
        "added_us_low": added[0],
        "added_us_high": added[2],
    }


WITH = {
    "plain": "no mask",
    "causal": "`causal()`",
    "mask": "a bool mask",
    "bias": "a bias",
    "padding": "`padding(lengths)`",
}


def markdown(rows: list[dict[str, Any]]) -> str:
    """The table that docs/results.md shows."""
    lines = ["| T | with | pass | SDPA µs | attend µs | ratio | added µs | bar |", "|---" * 8 + "|"]
    for row in rows:
        ratio = f"{row['ratio']:.3f} ({row['ratio_low']:.3f} to {row['ratio_high']:.3f})"
        lines.append(
            f"| {row['T']} | {WITH[row['case']]} | forward{' and backward' if row['backward'] else ''} "
            f"| {row['bare_us']:,.1f} | {row['attend_us']:,.1f} | {ratio} | {row['added_us']:+.1f} "
            f"| {'met' if row['met'] else '**not met**'} |"
        )
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, help="write the figures here as JSON")
    parser.add_argument("--rounds", type=int, default=60)
    parser.add_argument("--table", type=Path, help="write the table in Markdown here")
    arguments = parser.parse_args()
    torch.manual_seed(0)
    rows = []
    print(f"{'T':>5} {'case':7} {'pass':9} {'SDPA µs':>10} {'attend µs':>10} {'ratio':>22} {'added µs':>24}  bar")
    for T in (1, 512, 1024):
        for kind in ("plain", "causal", "mask", "bias", "padding"):
            for backward in (False, True):
                row = {"T": T, "case": kind, "backward": backward, **measure(pair(T, kind, backward), arguments.rounds)}
                row["met"] = row["added_us"] <= MAX_ADDED_US if T == 1 else row["ratio"] <= MAX_RATIO
                rows.append(row)
                way = "fwd+bwd" if backward else "fwd"
                print(
                    f"{T:>5} {kind:7} {way:9} {row['bare_us']:10.1f} {row['attend_us']:10.1f} "
                    f"{row['ratio']:8.3f} [{row['ratio_low']:.3f}, {row['ratio_high']:.3f}] "
                    f"{row['added_us']:8.1f} [{row['added_us_low']:.1f}, {row['added_us_high']:.1f}]  "
                    f"{'met' if row['met'] else 'NOT MET'}"
                )
    if arguments.table:
        arguments.table.write_text(markdown(rows) + "\n", encoding="utf-8")
    if arguments.out:
        machine = {"torch": torch.__version__, "threads": torch.get_num_threads(), "python": platform.python_version()}
        arguments.out.write_text(json.dumps({"machine": machine, "rounds": arguments.rounds, "rows": rows}, indent=2))


if __name__ == "__main__":
    main()
