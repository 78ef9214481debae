"""Finds the pages: every file in `mechanisms/` with a `PAGE`."""

from __future__ import annotations

import difflib
import pkgutil
from functools import cache
from importlib import import_module

from regard.errors import UserError
from regard.guide import mechanisms
from regard.guide.page import Page


@cache
def pages() -> tuple[Page, ...]:
    """All pages, by number."""
    files = pkgutil.iter_modules(mechanisms.__path__)
    return tuple(
        sorted((import_module(f"{mechanisms.__name__}.{file.name}").PAGE for file in files), key=lambda p: p.number)
    )


def find(name: str) -> Page:
    """The page of a name or a number; raises UserError, with what was perhaps meant, where there is none."""
    for page in pages():
        if name.strip().lower() in (page.name, str(page.number)):
            return page
    near = difflib.get_close_matches(name.lower(), [page.name for page in pages()], 1, 0.5)
    meant = f"did you mean {near[0]}? " if near else ""
    raise UserError(f"{name}: no mechanism of that name; {meant}regard guide lists them")
