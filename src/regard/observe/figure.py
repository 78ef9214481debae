"""Pictures as PNG and SVG: the attention matrix, and BLEU by source length.

Figures are built without pyplot, so nothing global changes and no window is needed. Weights are painted on the same
fixed scale as in the terminal. Words are drawn as they are, never read as formulas. The same figure saved twice as
SVG gives the same bytes; its text stays text, and a title and a description in words travel in the file.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from textwrap import wrap
from typing import TYPE_CHECKING, Any

import numpy as np
from rich.cells import cell_len, set_cell_size

from regard.errors import UserError
from regard.observe.terminal import CAPTION, SCALE, SMALLEST_SHOWN, colour
from regard.observe.words import check, shown

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.colors import Colormap
    from matplotlib.figure import Figure
    from matplotlib.image import AxesImage

LONGEST_LABEL = 24
NUMBERS_UP_TO = 24
LEVEL_UP_TO = 8  # so few target words get columns wide enough to be written level
# Okabe and Ito's colours, told apart with any colour vision; each line has a mark of its own besides.
LINES = (("#0072B2", "o"), ("#D55E00", "s"), ("#009E73", "^"), ("#CC79A7", "D"), ("#E69F00", "v"), ("#56B4E9", "P"))
# The first is part of matplotlib; the others write scripts it lacks, and are used where they are installed.
FONTS = (
    "DejaVu Sans",
    "Noto Sans CJK SC",
    "Noto Sans CJK JP",
    "Noto Sans Arabic",
    "Arial Unicode MS",
    "Microsoft YaHei",
)


def alignment(
    weights: np.ndarray,
    source_words: Sequence[str],
    target_words: Sequence[str],
    *,
    title: str | None = None,
    caption: str | None = None,
) -> Figure:
    """The attention matrix: rows source words, columns target words, each column one α_t.

    weights: (target words, source words), each row one α_t.
    title: the picture's title; None takes "Attention, word by word".
    caption: what stands below; None says that rows are source words and columns target words.
    Raises ValueError for weights of another shape or that are not finite, UserError without words or matplotlib.
    """
    weights = check(weights, source_words, target_words)
    if not weights.size:
        raise UserError("an attention picture needs at least one source word and one target word")
    numbered = max(weights.shape) <= NUMBERS_UP_TO
    cell, font = (0.5, 10) if numbered else (0.26, 8)  # inches, points
    sources, targets = word_labels(source_words), word_labels(target_words)
    column = _level_width(targets, font) if len(targets) <= LEVEL_UP_TO else cell
    width, height = max(weights.shape[0] * max(cell, column), 2.4), max(weights.shape[1] * cell, 1.2)
    figure, axes = new_figure(width, height, room_right=1.0)
    image = axes.imshow(weights.T, cmap=_colours(), vmin=0, vmax=1, aspect="auto", interpolation="nearest")
    _write_words(axes, sources, targets, font, width / weights.shape[0])
    if numbered:
        _write_numbers(axes, weights)
    _colour_bar(figure, image, width, height)
    axes.set_title(title or "Attention, word by word", fontsize=12, pad=10, parse_math=False)
    usual = ["rows: source words · columns: target words, each column one α_t", CAPTION]
    _caption(axes, usual if caption is None else wrap(caption, 64))
    told = _in_words(weights, source_words, target_words)
    figure.set_label(told if caption is None else f"{title}. {caption}")
    return figure


def lengths(
    curves: Mapping[str, Mapping[str, float | None]],
    *,
    title: str = "BLEU by source length",
    caption: str | None = None,
) -> Figure:
    """BLEU against source length, one line a system, each named at its end.

    curves: for each system, BLEU from 0 to 100 by the bin's label, shortest first; None where the bin is empty.
        All systems have the same bins.
    caption: a line below the picture, such as the scores' signature.
    Raises ValueError for no curves and for curves over different bins, UserError without matplotlib.
    """
    bins = [list(curve) for curve in curves.values()]
    if not bins or not bins[0] or any(labels != bins[0] for labels in bins):
        raise ValueError(f"expected one or more curves over the same bins, got bins {bins}")
    figure, axes = new_figure(6.0, 3.6, room_right=0.2)
    ends: list[tuple[str, float, str]] = []
    for (system, curve), (ink, mark) in zip(curves.items(), _cycled(len(curves)), strict=True):
        points = [(x, score) for x, score in enumerate(curve.values()) if score is not None]
        axes.plot([x for x, _ in points], [y for _, y in points], color=ink, marker=mark, linewidth=2, clip_on=False)
        if points:
            ends.append((system, points[-1][1], ink))
    _write_scores(axes, [list(curve.values()) for curve in curves.values()])
    for (system, _, ink), height in zip(ends, _apart([end[1] for end in ends], gap=7.0), strict=True):
        axes.text(len(bins[0]) - 0.85, height, system, color=ink, va="center", fontsize=10, parse_math=False)
    axes.set_xticks(range(len(bins[0])), bins[0], parse_math=False)
    axes.set_xlim(-0.15, len(bins[0]) - 0.9)
    axes.set_ylim(0, 100)
    axes.set_xlabel("words in the source sentence")
    axes.set_ylabel("BLEU")
    axes.grid(axis="y", color="#dddddd", linewidth=0.8)
    axes.spines[["top", "right"]].set_visible(False)
    axes.set_title(title, fontsize=12, pad=22, parse_math=False)
    if caption:
        axes.annotate(
            caption, (0.5, 0), (0, -46), xycoords="axes fraction", textcoords="offset points",
            ha="center", va="top", fontsize=7, color="#555555", parse_math=False,
        )  # fmt: skip
    figure.set_label(_curves_in_words(curves))
    return figure


def save(figure: Figure, path: str | Path) -> None:
    """Write the figure as PNG or SVG, as the path's ending says, with its title and its description in words.

    Raises UserError for another ending or a folder that is not there.
    """
    path = Path(path)
    kind = path.suffix.lower()
    if kind not in (".png", ".svg"):
        raise UserError(f"{path}: pictures are saved as .png or .svg, not {kind or 'without an ending'}")
    if not path.absolute().parent.is_dir():
        raise UserError(f"{path}: there is no folder {path.absolute().parent}: make it first")
    import matplotlib

    metadata: dict[str, Any] = {"Title": figure.axes[0].get_title(), "Description": str(figure.get_label())}
    if kind == ".svg":
        metadata["Date"] = None
    # Without a fixed salt and with a date, the same picture would differ from run to run.
    with matplotlib.rc_context({"svg.hashsalt": "regard", "svg.fonttype": "none"}):
        figure.savefig(path, dpi=150, bbox_inches="tight", pad_inches=0.15, metadata=metadata)


def new_figure(width: float, height: float, room_right: float) -> tuple[Figure, Axes]:
    """A figure whose axes are `width` × `height` inches; words stand around them, and `save` makes room for them."""
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError:
        raise UserError('pictures need matplotlib, which is not here: pip install "regard[lens]"') from None
    figure = Figure(figsize=(width + room_right, height), facecolor="white")
    FigureCanvasAgg(figure)
    return figure, figure.add_axes((0, 0, width / (width + room_right), 1))


def _write_words(axes: Axes, sources: list[str], targets: list[str], font: int, column: float) -> None:
    """The words at the cells: level where the longest fits its column (in inches), else all slanted."""
    level = _level_width(targets, font) <= column
    turned: dict[str, Any] = {} if level else {"rotation": 45, "ha": "left", "rotation_mode": "anchor"}
    family = word_fonts()
    axes.xaxis.tick_top()
    axes.set_xticks(range(len(targets)), targets, fontsize=font, family=family, parse_math=False, **turned)
    axes.set_yticks(range(len(sources)), sources, fontsize=font, family=family, parse_math=False)
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)


def _level_width(words: list[str], font: int) -> float:
    """Inches that the longest word takes when written level, with a little air."""
    return (max(cell_len(word) for word in words) * 0.62 + 0.8) * font / 72


def _write_numbers(axes: Axes, weights: np.ndarray) -> None:
    for (column, row), weight in np.ndenumerate(weights):
        if abs(weight) >= SMALLEST_SHOWN:
            red, green, blue = colour(float(weight))
            ink = "black" if 0.299 * red + 0.587 * green + 0.114 * blue > 120 else "white"
            axes.text(column, row, f"{weight:.2f}", ha="center", va="center", fontsize=8, color=ink)


def _colour_bar(figure: Figure, image: AxesImage, width: float, height: float) -> None:
    total = figure.get_figwidth()
    bar_height = min(height, 4.0)
    place = figure.add_axes(((width + 0.25) / total, 1 - bar_height / height, 0.16 / total, bar_height / height))
    figure.colorbar(image, cax=place, ticks=[0, 0.25, 0.5, 0.75, 1]).set_label("attention weight α")


def _write_scores(axes: Axes, curves: Sequence[Sequence[float | None]]) -> None:
    """Each point's score beside it: the lowest of several below its point, the others above theirs, none on another."""
    for x, scores in enumerate(zip(*curves, strict=True)):
        there = [
            (score, ink) for score, (ink, _) in zip(scores, _cycled(len(scores)), strict=True) if score is not None
        ]
        there.sort()
        if len(there) > 1 and there[0][0] > 8:
            score, ink = there.pop(0)
            _write_score(axes, x, score, f"{score:.0f}", -14, ink)
        for (score, ink), height in zip(there, _apart([score for score, _ in there], gap=4.0), strict=True):
            _write_score(axes, x, height, f"{score:.0f}", 6, ink)


