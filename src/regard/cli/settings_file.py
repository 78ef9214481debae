"""Settings as YAML: a user's file, read strictly, and the reference of all settings, made from `config.py` itself."""

from __future__ import annotations

import ast
import inspect
import io
import json
import re
import tokenize
from dataclasses import fields
from functools import cache
from pathlib import Path
from typing import Any, get_args, get_type_hints

from regard.config import ModelConfig, TrainConfig
from regard.errors import UserError

SECTIONS = {"model": ModelConfig, "train": TrainConfig}
HEAD = """\
# Every setting of `regard train` and its default. Keep what you change, and give the file with --config FILE.YAML.
# A key that does not exist is refused, with the nearest one that does. null: unset.
"""


def reference() -> str:
    """A YAML file of every setting with its default, its meaning and its choices."""
    text = HEAD
    for section, kind in SECTIONS.items():
        text += f"\n{section}:\n"
        meanings = comments(kind)
        entries = {field.name: f"{field.name}: {_yaml(field.default)}" for field in fields(kind)}  # type: ignore[arg-type]
        width = max(map(len, entries.values()))
        for name, entry in entries.items():
            text += f"  {entry.ljust(width)}  # {meanings[name]}{_choices(kind, name)}\n"
    return text


@cache
def comments(kind: type) -> dict[str, str]:
    """What the source says of each field of a settings class, behind it."""
    source = inspect.getsource(kind)
    tokens = tokenize.generate_tokens(io.StringIO(source).readline)
    by_line = {token.start[0]: token.string.lstrip("# ") for token in tokens if token.type == tokenize.COMMENT}
    (body,) = ast.parse(source).body
    assert isinstance(body, ast.ClassDef)
    return {
        part.target.id: by_line[part.lineno]
        for part in body.body
        if isinstance(part, ast.AnnAssign) and isinstance(part.target, ast.Name)
    }


def choices(kind: type, name: str) -> list[str]:
    """The words a setting chooses from, if it does."""
    hint = get_type_hints(kind)[name]
    return [choice for part in (hint, *get_args(hint)) for choice in get_args(part) if isinstance(choice, str)]


def _choices(kind: type, name: str) -> str:
    words = choices(kind, name)
    return f" ({', '.join(words)})" if words else ""


def _yaml(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def read_yaml(path: Path) -> dict[str, Any]:
    """The settings in a file; UserError if it cannot be read, is not YAML, or gives a setting twice."""
    try:
        import yaml
    except ImportError:
        raise UserError('--config needs PyYAML, which is not here: pip install "regard[train]"') from None

    class Strict(yaml.SafeLoader):
        """Reads 1e-3 as the number it is, and refuses a key that comes twice: the second would win in silence."""

        def construct_mapping(self, node: Any, deep: bool = False) -> dict[Any, Any]:
            keys = [key.value for key, _ in node.value]
            if twice := [key for key in keys if keys.count(key) > 1]:
                raise UserError(f"{path}: {twice[0]!r} is given twice")
            return super().construct_mapping(node, deep)

    Strict.add_implicit_resolver(
        "tag:yaml.org,2002:float", re.compile(r"[-+]?\d+(\.\d*)?[eE][-+]?\d+$"), list("-+0123456789")
    )
    try:
        mapping = yaml.load(path.read_text(encoding="utf-8"), Strict)
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{path}: cannot be read ({error})") from None
    except yaml.YAMLError as error:
        raise UserError(f"{path}: not YAML ({error})") from None
    if not isinstance(mapping, dict):
        raise UserError(f"{path}: expected settings under `model:` and `train:`, got {mapping!r}")
    return mapping
