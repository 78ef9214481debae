"""The attention matrix in the terminal: rows are source words, columns target words, every cell its weight.

Each column is one α_t, the reading of the source that went with one output word. Where the terminal has colours, a
cell is painted on a fixed scale from 0 to 1 that runs from dark to bright (so it needs no colour vision) and carries
its number; elsewhere the number stands beside a mark that grows denser. The scale is printed below. A matrix wider
than the terminal is cut into panels that repeat the source words.
"""

from __future__ import annotations

import math
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from rich.cells import cell_len, set_cell_size
from rich.console import Console, ConsoleOptions, RenderResult
from rich.style import Style
from rich.text import Text

from regard.observe.words import check, shown

CAPTION = "It shows where information was read, not why the output was produced."
SMALLEST_SHOWN = 0.005
LONGEST_WORD = 18
# The scale's anchors at 0, 1/8, ..., 1: from near black over violet and red to pale yellow, lightness always rising.
SCALE = (
    (13, 14, 28),
    (37, 20, 76),
    (81, 18, 124),
    (122, 33, 129),
    (168, 46, 126),
    (216, 69, 108),
    (246, 110, 92),
    (254, 176, 120),
    (252, 240, 180),
)
MARKS = ((0.75, "█", "#"), (0.5, "▓", "+"), (0.25, "▒", "-"), (0.05, "░", ":"))


def matrix(
    weights: np.ndarray,
    source_words: Sequence[str],
    target_words: Sequence[str],
    *,
    title: str | None = None,
    width: int | None = None,
    caption: str | None = None,
) -> AlignmentMatrix:
    """The matrix as something `rich` prints.

    weights: (target words, source words), each row one α_t; drawn transposed, each column one α_t.
    source_words, target_words: as they are to be read; markup and control characters in them do nothing.
    title: a line above the matrix.
    width: characters to use at most; None takes the terminal's.
    caption: what stands below; None says that rows are source words, columns target words, and what columns sum to.
    Raises ValueError for weights of another shape or that are not finite.
    """
    return AlignmentMatrix(
        check(weights, source_words, target_words), tuple(source_words), tuple(target_words), title, width, caption
    )


@dataclass(frozen=True, eq=False)
class AlignmentMatrix:
    """What `matrix` returns; print it with a `rich` console."""

    weights: np.ndarray
    source_words: tuple[str, ...]
    target_words: tuple[str, ...]
    title: str | None = None
    width: int | None = None
    caption: str | None = None

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        width = min(self.width or options.max_width, options.max_width)
        coloured = console.color_system in ("256", "truecolor") and not console.no_color
        for line in _Drawing(self, width, coloured, options.encoding).lines():
            yield from line.wrap(console, width)