def _write_score(axes: Axes, x: float, y: float, text: str, points_up: float, ink: str) -> None:
    axes.annotate(text, (x, y), (0, points_up), textcoords="offset points", ha="center", fontsize=8, color=ink)


def _caption(axes: Axes, lines: Sequence[str]) -> None:
    for number, line in enumerate(lines):
        axes.annotate(
            line, (0.5, 0), (0, -10 - 12 * number), xycoords="axes fraction", textcoords="offset points",
            ha="center", va="top", fontsize=8, color="#555555",
        )  # fmt: skip


def word_labels(words: Iterable[str]) -> list[str]:
    """The words as they are written on an axis: visible, and cut where they are very long."""
    seen = [shown(word) for word in words]
    return [word if cell_len(word) <= LONGEST_LABEL else set_cell_size(word, LONGEST_LABEL - 1) + "…" for word in seen]


def word_fonts() -> list[str]:
    """The fonts that are installed here and write words, the usual one first."""
    from matplotlib.font_manager import fontManager

    installed = set(fontManager.get_font_names())
    return [name for name in FONTS if name in installed]


def _colours() -> Colormap:
    from matplotlib.colors import LinearSegmentedColormap

    return LinearSegmentedColormap.from_list("regard", [tuple(part / 255 for part in rgb) for rgb in SCALE])


