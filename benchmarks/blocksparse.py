"""Masks that leave tiles of the grid empty, against SDPA with the mask as a tensor, forward and backward.

    python benchmarks/blocksparse.py [--out FILE.json] [--table FILE.md] [--rounds N]

T 8192, 1 row, 4 heads of 64, float32. Both run in this process, in turns; reported are medians, and the median ratio of
neighbours in time with its quartiles. SDPA does the same work whatever the mask hides, so its mask is that of the first
case throughout. Bar: blocks at 10 % density, at least 6 times SDPA. FlexAttention on a GPU: not measured.
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

from regard import attend, bigbird, blocks, causal, documents, tokens, window
from regard.equation.mask import Mask

HEADS, D, T, BAR = 4, 64, 8192, 6.0


def layout(side: int, density: float) -> torch.Tensor:
    """Blocks drawn at random, those on the diagonal among them."""
    count = T // side
    drawn = torch.rand(count, count, generator=torch.Generator().manual_seed(0)) < density - 1 / count
    return drawn | torch.eye(count, dtype=torch.bool)


CASES: dict[str, Callable[[], Mask]] = {
    "blocks of 64, 10 %": lambda: blocks(layout(64, 0.1), 64),
    "blocks of 128, 10 %": lambda: blocks(layout(128, 0.1), 128),
    "BigBird, blocks of 64": lambda: bigbird(64),
    "packed documents of 800, causal": lambda: documents(torch.arange(T) // 800) & causal(),
    "window (128, 128) and 4 global tokens": lambda: window(128, 128) | tokens([0, 1, 2, 3]),
}


def seconds(call: Callable[[], object]) -> float:
    """Seconds of one call."""
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def measure(rounds: int) -> list[dict[str, Any]]:
    """A row for each mask."""
    x = tuple(torch.randn(1, HEADS, T, D, requires_grad=True) for _ in range(3))
    along = torch.randn(1, HEADS, T, D)
    masks = {name: make() for name, make in CASES.items()}
    allowed = next(iter(masks.values())).dense(1, HEADS, T, T)

    def dense() -> object:
        return torch.autograd.grad(F.scaled_dot_product_attention(*x, attn_mask=allowed), x, along)

    def own(mask: Mask) -> object:
        return torch.autograd.grad(attend(*x, mask=mask), x, along)

    torch.testing.assert_close(own(next(iter(masks.values()))), dense(), atol=1e-4, rtol=1e-4)
    times: dict[str, list[float]] = {name: [] for name in masks}
    of_dense: list[float] = []
    for mask in masks.values():
        own(mask)
    for _ in range(rounds):
        of_dense.append(seconds(dense))
        for name, mask in masks.items():
            times[name].append(seconds(lambda mask=mask: own(mask)))
    rows = []
    for name, mask in masks.items():
        low, middle, high = statistics.quantiles([a / b for a, b in zip(of_dense, times[name], strict=True)], n=4)
        rows.append(
            {
                "mask": name,
                "density": mask.dense(1, 1, T, T).float().mean().item(),
                "ms": statistics.median(times[name]) * 1e3,
                "sdpa_ms": statistics.median(of_dense) * 1e3,
                "ratio": middle,
                "ratio_low": low,
                "ratio_high": high,
                "bar": BAR if name.startswith("blocks") else None,
            }
        )
        print(
            f"{name:40} density {rows[-1]['density']:6.1%}  {rows[-1]['ms']:8.1f} ms  "
            f"SDPA {rows[-1]['sdpa_ms']:8.1f} ms  {middle:6.2f} times [{low:.2f}, {high:.2f}]"
        )
    return rows


def markdown(rows: list[dict[str, Any]]) -> str:
    """The table that docs/results.md shows."""
    lines = ["| mask | density | ms, forward and backward | SDPA ms | ratio | bar |", "|---" * 6 + "|"]
    for row in rows:
        bar = f"{row['bar']:g}: {'met' if row['ratio'] >= row['bar'] else '**not met**'}" if row["bar"] else ""
        lines.append(
            f"| {row['mask']} | {row['density']:.1%} | {row['ms']:,.1f} | {row['sdpa_ms']:,.1f} "
            f"| {row['ratio']:.2f} ({row['ratio_low']:.2f} to {row['ratio_high']:.2f}) | {bar} |"
        )
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, help="write the figures here as JSON")
    parser.add_argument("--table", type=Path, help="write the table in Markdown here")
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()
    torch.manual_seed(0)
    rows = measure(arguments.rounds)
    if arguments.table:
        arguments.table.write_text(markdown(rows) + "\n", encoding="utf-8")
    if arguments.out:
        machine = {"torch": torch.__version__, "threads": torch.get_num_threads(), "python": platform.python_version()}
        arguments.out.write_text(json.dumps({"machine": machine, "rows": rows}, indent=2))


if __name__ == "__main__":
    main()
