"""Pictures of what was seen, as PNG and SVG: one head, a grid of heads, entropy and distance by layer and head, the
mass along the text.

They take the calls that the report takes, so a generation's steps are one matrix, and they say what they show: the
scale has numbers, what the mask hides is hatched, means of cells are called means. A text longer than the picture has
room for is labelled by position. `regard.observe.figure.save` writes them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from regard.observe.colours import ramp
from regard.observe.figure import LINES, new_figure, word_fonts, word_labels
from regard.observe.report.calls import SINK, Call, calls
from regard.observe.report.pack import pooled
from regard.observe.seen import Seen
from regard.observe.terminal import CAPTION
from regard.observe.words import shown

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.colors import Colormap, Normalize
    from matplotlib.figure import Figure
    from matplotlib.image import AxesImage

WORDS_UP_TO = 64  # more are positions
CELLS = 512  # of a picture along an axis; more pairs are pooled
SMALL = 64  # cells of a picture in a grid
NUMBERS_UP_TO = 20
FAINT, LINE = "#5f5b6b", "#c9c5d2"


def head(
    seen: Seen, name: str, number: int, *, row: int = 0, largest: bool = False, title: str | None = None
) -> Figure:
    """One head's matrix: rows queries, columns keys, with the words on both axes where there is room.

    name: the module's, as `seen.names` lists them. number: the head's, from 0.
    row: the batch row.
    largest: of a pooled matrix, each cell's largest weight in the place of its mean.
    Raises KeyError for a name that was not seen, ValueError for a head that is not there or of which neither weights
    nor a map nor the strongest were recorded, UserError without matplotlib.
    """
    call = _call(seen, name, row)
    picture, kind = _picture(call, _place(call, number), CELLS, largest)
    queries, keys = _texts(seen, call)
    worded = [len(text) == count <= WORDS_UP_TO for text, count in ((queries, call.queries), (keys, call.keys))]
    width, height = _size(call, worded)
    figure, axes = new_figure(width, height, room_right=1.25)
    image = _paint(axes, picture, call, _scale(picture, kind))
    _name(axes, call, queries if worded[0] else [], keys if worded[1] else [])
    if max(picture.shape) <= NUMBERS_UP_TO and picture.shape == (call.queries, call.keys):
        _write_numbers(axes, image, picture)
    _colour_bar(figure, image, width, height, kind)
    axes.set_title(title or f"{name}, head {number}", fontsize=12, pad=12, parse_math=False)
    notes = [
        f"rows: queries · columns: keys · hatched: {'hidden by the mask' if kind != STRONGEST else 'not recorded'}"
    ]
    sinks = call.sinks(_place(call, number))
    if len(sinks):
        notes.append(f"attention sink (over {SINK:.0%} of the head's attention): {_named(sinks, keys)}")
        axes.plot(sinks, np.full(len(sinks), -0.5), "D", color="#7b2a83", markersize=5, clip_on=False, zorder=5)
    _caption(axes, [*notes, CAPTION])
    figure.set_label(_in_words(call, number, picture, kind, queries, keys))
    return figure


def grid(seen: Seen, *, row: int = 0, title: str | None = None) -> Figure:
    """A small picture of each head: a row for each module, a column for each head, all on one scale.

    Raises UserError without matplotlib, ValueError where no head has a picture.
    """
    found = [call for call in calls(seen, row) if call.number == 0]
    pictures = {
        (at, head): _picture(call, head, SMALL, False)[0]
        for at, call in enumerate(found)
        for head in range(len(call.heads))
        if _has_picture(call)
    }
    if not pictures:
        raise ValueError("no head's picture was recorded: watch with weights=True, map=256 or topk=8")
    across, down = max(len(call.heads) for call in found), len(found)
    side = max(0.42, min(1.3, 12 / across))
    width, height = across * side, down * side
    figure, axes = new_figure(width, height, room_right=1.25)
    scale = _root(max(float(np.nanmax(picture, initial=0.0)) for picture in pictures.values()))
    image = None
    for (at, head), picture in pictures.items():
        left, top = (head + 0.05) / across, 1 - (at + 0.95) / down
        inner = axes.inset_axes((left, top, 0.9 / across, 0.9 / down))
        image = _paint(inner, picture, found[at], scale)
        inner.set_xticks([])
        inner.set_yticks([])
    _table_axes(axes, found, across)
    assert image is not None
    _colour_bar(figure, image, width, height, MEAN)
    axes.set_title(title or "Every head", fontsize=12, pad=26, parse_math=False)
    _caption(axes, ["rows of each: queries · columns: keys · hatched: hidden by the mask", CAPTION])
    figure.set_label(f"Pictures of {len(pictures)} heads, a row for each of {down} modules.")
    return figure


def by_head(seen: Seen, statistic: str = "entropy", *, row: int = 0, title: str | None = None) -> Figure:
    """A statistic of every head as a table in colours: a row for each module, a column for each head.

    statistic: "entropy" (nats) or "distance" (positions); each head's mean over its queries that may see anything.
    Raises ValueError for another statistic or one that was not recorded, UserError without matplotlib.
    """
    if statistic not in ("entropy", "distance"):
        raise ValueError(f'statistic is "entropy" or "distance", got {statistic!r}')
    found = [call for call in calls(seen, row) if call.number == 0 and getattr(call, statistic) is not None]
    if not found:
        raise ValueError(f"no {statistic} was recorded: watch with {statistic}=True")
    across, down = max(len(call.heads) for call in found), len(found)
    table = np.full((down, across), np.nan)
    for at, call in enumerate(found):
        values = getattr(call, statistic)
        table[at, : len(values)] = values.mean(-1) if values.shape[-1] else np.nan
    width, height = max(across * 0.52, 2.4), max(down * 0.42, 1.0)
    figure, axes = new_figure(width, height, room_right=1.25)
    unit = "nats" if statistic == "entropy" else "positions"
    image = axes.imshow(table, cmap=_colours(), vmin=0, aspect="auto", interpolation="nearest")
    for (at, head), value in np.ndenumerate(table):
        if np.isfinite(value):
            text = f"{value:.2f}" if value < 10 else f"{value:.3g}"
            axes.text(head, at, text, ha="center", va="center", fontsize=7.5, color=_ink_on(image, value))
    _table_axes(axes, found, across, cells=True)
    _colour_bar(figure, image, width, height, f"{statistic}, {unit}")
    axes.set_title(title or f"{statistic.capitalize()} by head", fontsize=12, pad=26, parse_math=False)
    _caption(axes, ["each head's mean over its queries; no head or layer is averaged with another", CAPTION])
    figure.set_label(
        f"{statistic.capitalize()} of each head in {unit}, from {np.nanmin(table):.3g} to {np.nanmax(table):.3g}."
    )
    return figure


def mass(seen: Seen, name: str, *, row: int = 0, title: str | None = None) -> Figure:
    """The attention each key got, along the text, a line for each head of a module; sinks stand out and are named.

    Where several keys fall on one pixel the line shows the largest of them. Raises KeyError for a name that was not
    seen, ValueError where no mass was recorded, UserError without matplotlib.
    """
    call = _call(seen, name, row)
    if call.mass is None:
        raise ValueError(f"{name}: no mass was recorded: watch with mass=True")
    _, keys = _texts(seen, call)
    worded = len(keys) == call.keys <= WORDS_UP_TO
    width = min(max(6.0, call.keys * 0.22), 12.0) if worded else 9.0
    figure, axes = new_figure(width, 3.4, room_right=1.4)
    share = call.share()
    pairs = max(1, -(-call.keys // 1500))
    for at, number in enumerate(call.heads):
        ink, mark = LINES[at % len(LINES)]
        line = pooled(share[None, at : at + 1], 1, pairs, largest=True)[0, 0]
        style: dict[str, Any] = {"marker": mark, "markersize": 3.5} if worded else {}
        axes.plot(np.arange(len(line)) * pairs, 100 * line, color=ink, linewidth=1.1, label=f"head {number}", **style)
    if worded:
        axes.set_ylim(bottom=0)
    else:  # a sink takes a thousand times what others get
        axes.set_yscale("log", nonpositive="clip")
        axes.set_ylim(max(100 * float(share.max()) / 1e5, 1e-6), 100)
        axes.yaxis.set_major_formatter("{x:g}")
    axes.set_ylabel(f"share of the head's attention, %{'' if worded else ' (logarithmic)'}")
    axes.set_xlim(-0.02 * call.keys, 1.01 * call.keys)
    if worded:
        axes.set_xticks(
            range(call.keys), word_labels(keys), fontsize=8, rotation=60, ha="right", rotation_mode="anchor",
            family=word_fonts(), parse_math=False,
        )  # fmt: skip
    else:
        axes.set_xlabel("key's position")
        axes.xaxis.set_major_formatter("{x:,.0f}")
    axes.axhline(100 * SINK, color=FAINT, linewidth=0.8, linestyle=(0, (4, 4)))
    axes.annotate("sink", (1, 100 * SINK), (-2, 3), xycoords=("axes fraction", "data"), textcoords="offset points",
                  ha="right", fontsize=8, color=FAINT)  # fmt: skip
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(axis="y", color="#e4e2e8", linewidth=0.8)
    axes.set_axisbelow(True)
    axes.legend(loc="upper left", bbox_to_anchor=(1.01, 1), frameon=False, fontsize=8, ncols=1 + len(call.heads) // 13)
    axes.set_title(title or f"Where the attention of {name} goes", fontsize=12, pad=12, parse_math=False)
    most = [
        f"head {number}: {_named([int(share[at].argmax())], keys)}, {share[at].max():.0%}"
        for at, number in enumerate(call.heads)
    ]
    figure.set_label(f"Share of attention each of {call.keys} keys got. Most went: {'; '.join(most)}.")
    return figure


MEAN, LARGEST, WEIGHT, STRONGEST = (
    "mean weight of a cell",
    "largest weight of a cell",
    "attention weight α",
    "strongest weights α",
)


def _call(seen: Seen, name: str, row: int) -> Call:
    return calls(Seen(seen[name], {}, seen.tokens, seen.source_tokens), row)[0]


def _place(call: Call, number: int) -> int:
    if number not in call.heads:
        raise ValueError(f"{call.name} has heads {', '.join(map(str, call.heads))}, got {number}")
    return call.heads.index(number)


def _has_picture(call: Call) -> bool:
    return call.weights is not None or call.mean is not None or call.positions is not None


def _picture(call: Call, head: int, cells: int, largest: bool) -> tuple[np.ndarray, str]:
    """A head in at most `cells` along each axis, NaN where nothing is, and what its numbers are."""
    one = slice(head, head + 1)
    for_cells = (max(1, -(-call.queries // cells)), max(1, -(-call.keys // cells)))
    if call.weights is not None:
        kind = WEIGHT if for_cells == (1, 1) else LARGEST if largest else MEAN
        return pooled(call.weights[one], *for_cells, largest)[0], kind
    recorded = call.largest if largest else call.mean
    if recorded is not None:
        more = (max(1, -(-recorded.shape[1] // cells)), max(1, -(-recorded.shape[2] // cells)))
        return pooled(recorded[one], *more, largest)[0], LARGEST if largest else MEAN
    if call.positions is None or call.strongest is None:
        raise ValueError(f"{call.name}: neither weights nor a map nor the strongest were recorded")
    found = np.full((-(-call.queries // for_cells[0]), -(-call.keys // for_cells[1])), np.nan)
    query, rank = np.nonzero(call.positions[head] >= 0)
    np.fmax.at(
        found,
        (query // for_cells[0], call.positions[head][query, rank] // for_cells[1]),
        call.strongest[head][query, rank],
    )
    return found, STRONGEST


def _size(call: Call, worded: Sequence[bool]) -> tuple[float, float]:
    """Inches of the axes: words take their room, longer texts a square."""
    if all(worded):
        cell = 0.42 if max(call.queries, call.keys) <= NUMBERS_UP_TO else 0.2
        return max(call.keys * cell, 2.4), max(call.queries * cell, 1.2)
    ratio = call.queries / max(call.keys, 1)
    return min(6.4, max(1.6, 6.4 / max(ratio, 1e-9))), min(6.4, max(0.8, 6.4 * ratio))


def _scale(picture: np.ndarray, kind: str) -> Normalize:
    from matplotlib.colors import PowerNorm

    return PowerNorm(0.5, 0, 1) if kind == WEIGHT and max(picture.shape) <= WORDS_UP_TO else _root(_most(picture))


def _root(top: float) -> Normalize:
    from matplotlib.colors import PowerNorm

    return PowerNorm(0.5, 0, top or 1.0)


def _most(picture: np.ndarray) -> float:
    there = picture[~np.isnan(picture)]
    return float(there.max(initial=0.0))


def _paint(axes: Axes, picture: np.ndarray, call: Call, scale: Normalize) -> AxesImage:
    """The weights over a hatched ground, which shows where there are none."""
    from matplotlib.patches import Rectangle

    extent = (-0.5, call.keys - 0.5, call.queries - 0.5, -0.5)
    ground = Rectangle((0, 0), 1, 1, transform=axes.transAxes, facecolor="white", edgecolor=LINE, linewidth=0, zorder=0)
    ground.set_hatch("/////")
    axes.add_patch(ground)
    axes.spines[:].set_color(LINE)
    return axes.imshow(
        np.ma.masked_invalid(picture), cmap=_colours(), norm=scale, aspect="auto", interpolation="nearest",
        extent=extent, zorder=1,
    )  # fmt: skip


def _colours() -> Colormap:
    from matplotlib.colors import ListedColormap

    return ListedColormap(ramp(False) / 255, "regard-light").with_extremes(bad=(0, 0, 0, 0))


def _ink_on(image: AxesImage, value: float) -> str:
    red, green, blue, _ = image.cmap(image.norm(np.asarray(value)))
    return "black" if 0.299 * red + 0.587 * green + 0.114 * blue > 0.5 else "white"


def _write_numbers(axes: Axes, image: AxesImage, picture: np.ndarray) -> None:
    for (query, key), weight in np.ndenumerate(picture):
        if weight >= 0.005:
            text = f"{weight:.2f}".replace("0.", ".", 1) if weight < 0.995 else "1.0"
            axes.text(key, query, text, ha="center", va="center", fontsize=8, color=_ink_on(image, weight))


def _texts(seen: Seen, call: Call) -> tuple[list[str], list[str]]:
    """The tokens of queries and keys; empty where none fit."""
    from regard.observe.report.texts import Texts

    texts = Texts(seen)
    query, key = texts.of(call)
    own = [] if query < 0 else (texts.tokens[query] or [])[call.first : call.first + call.queries]
    other = [] if key < 0 else (texts.tokens[key] or [])[: call.keys]
    return list(own), list(other)


def _name(axes: Axes, call: Call, queries: list[str], keys: list[str]) -> None:
    """Words where there are some, else positions."""
    axes.xaxis.tick_top()
    axes.xaxis.set_label_position("top")
    if keys:
        axes.set_xticks(range(len(keys)), word_labels(keys), fontsize=9, rotation=55, ha="left", rotation_mode="anchor",
                        family=word_fonts(), parse_math=False)  # fmt: skip
    else:
        axes.set_xlabel("keys", color=FAINT)
        axes.xaxis.set_major_formatter("{x:,.0f}")
    if queries:
        axes.set_yticks(range(len(queries)), word_labels(queries), fontsize=9, family=word_fonts(), parse_math=False)
    else:
        axes.set_ylabel("queries", color=FAINT)
        axes.yaxis.set_major_formatter(lambda y, _: f"{y + call.first:,.0f}")
    for axis, words in ((axes.xaxis, keys), (axes.yaxis, queries)):
        axis.set_tick_params(length=0 if words else 3, color=LINE)


def _table_axes(axes: Axes, found: Sequence[Call], across: int, cells: bool = False) -> None:
    """Heads above, modules at the left."""
    axes.xaxis.tick_top()
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    heads = [str(number) for number in max((call.heads for call in found), key=len)]
    rows = np.arange(len(found)) if cells else 1 - (np.arange(len(found)) + 0.5) / len(found)
    columns = np.arange(across) if cells else (np.arange(across) + 0.5) / across
    axes.set_xticks(columns, heads, fontsize=8)
    axes.set_yticks(rows, [shown(call.name) for call in found], fontsize=8, parse_math=False)
    if not cells:
        axes.set_xlim(0, 1)
        axes.set_ylim(0, 1)
    axes.set_xlabel("head", color=FAINT)
    axes.xaxis.set_label_position("top")


def _colour_bar(figure: Figure, image: AxesImage, width: float, height: float, kind: str) -> None:
    total = figure.get_figwidth()
    bar_height = min(max(height, 1.2), 4.0)
    place = figure.add_axes(((width + 0.25) / total, 1 - bar_height / height, 0.14 / total, bar_height / height))
    top = image.norm.vmax or 1.0
    bar = figure.colorbar(image, cax=place, ticks=top * np.linspace(0, 1, 5) ** (2 if kind in ROOTED else 1))
    bar.ax.yaxis.set_major_formatter(lambda value, _: f"{value:.2g}")
    bar.outline.set_visible(False)  # type: ignore[operator]
    bar.set_label(kind + (" (square root)" if kind in ROOTED else ""), fontsize=9)
    bar.ax.tick_params(labelsize=8, length=2)


ROOTED = (MEAN, LARGEST, WEIGHT, STRONGEST)


def _caption(axes: Axes, lines: Sequence[str]) -> None:
    for number, line in enumerate(lines):
        axes.annotate(
            line, (0.5, 0), (0, -10 - 12 * number), xycoords="axes fraction", textcoords="offset points",
            ha="center", va="top", fontsize=8, color=FAINT, parse_math=False, annotation_clip=False,
        )  # fmt: skip


def _named(keys: Sequence[int] | np.ndarray, words: Sequence[str]) -> str:
    return ", ".join(
        f"{word_labels([words[key]])[0]} ({key})" if len(words) > key else f"position {key}" for key in keys
    )


def _in_words(
    call: Call, number: int, picture: np.ndarray, kind: str, queries: Sequence[str], keys: Sequence[str]
) -> str:
    sizes = f"{call.queries} queries by {call.keys} keys"
    told = f"{kind.capitalize()} of {call.name}, head {number}: {sizes}, up to {_most(picture):.2g}."
    if call.strongest is None or call.positions is None or call.queries > WORDS_UP_TO:
        return f"{told} {CAPTION}"
    place = _place(call, number)
    reads = (
        f"{_named([query], queries)} from {_named([call.positions[place, query, 0]], keys)} "
        f"({call.strongest[place, query, 0]:.2f})"
        for query in range(call.queries)
        if call.positions[place, query, 0] >= 0
    )
    return f"{told} Most was read: {'; '.join(reads)}. {CAPTION}"
