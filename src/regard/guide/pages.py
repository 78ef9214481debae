"""The guide as documentation: `python -m regard.guide.pages docs/guide` writes a page and a picture a mechanism."""

from __future__ import annotations

import sys
from pathlib import Path

from regard.guide.page import Page
from regard.guide.registry import pages
from regard.guide.show import save

MADE = "<!-- Made by `python -m regard.guide.pages docs/guide`; its text is in src/regard/guide/mechanisms/. -->"


def markdown(page: Page) -> str:
    """The page as Markdown."""
    sources = "\n".join(f"- [{source.paper}]({source.address})" for source in page.sources)
    parts = [
        MADE,
        f"# {page.number}. {page.title}",
        page.definition,
        f"```math\n{page.latex}\n```",
        page.explanation,
        *([f"## Two forms\n\n{page.differs}"] if page.differs else []),
        f"## As if\n\n{page.analogy}",
        f"## In code\n\nAn input on which one sees it:\n\n```python\n{page.setup}```",
        f"and three lines:\n\n```python\n{page.code}```",
        f"## What one sees\n\n{page.seen}\n\n![{page.title}, as a picture]({page.name}.svg)",
        f"`regard guide {page.name}` shows this page in the terminal, `regard guide {page.name} --check` measures the "
        "mechanism against its oracle.",
        f"## Source\n\n{sources}",
    ]
    return "\n\n".join(parts) + "\n"


def index() -> str:
    """The list of all pages."""
    rows = "\n".join(f"| {page.number} | [{page.title}]({page.name}.md) | {page.line} |" for page in pages())
    return (
        f"{MADE}\n\n# The guide\n\nEvery mechanism is [one equation](../equation.md) with another choice of parts. "
        "Each page has its definition, equation, an explanation, an analogy, code, and a picture that the code made. "
        "`regard guide` lists them in the terminal; `regard guide --check` runs all their code and measures each "
        f"against its oracle.\n\n| # | mechanism | what it does |\n|---|---|---|\n{rows}\n"
    )


def write(folder: Path) -> None:
    """Write index, pages and pictures into the folder, which is made if need be."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "index.md").write_text(index(), encoding="utf-8")
    for page in pages():
        (folder / f"{page.name}.md").write_text(markdown(page), encoding="utf-8")
        save(page, folder / f"{page.name}.svg")


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("usage: python -m regard.guide.pages FOLDER")
    write(Path(sys.argv[1]))
