"""What a watch saw, at a glance in the terminal: a statistic by layer and head, and what could not be read."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal

import torch
from rich.console import Console, Group, RenderableType
from rich.style import Style
from rich.table import Table
from rich.text import Text

from regard.observe.seen import Look, Seen
from regard.observe.terminal import CAPTION, colour

Statistic = Literal["entropy", "distance"]
NARROW = 6  # characters a head's number takes, with room


def overview(seen: Seen, row: int = 0, width: int = 80, statistic: Statistic = "entropy") -> RenderableType:
    """Something `rich` prints: a line for each module, its entropy (or distance) by head, where that was asked for.

    row: the batch row that is shown. width: characters to use at most; more heads than fit go on the next line.
    statistic: what is shown, as its mean over the queries. Two sequences have no distance between them.
    Raises ValueError for a batch row that is not there.
    """
    parts: list[RenderableType] = []
    for look in seen:
        if not 0 <= row < look.observed.size[0]:
            raise ValueError(f"row: {look.name} was called with {look.observed.size[0]} batch rows, got {row}")
    if seen.looks:
        parts += [_table(seen, row, width, statistic), Text(_legend(seen, row, statistic), style="dim")]
    else:
        parts.append(Text("No attention was seen."))
    for name, why in seen.unread.items():
        parts.append(Text(f"not read: {name}: {why}"))
    return Group(*parts)


def show(seen: Seen, row: int = 0) -> None:
    """Print it."""
    console = Console(highlight=False)
    console.print(overview(seen, row, console.width))


def _table(seen: Seen, row: int, width: int, statistic: Statistic) -> Table:
    lines = [(name, _sizes(seen[name]), seen[name]) for name in seen.names]
    taken = max(len(name) for name, _, _ in lines) + max(len(sizes) for _, sizes, _ in lines) + 4
    most = max(len(_heads(looks[0])) for _, _, looks in lines)
    columns = max(1, min(most, (width - taken) // NARROW))
    table = Table(box=None, pad_edge=False, padding=(0, 1, 0, 0))
    table.add_column("module", no_wrap=True)
    table.add_column("queries × keys", no_wrap=True, justify="right")
    for column in range(columns):
        table.add_column(str(column) if most <= columns else "", justify="right", no_wrap=True)
    for name, sizes, looks in lines:
        cells = _cells(looks, row, statistic)
        for start in range(0, max(1, len(cells)), columns):
            first = start == 0
            table.add_row(name if first else "", sizes if first else "", *cells[start : start + columns])
    return table


def _heads(look: Look) -> Sequence[int]:
    return range(look.observed.size[1]) if look.heads is None else look.heads


def _sizes(looks: Sequence[Look]) -> str:
    """The largest call's, and how many there were."""
    queries, keys = max(look.observed.size[2:] for look in looks)
    return f"{queries} × {keys}" + (f", {len(looks)} calls" if len(looks) > 1 else "")


def _cells(looks: Sequence[Look], row: int, statistic: Statistic) -> list[Text]:
    """Of each head, the mean over the queries of all calls, painted by its share of what it could be."""
    of_calls = [numbers[row] for look in looks if (numbers := getattr(look.observed, statistic)) is not None]
    if not of_calls or (statistic == "distance" and looks[0].cross):
        return []
    keys = max(look.observed.size[3] for look in looks)
    most = math.log(keys) if statistic == "entropy" and keys else keys - 1
    return [_cell(float(value), most) for value in torch.cat(of_calls, 1).mean(1)]


def _cell(value: float, most: float) -> Text:
    if not math.isfinite(value):
        return Text("–")
    red, green, blue = colour(value / most if most > 0 else 0.0)
    ink = "black" if 0.299 * red + 0.587 * green + 0.114 * blue > 120 else "white"
    return Text(
        f"{value:.2f}" if value < 1000 else f"{value:.0f}", Style(color=ink, bgcolor=f"rgb({red},{green},{blue})")
    )


_SHOWN = {
    "entropy": ("Entropy in nats", "bright is spread out"),
    "distance": ("Distance to what is read, in positions", "bright is far"),
}


def _legend(seen: Seen, row: int, statistic: Statistic) -> str:
    heads = seen.looks[0].heads
    of = "" if heads is None else f" {', '.join(map(str, heads))}"
    what, bright = _SHOWN[statistic]
    if all(getattr(look.observed, statistic) is None for look in seen):
        return f"Batch row {row}. {what.partition(' ')[0]} was not asked for. {CAPTION}"
    return f"{what}, by head{of}: mean over the queries of batch row {row}; {bright}. {CAPTION}"
