"""What a test file holds, by name: for the tests that say which test proves a thing."""

from __future__ import annotations

import ast
from functools import cache
from pathlib import Path

TESTS = Path(__file__).resolve().parents[1]


@cache
def named(file: str) -> frozenset[str]:
    """The names of the functions of a file of tests/, and of what it assigns."""
    body = ast.parse((TESTS / file).read_text(encoding="utf-8")).body
    assigned = (target for node in body if isinstance(node, ast.Assign) for target in node.targets)
    return frozenset(
        [node.name for node in body if isinstance(node, ast.FunctionDef)]
        + [target.id for target in assigned if isinstance(target, ast.Name)]
    )


def there(place: str) -> bool:
    """Whether a test is there, written as `layers/test_memory.py::test_one_hop`."""
    file, _, name = place.partition("::")
    return name in named(file)
