"""How fast each way to look back trains and translates: the systems of `regard.recipes.attentions`, in turns.

    python benchmarks/attentions.py --data-dir DATA --models FOLDER [--out FILE.json] [--table FILE.md] [--rounds N]

DATA/multi30k has the captions, FOLDER the models that `python -m regard.recipes.attentions --sets multi30k-en-fr --out
FOLDER` trained. Training: a fresh model a round, target tokens a second from update 50 to 150. Translating: the test
set, beam 5, float32, sentences a second. Reported: the median of the rounds with the lowest and the highest, and the
ratio to additive attention. Run it alone: a busy core spoils all.
"""

import argparse
import dataclasses
import json
import platform
import statistics
import tempfile
import time
from importlib.metadata import version
from itertools import pairwise
from pathlib import Path

from regard import load
from regard.data.pairs import Pairs
from regard.recipes.attentions import BEAM, SYSTEMS, TASKS, settings
from regard.training import fit

SET = "multi30k-en-fr"
SENTENCES = 12_000  # of the training set: enough for the updates
WARM, UPDATES = 50, 150


def training(system: str, train: Pairs, valid: Pairs) -> float:
    """Target tokens a second of a fresh model, after the warm-up."""
    task = TASKS[SET]
    steps = {"steps": UPDATES, "epochs": 1000, "validate_every": 10**9}
    short = dataclasses.replace(task, train=task.train | steps)
    with tempfile.TemporaryDirectory() as folder:
        fit(settings(short, system), Path(folder) / "model", train, valid, quiet=True)
        lines = (Path(folder) / "model" / "metrics.jsonl").read_text(encoding="utf-8").splitlines()
    logged = [line for line in map(json.loads, lines) if "tokens" in line and line["step"] >= WARM]
    return statistics.harmonic_mean(
        [(b["tokens"] - a["tokens"]) / (b["seconds"] - a["seconds"]) for a, b in pairwise(logged)]
    )


def translating(folder: Path, sentences: list[str]) -> float:
    """Sentences a second."""
    translator = load(folder)
    translator.translate(sentences[:50], beam=BEAM, attention=False)
    start = time.perf_counter()
    translator.translate(sentences, beam=BEAM, attention=False)
    return len(sentences) / (time.perf_counter() - start)


def row(values: list[float], against: list[float]) -> dict[str, float]:
    """A system's rounds, and how they stand to additive's."""
    ratios = [mine / its for mine, its in zip(values, against, strict=True)]
    return {
        "median": statistics.median(values),
        "low": min(values),
        "high": max(values),
        "ratio": statistics.median(ratios),
    }


def markdown(results: dict[str, dict[str, dict[str, float]]]) -> str:
    """The table that the docs show."""
    lines = [
        "| attention | training, tokens/s | of additive's | translating, sentences/s | of additive's |",
        "|---" * 5 + "|",
    ]
    for system, result in results.items():
        cells = [
            cell
            for what in (result["training"], result["translating"])
            for cell in (f"{what['median']:,.0f} ({what['low']:,.0f}–{what['high']:,.0f})", f"{what['ratio']:.2f} ×")
        ]
        lines.append(f"| {system} | {' | '.join(cells)} |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data-dir", type=Path, required=True, help="the folder that holds multi30k/")
    parser.add_argument("--models", type=Path, required=True, help="the recipe's --out")
    parser.add_argument("--out", type=Path, help="write the figures here as JSON")
    parser.add_argument("--table", type=Path, help="write the table in Markdown here")
    parser.add_argument("--rounds", type=int, default=3)
    given = parser.parse_args()
    train, valid, test = (TASKS[SET].read(split, given.data_dir) for split in ("train", "valid", "test"))
    train, valid = (
        Pairs(pairs.source[:most], pairs.target[:most]) for pairs, most in ((train, SENTENCES), (valid, 20))
    )
    trained: dict[str, list[float]] = {system: [] for system in SYSTEMS}
    translated: dict[str, list[float]] = {system: [] for system in SYSTEMS}
    for number in range(given.rounds):
        for system in SYSTEMS:
            trained[system].append(training(system, train, valid))
            translated[system].append(translating(given.models / SET / system, test.source))
            print(
                f"round {number + 1} of {given.rounds}: {system:10} {trained[system][-1]:7,.0f} tokens/s in training, "
                f"{translated[system][-1]:6,.1f} sentences/s in translating",
                flush=True,
            )
    results = {
        system: {
            "training": row(trained[system], trained[SYSTEMS[0]]),
            "translating": row(translated[system], translated[SYSTEMS[0]]),
        }
        for system in SYSTEMS
    }
    print(markdown(results))
    if given.table:
        given.table.write_text(markdown(results) + "\n", encoding="utf-8")
    if given.out:
        about = {"python": platform.python_version(), "torch": version("torch"), "rounds": given.rounds}
        given.out.write_text(json.dumps(about | {"systems": results}, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
