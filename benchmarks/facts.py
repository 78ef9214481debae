"""Two facts that the guide states, measured: why scores are scaled, and what several heads are for.

    python benchmarks/facts.py [--out FILE.json] [--table FILE.md] [--seeds N]

Scaling: how much of a gradient passes softmax to the scores, ‖∂α/∂e‖ of the median query, for random queries and 32
keys of d_k features, with and without 1/√d_k. Heads: one layer of equal width and equal number of parameters, cut into
1, 2, 4 or 8 heads, learns to look up two things at once. (What additive attention costs beside dot products is in
`additive.py`.)
"""

import argparse
import json
import platform
import statistics
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from regard.layers import DotAttention, MultiHeadAttention, ScaledDotProductAttention

KEYS = 32
QUERIES = 2_000
KINDS, WIDTH = 8, 64
"""Of the look-up: as many keys, and as many values a key may have; features of the layer."""


def slope(layer: nn.Module, features: int, seed: int) -> float:
    """‖∂α/∂e‖, Frobenius, of softmax at a query's scores, the median of many: how much of a gradient passes it."""
    torch.manual_seed(seed)
    α = layer.weights(torch.randn(QUERIES, 1, features), torch.randn(QUERIES, KEYS, features))[:, 0]
    jacobian = torch.diag_embed(α) - α[:, :, None] * α[:, None]
    return float(jacobian.flatten(1).norm(dim=1).median())


class LookUp(nn.Module):
    """One layer of attention that must find two things: what key a holds, and what key b holds."""

    def __init__(self, heads: int):
        super().__init__()
        self.ask = nn.Linear(2 * KINDS, WIDTH)
        self.read = nn.Linear(2 * KINDS, WIDTH)
        self.attention = MultiHeadAttention(WIDTH, heads)
        self.answer = nn.Linear(WIDTH, 2 * KINDS)

    def forward(self, asked: Tensor, table: Tensor) -> Tensor:
        """Two rows of scores (batch, 2, values) for the two things asked."""
        return self.answer(self.attention(self.ask(asked), self.read(table))).view(-1, 2, KINDS)


def lookups(rows: int) -> tuple[Tensor, Tensor, Tensor]:
    """Questions (rows, 1, two keys), tables (rows, keys in any order, key and value), and the two values asked for."""
    order = torch.rand(rows, KINDS).argsort(1)
    values = torch.randint(KINDS, (rows, KINDS))
    table = torch.cat([F.one_hot(order, KINDS), F.one_hot(values.gather(1, order), KINDS)], -1).float()
    wanted = torch.rand(rows, KINDS).argsort(1)[:, :2]
    return F.one_hot(wanted, KINDS).float().view(rows, 1, -1), table, values.gather(1, wanted)


def right_answers(heads: int, seed: int, steps: int) -> float:
    """The share of the two values found, on questions never seen, after training."""
    torch.manual_seed(seed)
    model = LookUp(heads)
    optimiser = torch.optim.Adam(model.parameters(), 3e-3)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, 3e-3, steps)
    for _ in range(steps):
        asked, table, values = lookups(256)
        loss = F.cross_entropy(model(asked, table).flatten(0, 1), values.flatten())
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        schedule.step()
    with torch.no_grad():
        asked, table, values = lookups(10_000)
        return float((model(asked, table).argmax(-1) == values).float().mean())


def spread(values: list[float]) -> dict[str, Any]:
    return {"mean": statistics.mean(values), "low": min(values), "high": max(values), "seeds": len(values)}


def markdown(rows: list[dict[str, Any]]) -> str:
    lines = ["| what | mean | lowest | highest |", "|---|---|---|---|"]
    lines += [f"| {row['what']} | {row['mean']:.3g} | {row['low']:.3g} | {row['high']:.3g} |" for row in rows]
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, help="write the figures here as JSON")
    parser.add_argument("--table", type=Path, help="write the table in Markdown here")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=1_500)
    arguments = parser.parse_args()
    seeds, rows = range(1, arguments.seeds + 1), []
    for layer, name in ((DotAttention(), "q·k"), (ScaledDotProductAttention(), "q·k/√d_k")):
        for features in (4, 16, 64, 256, 1024, 4096):
            slopes = [slope(layer, features, seed) for seed in seeds]
            rows.append({"what": f"‖∂α/∂e‖, {name}, d_k {features}", **spread(slopes)})
            print(f"{rows[-1]['what']:48} {rows[-1]['mean']:.3g}", flush=True)
    for heads in (1, 2, 4, 8):
        right = [right_answers(heads, seed, arguments.steps) for seed in seeds]
        rows.append({"what": f"two look-ups at once, width {WIDTH}, heads {heads}: share right", **spread(right)})
        print(
            f"{rows[-1]['what']:48} {rows[-1]['mean']:.4f} [{rows[-1]['low']:.4f}, {rows[-1]['high']:.4f}]", flush=True
        )
    if arguments.table:
        arguments.table.write_text(markdown(rows) + "\n", encoding="utf-8")
    if arguments.out:
        machine = {"torch": torch.__version__, "threads": torch.get_num_threads(), "python": platform.python_version()}
        arguments.out.write_text(json.dumps({"machine": machine, "steps": arguments.steps, "rows": rows}, indent=2))


if __name__ == "__main__":
    main()
