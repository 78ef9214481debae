"""What several commands ask for in the same words: the model's folder, and sentence pairs in one file or in two."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from regard.data.pairs import Pairs

DEFAULT_MODEL = Path("regard-model")

ModelFolder = Annotated[Path, typer.Option("--model", "-m", metavar="FOLDER", help="A folder that `train` made.")]
PairsFile = Annotated[
    Path | None,
    typer.Argument(metavar="PAIRS.TSV", help="Sentence pairs, one SOURCE<tab>TARGET a line; plain or gzip."),
]
SourceFile = Annotated[Path | None, typer.Option("--source", metavar="FILE", help="Source sentences, one a line.")]
TargetFile = Annotated[Path | None, typer.Option("--target", metavar="FILE", help="Their translations, line by line.")]


def builtin(split: Literal["train", "valid", "test"]) -> Pairs:
    """The built-in corpus, after saying so."""
    from regard.recipes.builtin import builtin_pairs

    typer.echo(f"No file given: using the {split} split of the built-in English–French corpus.", err=True)
    return builtin_pairs(split)
