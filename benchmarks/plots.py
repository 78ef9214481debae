"""How time grows with T, as one picture from the figures that the benchmarks left in benchmarks/results.

    python benchmarks/plots.py

It writes docs/speed/growth.svg. A benchmark that has not been run is left out.
"""

import json
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt

ROOT = Path(__file__).resolve().parent.parent
Series = dict[str, list[tuple[float, float]]]
"""T and seconds, by name."""


def read(name: str) -> Any:
    path = ROOT / "benchmarks" / "results" / f"{name}.json"
    return json.loads(path.read_text(encoding="utf-8")) if path.exists() else None


def series() -> Series:
    found: Series = {}
    if figures := read("window"):
        found["window (128, 128), 4 heads of 64, both passes"] = [(r["T"], r["seconds"]) for r in figures["growth"]]
    if figures := read("sparse_normalisers"):
        found["entmax 1.5, 8 heads of 64, both passes"] = [(r["T"], r["seconds"]) for r in figures["growth"]]
    if figures := read("additive"):
        found["additive, hidden 128, both passes"] = [(T, ms / 1e3) for T, ms in figures["growth_ms"]]
    if figures := read("observe"):
        rows = figures["rows"]
        found["causal SDPA, 8 heads of 64, forward"] = [(r["T"], r["forward_s"]) for r in rows]
        found["statistics beside it"] = [(r["T"], r["looking_s"]) for r in rows]
    return found


def main() -> None:
    found = series()
    if not found:
        raise SystemExit("benchmarks/results has no growth with T yet: run make bench")
    plt.rcParams["svg.hashsalt"] = "regard"  # the same figures give the same file
    figure, axes = plt.subplots(figsize=(7, 4.5), layout="constrained")
    for name, points in found.items():
        axes.plot(*zip(*sorted(points), strict=True), marker="o", markersize=4, label=name)
    axes.set_xscale("log", base=2)
    axes.set(yscale="log", xlabel="T, positions", ylabel="seconds, two cores")
    axes.xaxis.set_major_formatter(lambda T, _: f"{T / 1024:g}k" if T >= 1024 else f"{T:g}")
    axes.grid(alpha=0.3)
    axes.legend(frameon=False, fontsize=8)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    figure.savefig(ROOT / "docs" / "speed" / "growth.svg", metadata={"Date": None})


if __name__ == "__main__":
    main()
