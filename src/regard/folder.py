"""The model folder: what it holds, how it is written so that nothing is ever half there, and how it is read in safety.

    config.json          format version, settings, and how well it did
    tokenizer.json       the subwords
    model.safetensors    the weights that did best on validation, of one step or the mean of several
    metrics.jsonl        a line per log entry
    training/            what only `--resume` needs: the last checkpoint, the weights of the last validations,
                         TensorBoard's logs, the pairs left out, and where the pairs came from (paths of the machine
                         it was trained on)

Everything is JSON or safetensors: opening a folder from a stranger runs none of his code.
"""

import json
import os
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from regard.errors import UserError

if TYPE_CHECKING:
    from torch import Tensor

FORMAT = 1
KIND, KIND_OF_SEEDS = "regard translator", "regard seeds"
CONFIG, TOKENIZER, WEIGHTS, METRICS, TRAINING = (
    "config.json",
    "tokenizer.json",
    "model.safetensors",
    "metrics.jsonl",
    "training",
)

UNSAID = {"model": {"scale_embeddings": False}}  # what folders meant that were written before a setting was there
PARTIAL = ".partial"
SEEDS = "seeds.json"
TENSORBOARD = "tensorboard"  # in TRAINING
ORIGIN = Path(TRAINING) / "data.json"


def write(path: Path, content: bytes) -> None:
    """Replace a file whole or not at all: a temporary file beside it, flushed to the disk, then renamed over it."""
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=PARTIAL)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.chmod(temporary, 0o644)
        os.replace(temporary, path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
    _flush_folder(path.parent)


def sweep(folder: Path) -> None:
    """Delete what `write` had not finished in a model folder when its process was killed."""
    for place in (folder, folder / TRAINING):
        for path in place.glob(f".*{PARTIAL}"):
            path.unlink(missing_ok=True)


def refuse_existing(folder: Path) -> None:
    """UserError unless there is nothing at this path, or a folder with nothing whole in it."""
    if folder.exists() and (not folder.is_dir() or any(path.suffix != PARTIAL for path in folder.iterdir())):
        raise UserError(f"{folder}: exists already; choose another folder, or go on with it by --resume")


def write_config(folder: Path, config: Mapping[str, Any]) -> None:
    """Write `config.json`, stamped with kind and format."""
    stamped = {"kind": KIND, "format": FORMAT, **config}
    write(folder / CONFIG, (json.dumps(stamped, indent=2, ensure_ascii=False) + "\n").encode())


def read_config(folder: Path) -> dict[str, Any]:
    """Read `config.json`; UserError if the folder is missing, foreign, damaged or of a later format."""
    if not folder.is_dir():
        raise UserError(f"{folder}: no such model folder; `regard train` makes one")
    try:
        config = json.loads((folder / CONFIG).read_bytes())
    except FileNotFoundError:
        raise UserError(f"{folder}: not a model folder (no {CONFIG} in it)") from None
    except (ValueError, RecursionError) as error:
        raise UserError(f"{folder / CONFIG}: damaged ({error})") from None
    if not isinstance(config, dict) or config.get("kind") != KIND:
        raise UserError(f"{folder}: not a model folder of regard ({CONFIG} does not say kind: {KIND!r})")
    version = config.get("format")
    if not isinstance(version, int) or version > FORMAT:
        raise UserError(f"{folder}: format {version!r}, this regard reads up to {FORMAT}; update regard")
    for section, settings in UNSAID.items():
        if isinstance(config.get(section), dict):
            config[section] = settings | config[section]
    return config


def write_origin(folder: Path, origin: Mapping[str, Any]) -> None:
    """Remember where the pairs came from, beside the checkpoint that needs them."""
    write(folder / ORIGIN, (json.dumps(origin, indent=2, ensure_ascii=False) + "\n").encode())


def read_origin(folder: Path) -> Any:
    """What `write_origin` wrote; None if there is nothing to be read."""
    try:
        return json.loads((folder / ORIGIN).read_bytes())
    except (OSError, ValueError):
        return None


def write_seeds(folder: Path, runs: Mapping[str, Any]) -> None:
    """Write what a folder of runs that differ in their seed says of them."""
    content = {"kind": KIND_OF_SEEDS, "format": FORMAT, **runs}
    write(folder / SEEDS, (json.dumps(content, indent=2, ensure_ascii=False) + "\n").encode())


def read_seeds(folder: Path) -> dict[str, Any] | None:
    """What `write_seeds` wrote; None where it was not, UserError if it is damaged or of a later format."""
    try:
        runs = json.loads((folder / SEEDS).read_bytes())
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (ValueError, RecursionError) as error:
        raise UserError(f"{folder / SEEDS}: damaged ({error})") from None
    if not isinstance(runs, dict) or (runs.get("kind"), runs.get("format")) != (KIND_OF_SEEDS, FORMAT):
        raise UserError(f"{folder / SEEDS}: not what this regard writes (kind {KIND_OF_SEEDS!r}, format {FORMAT})")
    return runs


def write_weights(folder: Path, weights: Mapping[str, "Tensor"]) -> None:
    """Write the weights as safetensors."""
    write_tensors(folder / WEIGHTS, weights)


def read_weights(folder: Path) -> dict[str, "Tensor"]:
    """Read the weights; UserError if the file is missing or damaged."""
    return read_tensors(folder / WEIGHTS)


def write_tensors(path: Path, tensors: Mapping[str, "Tensor"]) -> None:
    """Write tensors as one safetensors file; one that several names share is written under each."""
    from safetensors.torch import save

    write(path, save({name: tensor.detach().cpu().clone().contiguous() for name, tensor in tensors.items()}))


def read_tensors(path: Path) -> dict[str, "Tensor"]:
    """The tensors of one safetensors file; UserError if it is missing or damaged."""
    from safetensors import SafetensorError
    from safetensors.torch import load

    try:
        return load(path.read_bytes())
    except FileNotFoundError:
        raise UserError(f"{path}: missing") from None
    except (SafetensorError, ValueError) as error:
        raise UserError(f"{path}: damaged, not a safetensors file ({error})") from None


def _flush_folder(folder: Path) -> None:
    """Make the rename itself durable, where the system can."""
    try:
        handle = os.open(folder, os.O_RDONLY)
    except OSError:
        return
    try:
        os.fsync(handle)
    except OSError:
        pass
    finally:
        os.close(handle)