class _Drawing:
    """One matrix on one kind of terminal: its width, whether it has colours, what its encoding can write."""

    def __init__(self, matrix: AlignmentMatrix, width: int, coloured: bool, encoding: str) -> None:
        self.matrix = matrix
        self.width = width
        self.coloured = coloured
        self.encoding = encoding
        self.ascii = not encoding.lower().startswith("utf")
        self.alpha = "alpha" if self.ascii else "α"
        self.narrowest = 5 if coloured else 6
        self.sources = [self.word(word) for word in matrix.source_words]
        self.targets = [self.word(word) for word in matrix.target_words]
        longest = max((cell_len(word) for word in self.sources), default=0)
        self.label_width = min(longest, LONGEST_WORD, max(4, width // 3))

    def word(self, word: str) -> str:
        """The word with only what this terminal's encoding can write, accents dropped where need be."""
        return "".join(_encodable(character, self.encoding) for character in shown(word))

    def lines(self) -> Iterator[Text]:
        """Title, panels, scale and caption, line by line."""
        if self.matrix.title:
            yield Text(self.word(self.matrix.title), style="bold")
        if not self.sources or not self.targets:
            yield Text("(nothing to draw: no source words or no target words)")
            return
        panels = self.panels()
        for panel in panels:
            if len(panels) > 1:
                what = "target words" if self.matrix.caption is None else "columns"
                span = f"{what} {panel[0] + 1} to {panel[-1] + 1} of {len(self.targets)}"
                yield Text(span, style="dim")
            yield from self.panel(panel)
            yield Text()
        yield from self.scale()
        usual = f"Rows: source words. Columns: target words. {self.sums()} {CAPTION}"
        yield Text(usual if self.matrix.caption is None else self.word(self.matrix.caption), style="dim")

    def panels(self) -> list[list[int]]:
        """The target words' indices, as many a panel as fit."""
        space = self.width - self.label_width - 1
        filled: list[list[int]] = [[]]
        used = 0
        for column, cells in enumerate(self.column_widths()):
            if filled[-1] and used + cells > space:
                filled.append([])
                used = 0
            filled[-1].append(column)
            used += cells
        return filled

    def column_widths(self) -> list[int]:
        """Characters for each column: the word and a space at each side, within reason."""
        space = max(self.narrowest, self.width - self.label_width - 1)
        return [min(max(self.narrowest, cell_len(word) + 2), LONGEST_WORD + 2, space) for word in self.targets]

    def panel(self, columns: list[int]) -> Iterator[Text]:
        """One panel: the target words, then a row for each source word."""
        widths = self.column_widths()
        heading = Text(" " * (self.label_width + 1), no_wrap=True)
        for column in columns:
            heading.append(self.centred(self.targets[column], widths[column]), style="bold")
        heading.rstrip()
        yield heading
        for row, word in enumerate(self.sources):
            label = self.fitted(word, min(self.label_width, cell_len(word)))
            line = Text(" " * (self.label_width - cell_len(label)) + label + " ", no_wrap=True)
            for column in columns:
                line.append_text(self.cell(float(self.matrix.weights[column, row]), widths[column]))
            if not self.coloured:
                line.rstrip()
            yield line

    def cell(self, weight: float, width: int) -> Text:
        """One weight: painted and numbered, or marked and numbered where there is no colour."""
        number = _number(weight, "." if self.ascii else "·")
        if self.coloured:
            return Text(number.center(width), style=_painted(weight))
        mark = next((plain if self.ascii else block for least, block, plain in MARKS if weight >= least), " ")
        return Text((mark * 2 + number.rjust(3)).center(width))

    def scale(self) -> Iterator[Text]:
        """The scale, in the same cells as the matrix."""
        nothing = f"{'.' if self.ascii else '·'} < {_number(SMALLEST_SHOWN, '', digits=3)}"
        line = Text(f"weight {self.alpha}: ")
        if self.coloured:
            steps = 10 if self.width >= 76 else 4
            for step in range(steps + 1):
                line.append_text(self.cell(step / steps, self.narrowest))
            line.append(f"  {nothing}")
        else:
            for least, block, plain in reversed(MARKS):
                line.append(
                    f"{(plain if self.ascii else block) * 2} {'>=' if self.ascii else '≥'} {_number(least, '')}  "
                )
            line.append(nothing)
        yield line

    def sums(self) -> str:
        """What the columns sum to, as it is."""
        totals = self.matrix.weights.sum(axis=1)
        if np.abs(totals - 1).max() < SMALLEST_SHOWN:
            return f"Each column is one {self.alpha}_t and sums to 1."
        return f"Each column is one {self.alpha}_t; the sums run from {totals.min():.2f} to {totals.max():.2f}."

    def centred(self, word: str, width: int) -> str:
        """The word in the middle of `width` characters, cut with a sign where it is too long."""
        fitted = self.fitted(word, min(width - 2, cell_len(word)))
        left = (width - cell_len(fitted)) // 2
        return " " * left + fitted + " " * (width - left - cell_len(fitted))

    def fitted(self, word: str, width: int) -> str:
        """The word in exactly `width` characters, cut with a sign where it is too long."""
        if cell_len(word) <= width:
            return set_cell_size(word, width)
        return set_cell_size(word, width - 1) + ("~" if self.ascii else "…")


def _encodable(character: str, encoding: str) -> str:
    for candidate in (character, unicodedata.normalize("NFKD", character)[0], "?"):
        try:
            candidate.encode(encoding)
        except (UnicodeEncodeError, LookupError):
            continue
        return candidate
    return "?"


def _number(weight: float, nothing: str, digits: int = 2) -> str:
    if abs(weight) < SMALLEST_SHOWN:
        return nothing
    text = f"{weight:.{digits}f}"
    if text == "1.00":
        return "1.0"
    return text.replace("0.", ".", 1)


def _painted(weight: float) -> Style:
    red, green, blue = colour(weight)
    bright = 0.299 * red + 0.587 * green + 0.114 * blue > 120
    ink = "#000000" if bright else ("#ffffff" if weight >= SMALLEST_SHOWN else "#77778a")
    return Style.parse(f"{ink} on #{red:02x}{green:02x}{blue:02x}")


def colour(weight: float) -> tuple[int, int, int]:
    """Red, green and blue, 0 to 255, for a weight; outside 0 to 1 the nearest end."""
    place = min(max(weight, 0.0), 1.0) * (len(SCALE) - 1)
    low = min(math.floor(place), len(SCALE) - 2)
    share = place - low
    red, green, blue = (round(a + (b - a) * share) for a, b in zip(SCALE[low], SCALE[low + 1], strict=True))
    return red, green, blue
