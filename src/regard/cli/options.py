"""What several commands ask for in the same words: the model's folder, and sentence pairs in one file or in two."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

if TYPE_CHECKING:
    from regard.data.pairs import Pairs

DEFAULT_MODEL = Path("regard-model")

ModelFolder = Annotated[Path, typer.Option("--model", "-m", metavar="FOLDER", help="A folder that `train` made.")]
PairsFile = Annotated[
    Path | None,
    typer.Argument(metavar="PAIRS.TSV", help="Sentence pairs, one SOURCE<tab>TARGET a line; plain or gzip."),
]
SourceFile = Annotated[Path | None, typer.Option("--source", metavar="FILE", help="Source sentences, one a line.")]
TargetFile = Annotated[Path | None, typer.Option("--target", metavar="FILE", help="Their translations, line by line.")]


def pairs_or_builtin(
    tsv: Path | None, source: Path | None, target: Path | None, split: Literal["train", "test"]
) -> tuple[Pairs, str]:
    """The user's pairs, or the built-in corpus where no file is given; and which, in words."""
    if tsv or source or target:
        from regard.data.pairs import read_pairs

        return read_pairs(tsv, source=source, target=target), str(tsv or f"{source}, {target}")
    from regard.recipes.builtin import builtin_pairs

    typer.echo("No file given: using the built-in English–French corpus.", err=True)
    return builtin_pairs(split), f"built-in corpus, {split} split"
