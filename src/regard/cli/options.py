"""What several commands ask for in the same words: a model's folder, sentence pairs, how to score, where results go."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from regard.data.pairs import Pairs, read_pairs
from regard.errors import UserError
from regard.folder import write
from regard.shipped import DEFAULT, names

DEFAULT_MODEL = Path("regard-model")

ModelName = Annotated[
    str | None,
    typer.Option(
        "--model",
        "-m",
        metavar="MODEL",
        help=f"A folder that `train` made, or the name of a model that came along. Given none: {DEFAULT_MODEL} if it "
        f"is there, else {DEFAULT}.",
    ),
]
PairsFile = Annotated[
    Path | None,
    typer.Argument(metavar="PAIRS.TSV", help="Sentence pairs, one SOURCE<tab>TARGET a line; plain or gzip."),
]
SourceFile = Annotated[Path | None, typer.Option("--source", metavar="FILE", help="Source sentences, one a line.")]
TargetFile = Annotated[Path | None, typer.Option("--target", metavar="FILE", help="Their translations, line by line.")]
Beam = Annotated[int, typer.Option(min=1, help="Hypotheses kept while searching; 1 is greedy.")]
Tokenize = Annotated[
    str, typer.Option(help="sacreBLEU's tokeniser: 13a for plain text, none for text that is tokenised.")
]
Edges = Annotated[str, typer.Option(metavar="N,N,...", help="Where the bins of source length end, in words.")]
EDGES = "10,20,30,40,60"
JsonFile = Annotated[Path | None, typer.Option("--json", metavar="FILE", help="Write the results there too.")]
GoldFile = Annotated[
    Path | None, typer.Option("--gold", metavar="FILE", help="Gold links, a line a pair: 0-0 sure, 0p0 possible.")
]
GoldFrom = Annotated[
    int, typer.Option(min=0, max=1, help="The number that file gives the first word; the shared tasks' count from 1.")
]
Rule = Annotated[
    str,
    typer.Option(
        help="Which weights are links: each target word's largest (target), each source word's (source), both, "
        "either, all."
    ),
]
LINK_RULE, LINK_MINIMUM = "either", 0.05  # the best on the built-in corpus' validation split: docs/results.md
Minimum = Annotated[float, typer.Option(min=0, max=1, help="A smaller weight is no link.")]
PublicName = Annotated[
    str | None, typer.Option("--data", metavar="NAME", help="A public set in place of files; `regard data` lists them.")
]
Languages = Annotated[str, typer.Option(metavar="XX-YY", help="Of the public set: from which language to which.")]
DataDir = Annotated[Path, typer.Option(metavar="FOLDER", help="Where public sets lie.")]
LANGUAGES, DEFAULT_DATA = "en-fr", Path("regard-data")


def default_model() -> str:
    """Where none is named: one's own before the one that came along."""
    shipped = DEFAULT in names()
    if DEFAULT_MODEL.is_dir() and shipped:
        typer.echo(f"Using the model in {DEFAULT_MODEL}; --model {DEFAULT} is the one that came along.", err=True)
    return DEFAULT if shipped and not DEFAULT_MODEL.is_dir() else str(DEFAULT_MODEL)


def builtin(split: Literal["train", "valid", "test"]) -> Pairs:
    """The built-in corpus, after saying so."""
    from regard.recipes.builtin import builtin_pairs

    typer.echo(f"No file given: using the {split} split of the built-in English–French corpus.", err=True)
    return builtin_pairs(split)


def test_pairs(
    pairs: Path | None, source: Path | None, target: Path | None, public: str | None, languages: str, data_dir: Path
) -> tuple[Pairs, str]:
    """The pairs to judge on and what to call them; the built-in corpus' test split where nothing is given."""
    files = [path for path in (pairs, source, target) if path]
    check_one_origin(files, public)
    if public:
        from regard.data.sets import read_set

        data, name = read_set(public, "test", languages, data_dir), f"{public}, test split, {languages}"
    elif files:
        data, name = read_pairs(pairs, source=source, target=target), ", ".join(map(str, files))
    else:
        return builtin("test"), "built-in corpus, test split"
    if data.blank:
        typer.echo(f"left out of {lines_in(data):,} pairs, a side being blank: {some_lines(data.blank)}", err=True)
    return data, name


def check_one_origin(files: Sequence[Path], public: str | None) -> None:
    """UserError where both files and a public set are given."""
    if files and public:
        raise UserError(f"both --data {public} and {files[0]} were given: leave one out")


def lines_in(data: Pairs) -> int:
    """How many lines the file had, those left out as well."""
    return len(data) + len(data.blank)


def some_lines(numbers: Sequence[int]) -> str:
    """How many lines, and the first of them by number."""
    first = ", ".join(map(str, numbers[:5])) + (", ..." if len(numbers) > 5 else "")
    return f"{len(numbers):,} ({'line' if len(numbers) == 1 else 'lines'} {first})"


def length_edges(text: str) -> list[int]:
    """The bins' last lengths, from `10,20,30`."""
    try:
        return [int(part) for part in text.split(",")]
    except ValueError:
        raise UserError(f"--edges {text}: expected whole numbers that grow, such as 10,20,30") from None


def check_folder_of(option: str, path: Path | None) -> None:
    """UserError, before the work and not after it, where a result could not be written."""
    if path and not path.absolute().parent.is_dir():
        raise UserError(f"{option} {path}: there is no folder {path.absolute().parent}: make it first")
    if path and path.is_dir():
        raise UserError(f"{option} {path}: is a folder; name a file")


def write_json(path: Path, content: Mapping[str, Any]) -> None:
    """Results as JSON, written whole or not at all."""
    write_whole(path, json.dumps(content, indent=2, ensure_ascii=False) + "\n")


def write_whole(path: Path, text: str) -> None:
    """Text as UTF-8, written whole or not at all; UserError where it cannot be."""
    try:
        write(path, text.encode())
    except OSError as error:
        raise UserError(f"{path}: cannot be written ({(error.strerror or str(error)).lower()})") from None
