"""What a recipe does once for each of its models: train it in its folder, and score it."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from regard.config import Settings, TrainConfig
from regard.data.pairs import Pairs
from regard.errors import UserError
from regard.folder import CONFIG, read_config, write

JUDGED = "judged.json"  # in a model's folder: how it was judged, and what came of it


def train_once(settings: Settings, folder: Path, data: Callable[[str], Pairs], about: str, label: str) -> None:
    """Train into `folder` on `data("train")`, validating on `data("valid")`; unless it is done already.

    UserError if that was done, or begun, with other settings.
    """
    from regard.training import fit

    begun, done = _standing(folder, settings, "model", "train")
    if not done:
        fit(settings, folder, data("train"), data("valid"), resume=begun, origin={"set": about}, label=label)


def fine_tune_once(start: Path, folder: Path, data: Callable[[str], Pairs], config: TrainConfig, about: str) -> None:
    """Go on from the model in `start` by self-critical training on BLEU, into `folder`; unless it is done already.

    UserError if that was done, or begun, with other settings.
    """
    from regard.training import fine_tune

    begun, done = _standing(folder, Settings(train=config), "train")
    if not done:
        fine_tune(start, folder, data("train"), data("valid"), config=config, resume=begun, origin={"set": about})


def _standing(folder: Path, settings: Settings, *sections: str) -> tuple[bool, bool]:
    """Whether a run was begun in a folder, and whether it is done; UserError if these sections were others then."""
    if not (folder / CONFIG).exists():
        return False, False
    config = read_config(folder)
    if not config["best_valid"]:
        return True, False
    if difference := settings.difference({name: config[name] for name in sections}):
        raise UserError(f"{folder}: {difference}: delete it to train anew")
    return True, True


def judge_once(folder: Path, how: Mapping[str, Any], judge: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """What `judge` returns, kept in the model's folder so that a test set is scored once.

    how: what was decided beforehand, such as the beam. UserError if the model was judged in another way already.
    """
    path = folder / JUDGED
    if path.exists():
        before: dict[str, Any] = json.loads(path.read_bytes())
        if before.get("how") != how:
            raise UserError(f"{path}: judged with {before.get('how')}, now {dict(how)}: delete it to judge anew")
        return before
    judged = {"how": dict(how), **judge()}
    write(path, (json.dumps(judged, indent=1, ensure_ascii=False) + "\n").encode())
    return judged
