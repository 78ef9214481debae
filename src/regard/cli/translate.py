"""`regard translate`: sentences from arguments, a file or standard input, and the attention matrix if asked for."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TextIO

import typer

from regard.cli.options import DEFAULT_MODEL, ModelFolder
from regard.data.pairs import read_lines
from regard.errors import UserError

if TYPE_CHECKING:
    from regard.translator import Translation

EXAMPLES = (
    "[bold]Examples[/bold]\n\n"
    'regard translate "I love deep learning" --show\n\n'
    "regard translate --model en-fr --input a.en --output a.fr\n\n"
    "cat a.en | regard translate --model en-fr > a.fr\n\n"
    'regard translate "I love deep learning" --save picture.svg'
)
AT_ONCE = 2_000  # lines read before they are translated, so that a long file needs little memory


def translate(
    sentences: Annotated[list[str] | None, typer.Argument(help="Sentences; without any, standard input.")] = None,
    model: ModelFolder = DEFAULT_MODEL,
    input: Annotated[Path | None, typer.Option("--input", "-i", metavar="FILE", help="Sentences, one a line.")] = None,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", metavar="FILE", help="Where translations go.")
    ] = None,
    beam: Annotated[int, typer.Option(min=1, help="Hypotheses kept while searching; 1 is greedy.")] = 5,
    show: Annotated[bool, typer.Option("--show", help="Draw where each word was read.")] = False,
    save: Annotated[
        Path | None, typer.Option(metavar="PICTURE.PNG", help="Save that as PNG or SVG; several are numbered.")
    ] = None,
) -> None:
    """Translate sentences, one a line: every line in gives a line out, in the same order."""
    if sentences and input:
        raise UserError("sentences and --input were both given: leave one out")
    if save and save.suffix.lower() not in (".png", ".svg"):
        raise UserError(f"--save {save}: pictures end in .png or .svg")
    from regard.translator import load

    translator = load(model)
    chunks = _chunks(sentences or (read_lines(input) if input else None))
    looking, single, number = bool(show or save), len(sentences or ()) == 1, 0
    with _writer(output) as out:
        for lines in chunks:
            for translation in translator.translate(lines, beam=beam, attention=looking, progress=True):
                number += 1
                print(translation.text, file=out, flush=show)
                if looking and translation.target_words:
                    _look(translation, show, save if single or not save else _nth(save, number))


def _writer(path: Path | None) -> AbstractContextManager[TextIO]:
    if path is None:
        return nullcontext(sys.stdout)
    try:
        return path.open("w", encoding="utf-8", newline="\n")
    except OSError as error:
        raise UserError(f"--output {path}: cannot be written ({error.strerror})") from None


def _chunks(lines: list[str] | None) -> Iterator[list[str]]:
    """The lines, or standard input's, many at a time; typed ones one by one, so that each is answered at once."""
    at_once = AT_ONCE
    if lines is None and sys.stdin.isatty():
        at_once = 1
        typer.echo("One sentence a line; Ctrl-D ends.", err=True)
    source = iter(_standard_input() if lines is None else lines)
    while chunk := list(islice(source, at_once)):
        yield chunk


def _standard_input() -> Iterator[str]:
    for number, raw in enumerate(sys.stdin.buffer, 1):
        try:
            yield raw.decode("utf-8").rstrip("\r\n")
        except UnicodeDecodeError as error:
            raise UserError(
                f"standard input: line {number}, byte {error.start + 1} is not UTF-8; convert the text to UTF-8"
            ) from None


def _look(translation: Translation, show: bool, save: Path | None) -> None:
    if translation.attention is None:
        raise UserError("this model has no attention, so there is nothing to show: train one with --attention additive")
    if show:
        translation.show()
    if save:
        translation.save(save)
        typer.echo(f"saved {save}", err=True)


def _nth(path: Path, number: int) -> Path:
    return path.with_stem(f"{path.stem}-{number}")
