"""Checkpoints without pickle: Lightning's nested dictionary as tensors in safetensors and the rest as JSON beside them.

One file, replaced whole or not at all. A tensor is replaced by its number, and a dictionary whose keys are not all
strings, or a tuple, by a tagged list, so that reading gives back exactly what was written.
"""

import json
from pathlib import Path
from typing import Any

import torch
from lightning.fabric.plugins.io import CheckpointIO
from safetensors import SafetensorError, safe_open
from safetensors.torch import save

from regard.errors import UserError
from regard.folder import write

TAG = "regard:"
FORMAT = 2  # 1 was Lightning's automatic optimisation and the weights' best alone


def pack(tree: Any, tensors: dict[str, torch.Tensor]) -> Any:
    """The tree as JSON can hold it; its tensors go to `tensors` under their numbers."""
    if isinstance(tree, torch.Tensor):
        name = str(len(tensors))
        tensors[name] = tree.detach().clone().contiguous()
        return {f"{TAG}tensor": name}
    if isinstance(tree, dict):
        if all(isinstance(key, str) and not key.startswith(TAG) for key in tree):
            return {key: pack(value, tensors) for key, value in tree.items()}
        return {f"{TAG}dict": [[pack(key, tensors), pack(value, tensors)] for key, value in tree.items()]}
    if isinstance(tree, tuple):
        return {f"{TAG}tuple": [pack(value, tensors) for value in tree]}
    if isinstance(tree, list):
        return [pack(value, tensors) for value in tree]
    if tree is None or isinstance(tree, bool | int | float | str):
        return tree
    raise TypeError(f"a checkpoint cannot hold a {type(tree).__name__}: {tree!r}")


def unpack(tree: Any, tensors: dict[str, torch.Tensor]) -> Any:
    """The inverse of `pack`."""
    if isinstance(tree, list):
        return [unpack(value, tensors) for value in tree]
    if not isinstance(tree, dict):
        return tree
    if f"{TAG}tensor" in tree:
        return tensors[tree[f"{TAG}tensor"]]
    if f"{TAG}tuple" in tree:
        return tuple(unpack(value, tensors) for value in tree[f"{TAG}tuple"])
    if f"{TAG}dict" in tree:
        return {unpack(key, tensors): unpack(value, tensors) for key, value in tree[f"{TAG}dict"]}
    return {key: unpack(value, tensors) for key, value in tree.items()}


def write_checkpoint(tree: Any, path: Path) -> None:
    """Write any tree of dictionaries, lists, tuples, tensors, numbers and strings."""
    tensors: dict[str, torch.Tensor] = {}
    packed = pack(tree, tensors)
    write(path, save(tensors, metadata={"format": str(FORMAT), "tree": json.dumps(packed)}))


def read_checkpoint(path: Path) -> Any:
    """Read what `write_checkpoint` wrote; UserError if the file is missing, damaged or of another format."""
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            version = int(metadata.get("format", 1))
            if version == FORMAT:
                tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
                return unpack(json.loads(metadata["tree"]), tensors)
    except FileNotFoundError:
        raise UserError(f"{path}: no checkpoint to resume from") from None
    except (SafetensorError, KeyError, ValueError, OSError) as error:
        raise UserError(f"{path}: a damaged checkpoint ({error})") from None
    age, cure = ("a later", "update regard") if version > FORMAT else ("an earlier", "train anew")
    raise UserError(f"{path}: a checkpoint of {age} format ({version}; this regard's is {FORMAT}): {cure}")


class SafeCheckpointIO(CheckpointIO):
    """Lightning's reader and writer of checkpoints, through `read_checkpoint` and `write_checkpoint`."""

    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, storage_options: Any = None) -> None:
        """Write a checkpoint."""
        write_checkpoint(checkpoint, Path(path))

    def load_checkpoint(self, path: Any, map_location: Any = None, weights_only: bool | None = None) -> dict[str, Any]:
        """Read a checkpoint."""
        return read_checkpoint(Path(path))

    def remove_checkpoint(self, path: Any) -> None:
        """Delete a checkpoint."""
        Path(path).unlink(missing_ok=True)