def _cycled(count: int) -> list[tuple[str, str]]:
    return [LINES[i % len(LINES)] for i in range(count)]


def _apart(heights: Sequence[float], gap: float) -> list[float]:
    """The heights, pushed upwards where two are closer than `gap`, so that the names written there do not overlap."""
    placed = list(heights)
    previous = -float("inf")
    for i in sorted(range(len(heights)), key=lambda i: heights[i]):
        placed[i] = previous = max(heights[i], previous + gap)
    return placed


def _in_words(weights: np.ndarray, source_words: Sequence[str], target_words: Sequence[str]) -> str:
    """The picture for those who cannot see it: for each target word, where most was read."""
    strongest = weights.argmax(axis=1)
    reads = (
        f"{shown(target)} from {shown(source_words[s])} ({weights[t, s]:.2f})"
        for t, (target, s) in enumerate(zip(target_words, strongest, strict=True))
    )
    return (
        f"Attention matrix of {len(source_words)} source words by {len(target_words)} target words. "
        f"Most was read: {'; '.join(reads)}. {CAPTION}"
    )


def _curves_in_words(curves: Mapping[str, Mapping[str, float | None]]) -> str:
    told = (
        f"{system}: " + ", ".join(f"{label} {'none' if y is None else format(y, '.1f')}" for label, y in curve.items())
        for system, curve in curves.items()
    )
    return "BLEU by words in the source sentence. " + "; ".join(told) + "."
