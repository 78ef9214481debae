"""The models that come with the package: a folder each, in `regard/pretrained/`, found by name."""

from importlib.resources import files
from pathlib import Path

from regard.errors import UserError

DEFAULT = "en-fr"


def names() -> list[str]:
    """The names of the models that came along."""
    folder = _folder()
    return sorted(path.name for path in folder.iterdir() if (path / "config.json").is_file()) if folder.is_dir() else []


def find(model: str | Path) -> Path:
    """The folder of a model: the path, if it is there, else the model of that name; UserError where neither is."""
    path = Path(model)
    if path.exists():
        return path
    known = names()
    if str(model) in known:
        return _folder() / str(model)
    raise UserError(
        f"{model}: no such model folder, and no model of that name comes with regard "
        f"(those that do: {', '.join(known) or 'none'}); `regard train` makes one"
    )


def _folder() -> Path:
    return Path(str(files("regard"))) / "pretrained"
