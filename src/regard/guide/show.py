"""A page in the terminal, and its picture as a file."""

from __future__ import annotations

import re
from pathlib import Path

from rich.console import Console
from rich.syntax import Syntax
from rich.table import Table
from rich.text import Text

from regard.guide.page import Page
from regard.guide.registry import pages
from regard.observe.terminal import matrix

WIDEST = 100  # characters; longer lines of prose are hard to follow


def listed() -> Table:
    """Number, name and one line of every mechanism."""
    table = Table.grid(padding=(0, 2, 0, 0))
    table.add_column(justify="right")
    for page in pages():
        table.add_row(str(page.number), Text(page.name, style="bold"), Text(page.line))
    return table


def show(page: Page, console: Console) -> None:
    """Print the page, the picture last."""
    width = min(console.width, WIDEST)
    picture = page.draw()
    console.print(Text(f"{page.number}  {page.title}", style="bold"))
    _say(console, page.definition, width)
    _part(console, "Equation", Text(page.equation), width)
    _say(console, page.explanation, width)
    if page.differs:
        _part(console, "Two forms", prose(page.differs), width)
    _part(console, "As if", prose(page.analogy), width)
    _code(console, "The input", page.setup)
    _code(console, "Three lines", page.code)
    _part(console, "What one sees", prose(page.seen), width)
    console.print()
    console.print(matrix(picture.weights, picture.rows, picture.columns, width=width, caption=picture.caption))
    sources = "\n".join(f"{source.paper}, {source.address}" for source in page.sources)
    _part(console, "Source", Text(sources), width)


def save(page: Page, path: str | Path) -> None:
    """The page's picture as PNG or SVG, as the path's ending says; raises UserError for another, or no such folder."""
    from regard.observe import figure

    made = page.draw()
    drawn = figure.alignment(made.weights, made.rows, made.columns, title=page.title, caption=made.caption)
    figure.save(drawn, path)


def prose(text: str) -> Text:
    """Text without the marks that the documentation reads: *emphasis*, **more of it**, `names`."""
    shown = Text()
    for part in re.split(r"(\*\*[^*]+\*\*|\*[^*\s][^*]*\*|`[^`]+`)", text):
        if part[:2] == "**":
            shown.append(part[2:-2], style="bold")
        elif part[:1] == "*" and len(part) > 2:
            shown.append(part[1:-1], style="italic")
        elif part[:1] == "`":
            shown.append(part[1:-1], style="cyan")
        else:
            shown.append(part)
    return shown


def _say(console: Console, text: str, width: int) -> None:
    console.print()
    console.print(prose(text), width=width)


def _part(console: Console, title: str, body: Text, width: int) -> None:
    console.print()
    console.print(Text(title, style="bold"))
    for line in body.wrap(console, max(width - 2, 1)):
        line.rstrip()
        console.print(Text("  ") + line)


def _code(console: Console, title: str, code: str) -> None:
    """Lines as they are, to be copied: the terminal breaks those that are too long for it."""
    console.print()
    console.print(Text(title, style="bold"))
    console.print(Syntax("", "python", theme="ansi_dark").highlight(code.rstrip()), soft_wrap=True)
