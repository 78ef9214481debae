"""Two processes under torchrun against one: the same global batches, no dropout, the losses of the first 100 steps.

    python benchmarks/two_processes.py

Trains the default model on the built-in corpus twice on the CPU, in float32, and writes the largest difference of the
two loss curves to benchmarks/results/two_processes.json. Bar: 1e-5.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path

import torch

RESULT = Path(__file__).parent / "results" / "two_processes.json"
BAR = 1e-5


def train(out: Path, steps: int, batch_tokens: int) -> None:
    """One run, in each of its processes."""
    from regard.config import ModelConfig, Settings, TrainConfig
    from regard.recipes.builtin import builtin_pairs
    from regard.training import fit, watch

    watch.LOG_EVERY = 1
    settings = Settings(
        ModelConfig(dropout=0.0),
        TrainConfig(steps=steps, validate_every=steps, batch_tokens=batch_tokens, precision="float32", average=1),
    )
    fit(settings, out, builtin_pairs("train", 5000), builtin_pairs("valid", 20), quiet=True)


def losses(out: Path) -> list[float]:
    entries = map(json.loads, (out / "metrics.jsonl").read_text(encoding="utf-8").splitlines())
    return [entry["loss"] for entry in entries if "loss" in entry]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--steps", type=int, default=100)
    parser.add_argument("--batch-tokens", type=int, default=1024)
    parser.add_argument("--train", type=Path, help="train into this folder (what the script starts itself with)")
    given = parser.parse_args()
    if given.train:
        train(given.train, given.steps, given.batch_tokens)
        return
    one = [sys.executable]
    two = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2"]
    curves = []
    with tempfile.TemporaryDirectory() as folder:
        for name, python in (("one", one), ("two", two)):
            sizes = ["--steps", str(given.steps), "--batch-tokens", str(given.batch_tokens)]
            subprocess.run([*python, __file__, "--train", f"{folder}/{name}", *sizes], check=True)
            curves.append(losses(Path(folder) / name))
    assert len(curves[0]) == len(curves[1]) == given.steps
    differences = [abs(a - b) for a, b in zip(*curves, strict=True)]
    result = {
        "command": "python benchmarks/two_processes.py",
        "model": "default, additive GRU, dropout 0, float32",
        "data": "built-in corpus, 5,000 pairs",
        "global batch": f"{given.batch_tokens} tokens",
        "steps": given.steps,
        "first loss": curves[0][0],
        "last loss": curves[0][-1],
        "largest difference": max(differences),
        "at step": differences.index(max(differences)) + 1,
        "bar": BAR,
        "met": max(differences) <= BAR,
        "torch": torch.__version__,
    }
    print(json.dumps(result, indent=2))
    RESULT.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
