"""Pictures of the figures that benchmarks and recipes left in benchmarks/results.

    python benchmarks/plots.py

docs/speed/growth.svg: how time grows with T. docs/attentions.svg: BLEU by source length, for each way to look back.
What has not been run is left out.
"""

import json
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
from matplotlib.axes import Axes

from regard.observe.figure import LINES

ROOT = Path(__file__).resolve().parent.parent
Series = dict[str, list[tuple[float, float]]]
"""T and seconds, by name."""
SETS = {
    "built-in": "Built-in corpus, English–French",
    "multi30k-en-fr": "Multi30k, English–French",
    "multi30k-de-en": "Multi30k, German–English",
    "tatoeba-en-fr": "Tatoeba, English–French",
}


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


def growth(found: Series) -> None:
    figure, axes = plt.subplots(figsize=(7, 4.5), layout="constrained")
    for name, points in found.items():
        axes.plot(*zip(*sorted(points), strict=True), marker="o", markersize=4, label=name)
    axes.set_xscale("log", base=2)
    axes.set(yscale="log", xlabel="T, positions", ylabel="seconds, two cores")
    axes.xaxis.set_major_formatter(lambda T, _: f"{T / 1024:g}k" if T >= 1024 else f"{T:g}")
    axes.legend(frameon=False, fontsize=8)
    _tidy(axes)
    figure.savefig(ROOT / "docs" / "speed" / "growth.svg", metadata={"Date": None})


def lengths(of_sets: dict[str, Any]) -> None:
    figure, panels = plt.subplots(2, 2, figsize=(9, 7.5), layout="constrained")
    for axes, (name, systems) in zip(panels.flat, of_sets.items(), strict=True):
        for (system, result), (colour, mark) in zip(systems.items(), (*LINES, ("#777777", "x")), strict=True):
            bins = result["test_bleu_by_length"]
            axes.plot(bins.keys(), bins.values(), color=colour, marker=mark, markersize=5, label=system)
        axes.set(title=SETS[name], xlabel="words in the source", ylabel="BLEU", ylim=(0, None))
        _tidy(axes)
    figure.legend(*panels[0, 0].get_legend_handles_labels(), loc="outside lower center", ncols=7, frameon=False)
    figure.savefig(ROOT / "docs" / "attentions.svg", metadata={"Date": None})


def _tidy(axes: Axes) -> None:
    axes.grid(alpha=0.3)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)


def main() -> None:
    plt.rcParams["svg.hashsalt"] = "regard"  # the same figures give the same file
    if found := series():
        growth(found)
    if figures := read("attentions"):
        lengths({name: figures[name] for name in SETS})


if __name__ == "__main__":
    main()
