"""`regard demo`: the bottleneck seen live, and where a translator with attention looks."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Annotated

import typer

from regard.cli.stopped import Stopped

EXAMPLES = "[bold]Example[/bold]\n\nregard demo --out my-demo"


def demo(
    out: Annotated[
        Path, typer.Option("--out", "-o", metavar="FOLDER", help="Where everything goes; an earlier demo is replaced.")
    ] = Path("regard-demo"),
    seed: Annotated[int, typer.Option(help="Same seed: same corpus, same models.")] = 1,
) -> None:
    """Train two translators, without and with attention, compare them by sentence length, and look inside one."""
    from regard.recipes.bottleneck import run
    from regard.recipes.side_by_side import Interrupted

    try:
        run(out, seed=seed)
    except Interrupted:
        raise Stopped(f"stopped; start again with: regard demo --out {shlex.quote(str(out))}") from None
