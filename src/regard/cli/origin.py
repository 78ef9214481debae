"""Where the pairs to train on come from, as options say it and as a model folder remembers it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from regard.cli.options import builtin, check_one_origin
from regard.data.pairs import Pairs, read_pairs
from regard.data.sets import read_set
from regard.errors import UserError

TRAINING_FILES, VALIDATION_FILES = ("pairs", "source", "target"), ("valid", "valid_source", "valid_target")

ValidFile = Annotated[Path | None, typer.Option("--valid", metavar="FILE", help="Pairs to validate on, as PAIRS.TSV.")]
ValidSourceFile = Annotated[
    Path | None, typer.Option("--valid-source", metavar="FILE", help="The same in two files: source.")
]
ValidTargetFile = Annotated[
    Path | None, typer.Option("--valid-target", metavar="FILE", help="The same in two files: target.")
]


def origin_of(given: dict[str, Any], earlier: Any, folder: Path) -> dict[str, Any]:
    """Where the pairs come from, as the model folder remembers it; what it remembers already where nothing is given."""
    files = {name: str(given[name].absolute()) for name in TRAINING_FILES + VALIDATION_FILES if given[name] is not None}
    public = given["public"]
    check_one_origin([given[name] for name in TRAINING_FILES if name in files], public)
    if public:
        where = {"languages": given["languages"], "data_dir": str(given["data_dir"].absolute())}
        return {"corpus": public, "files": files} | where
    if earlier is not None and not files:
        if not isinstance(earlier, dict) or not isinstance(earlier.get("files"), dict):
            raise UserError(f"{folder} does not say which pairs it was trained on: give them again")
        return earlier
    return {"corpus": None if any(name in files for name in TRAINING_FILES) else "built-in", "files": files}


def read_pairs_of(origin: dict[str, Any]) -> tuple[Pairs, Pairs | None]:
    """The pairs to train on and those to validate on; None keeps some of the first for that."""
    files = {name: Path(path) for name, path in origin["files"].items()}
    valid: Pairs | None = None
    if origin.get("corpus") == "built-in":
        train, valid = builtin("train"), builtin("valid")
    elif origin.get("corpus"):
        where = origin["languages"], Path(origin["data_dir"])
        train, valid = (read_set(origin["corpus"], split, *where) for split in ("train", "valid"))
    else:
        train = _files(files, TRAINING_FILES)
    if any(name in files for name in VALIDATION_FILES):
        valid = _files(files, VALIDATION_FILES)
    return train, valid


def _files(files: dict[str, Path], names: tuple[str, str, str]) -> Pairs:
    tsv, source, target = (files.get(name) for name in names)
    return read_pairs(tsv, source=source, target=target)
