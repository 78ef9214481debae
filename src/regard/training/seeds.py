"""The same training with several seeds, one after another: how good it is, and how much of that is luck."""

import statistics
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from regard.config import Settings
from regard.data.pairs import Pairs
from regard.errors import UserError
from regard.folder import CONFIG, read_config, read_seeds, refuse_existing, sweep, write_seeds
from regard.training.fit import fit
from regard.training.together import processes


def fit_seeds(
    settings: Settings,
    seeds: Sequence[int],
    folder: Path,
    train: Pairs,
    valid: Pairs | None = None,
    *,
    resume: bool = False,
    quiet: bool = False,
    origin: dict[str, Any] | None = None,
) -> dict[str, Any]:
    """Train into `folder/seed-N` for every seed; returns what `folder/seeds.json` then holds.

    That is, of validation BLEU (greedy): `runs`, each with its best validation, `mean` m = Σ_i b_i / n, and `spread`,
    the sample standard deviation √(Σ_i (b_i − m)²/(n − 1)), None for one seed. Errors and Ctrl-C are those of `fit`;
    with `resume`, runs that are done stay, one that was stopped goes on, and those not begun begin.
    """
    folder = Path(folder)
    about = {"seeds": list(seeds), "settings": _without_seed(settings), "origin": origin or {}}
    with processes() as together:
        if together.leads:
            _begin(folder, about, resume)
        runs: dict[str, Any] = {}
        for seed in seeds:
            out = folder / f"seed-{seed}"
            begun, best = together.leaders(_state(out))
            if not best:
                own = replace(settings, train=replace(settings.train, seed=seed))
                report = fit(
                    own, out, train, valid, resume=begun, quiet=quiet, origin=origin, label=f"training, seed {seed}"
                )
                best = report.best_valid
            runs[str(seed)] = best
            found = about | {"runs": runs} | summary([run["valid_bleu"] for run in runs.values()])
            if together.leads:
                write_seeds(folder, found)
    return found


def summary(bleus: Sequence[float]) -> dict[str, float | None]:
    """Mean and sample standard deviation."""
    spread = statistics.stdev(bleus) if len(bleus) > 1 else None
    return {"mean": statistics.fmean(bleus), "spread": spread}


def _begin(folder: Path, about: dict[str, Any], resume: bool) -> None:
    before = read_seeds(folder) if resume else None
    if before is None:
        refuse_existing(folder)
        folder.mkdir(parents=True, exist_ok=True)
        write_seeds(folder, about)
        return
    sweep(folder)
    for name in ("seeds", "settings"):
        if before[name] != about[name]:
            raise UserError(f"{name} were {before[name]} in the runs to be resumed and are {about[name]} now")
    if len(before.get("runs", {})) == len(about["seeds"]):
        raise UserError(f"{folder}: training is done with all seeds; nothing is left to resume")


def _state(folder: Path) -> tuple[bool, Any]:
    """Whether a run has begun, and its best validation if it is done."""
    begun = (folder / CONFIG).exists()
    return begun, read_config(folder)["best_valid"] if begun else None


def _without_seed(settings: Settings) -> dict[str, Any]:
    mapping = settings.to_mapping()
    del mapping["train"]["seed"]
    return mapping
