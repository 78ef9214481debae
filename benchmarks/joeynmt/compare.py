"""Training throughput of regard and of JoeyNMT: same sizes, same sentences, same machine, in turns within minutes.

    .venv/bin/python benchmarks/joeynmt/compare.py --joey-python PYTHON --data OUT --work FOLDER

PYTHON has JoeyNMT 2.3.0, OUT is what `prepare.py` wrote. Each side runs as its users run it (`python -m joeynmt train`;
`regard train`), both with the same allocator settings and threads, A B A B; from each log the target tokens per second
from update 50 on. A token is a target subword, the sentence's end included, padding not; since the two learn
their own subwords, the table also says how many of them a sentence takes on each side, and the ratio per sentence.
Each computes as it does by default on a processor: JoeyNMT in float32, regard in bfloat16 where the processor
multiplies it (`precision: float32` in regard.yaml compares like with like). Run it with nothing else on the machine.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import re
import statistics
import subprocess
import sys
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from itertools import pairwise
from pathlib import Path

import yaml

HERE = Path(__file__).resolve().parent
WARM = 50  # updates before which nothing is measured
ALLOCATOR = {
    "MALLOC_ARENA_MAX": "1",
    "MALLOC_MMAP_MAX_": "0",
    "MALLOC_TRIM_THRESHOLD_": "17179869184",
    "MALLOC_TOP_PAD_": "268435456",
}
JOEY_LINE = re.compile(r"Step:\s*(\d+),.*Tokens per Sec:\s*(\d+)")


@dataclass(frozen=True)
class Run:
    """One training run: target tokens/s of each logged interval after the warm-up."""

    side: str
    rates: list[float]
    seconds: float

    @property
    def rate(self) -> float:
        return statistics.harmonic_mean(self.rates)  # equal numbers of tokens, not of seconds


def joey(python: Path, data: Path, work: Path, updates: int, environment: dict[str, str]) -> Run:
    """Trains JoeyNMT for so many updates and reads its log."""
    settings = yaml.safe_load((HERE / "gru_additive.yaml").read_text(encoding="utf-8"))
    settings["model_dir"] = str(work / "joeynmt")
    settings["training"] |= {"updates": updates, "validation_freq": 10**9, "logging_freq": WARM}
    for key, name in (("train", "train"), ("dev", "val"), ("test", "test_2016_flickr")):
        settings["data"][key] = str(data / name)
    for side in ("src", "trg"):
        settings["data"][side]["voc_file"] = str(data / "joint.vocab")
        settings["data"][side]["tokenizer_cfg"]["codes"] = str(data / "joint.codes")
    file = work / "joeynmt.yaml"
    file.write_text(yaml.safe_dump(settings), encoding="utf-8")
    seconds, log = timed([str(python), "-m", "joeynmt", "train", str(file), "--skip-test"], environment)
    found = [(int(step), float(rate)) for step, rate in JOEY_LINE.findall(log)]
    return Run("joeynmt", [rate for step, rate in found if step > WARM], seconds)


def regard(data: Path, work: Path, updates: int, environment: dict[str, str]) -> Run:
    """Trains regard for so many updates and reads its log."""
    settings = yaml.safe_load((HERE / "regard.yaml").read_text(encoding="utf-8"))
    entries = len((data / "joint.vocab").read_text(encoding="utf-8").splitlines())
    settings["train"] |= {"steps": updates, "vocabulary": entries + 4, "epochs": 1000, "validate_every": 10**9}
    file = work / "regard.yaml"
    file.write_text(yaml.safe_dump(settings), encoding="utf-8")
    out = work / f"regard-{time.time_ns()}"
    command = [sys.executable, "-m", "regard", "train", "--config", str(file), "--out", str(out), "--quiet"]
    files = ["--source", str(data / "train.en"), "--target", str(data / "train.fr")]
    held_out = ["--valid-source", str(data / "val.en"), "--valid-target", str(data / "val.fr")]
    seconds, _ = timed([*command, *files, *held_out], environment)
    lines = [json.loads(line) for line in (out / "metrics.jsonl").read_text(encoding="utf-8").splitlines()]
    spent = [(line["tokens"], line["seconds"]) for line in lines if "tokens" in line and line["step"] >= WARM]
    rates = [(t2 - t1) / (s2 - s1) for (t1, s1), (t2, s2) in pairwise(spent)]
    (work / "regard-last").unlink(missing_ok=True)
    (work / "regard-last").symlink_to(out)
    return Run("regard", rates, seconds)


def timed(command: list[str], environment: dict[str, str]) -> tuple[float, str]:
    """Runs a command to its end; returns its seconds and what it wrote."""
    start = time.monotonic()
    done = subprocess.run(command, env=os.environ | environment, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"{' '.join(command)} ended with {done.returncode}:\n{done.stderr[-2000:]}")
    return time.monotonic() - start, done.stdout + done.stderr


def subwords_per_sentence(data: Path, work: Path) -> dict[str, float]:
    """How many target subwords a training sentence takes on each side, the end included."""
    from regard.data.tokenizer import Tokenizer

    sentences = (data / "train.fr").read_text(encoding="utf-8").splitlines()
    ours = Tokenizer.load(work / "regard-last" / "tokenizer.json").encode(sentences)
    return {
        "joeynmt": float((data / "subwords_per_sentence").read_text()),
        "regard": 1 + statistics.fmean(map(len, ours)),
    }


def summary(runs: list[Run], subwords: dict[str, float]) -> dict[str, object]:
    """The ratio of each pair of neighbouring runs, and what spread they show."""
    rates = {side: [run.rate for run in runs if run.side == side] for side in ("joeynmt", "regard")}
    ratios = [ours / theirs for ours, theirs in zip(rates["regard"], rates["joeynmt"], strict=True)]
    ratio = statistics.fmean(ratios)
    return {
        "tokens_per_second": rates,
        "ratio": ratio,
        "ratio_low": min(ratios),
        "ratio_high": max(ratios),
        "subwords_per_sentence": subwords,
        "ratio_per_sentence": ratio * subwords["joeynmt"] / subwords["regard"],
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--joey-python", type=Path, required=True, help="a Python that has JoeyNMT 2.3.0")
    parser.add_argument("--data", type=Path, required=True, help="the folder that prepare.py wrote")
    parser.add_argument("--work", type=Path, required=True, help="folder for models and logs (made if absent)")
    parser.add_argument("--updates", type=int, default=200, help="updates a run (default 200; 50 are not measured)")
    parser.add_argument("--rounds", type=int, default=2, help="how often each side runs (default 2)")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--json", type=Path, help="write the result there too")
    given = parser.parse_args()
    if given.updates < 2 * WARM:
        parser.error(f"--updates {given.updates}: expected at least {2 * WARM}, of which {WARM} are not measured")
    given.work.mkdir(parents=True, exist_ok=True)
    data, work = given.data.resolve(), given.work.resolve()
    environment = ALLOCATOR | {"OMP_NUM_THREADS": str(given.threads), "MKL_NUM_THREADS": str(given.threads)}

    runs: list[Run] = []
    for number in range(given.rounds):
        print(f"round {number + 1} of {given.rounds}: {given.updates} updates a side", flush=True)
        runs.append(joey(given.joey_python, data, work, given.updates, environment))
        runs.append(regard(data, work, given.updates, environment))
        for run in runs[-2:]:
            low, high = min(run.rates), max(run.rates)
            print(
                f"{run.side:8} {run.rate:8.0f} target tokens/s ({low:.0f} to {high:.0f}), {run.seconds:.0f} s in all",
                flush=True,
            )
    result = summary(runs, subwords_per_sentence(data, work))
    print(
        f"ratio    {result['ratio']:8.2f} ({result['ratio_low']:.2f} to {result['ratio_high']:.2f}); "
        f"{result['ratio_per_sentence']:.2f} per sentence"
    )
    if given.json:
        result |= {
            "updates": given.updates,
            "threads": given.threads,
            "date": datetime.now(UTC).date().isoformat(),
            "versions": {"joeynmt": "2.3.0", "torch": version("torch"), "python": platform.python_version()},
        }
        given.json.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
