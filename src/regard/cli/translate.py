"""`regard translate`: sentences from arguments, a file or standard input, and the attention matrix if asked for."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, TextIO

import typer

from regard.cli.options import DEFAULT_MODEL, check_folder_of, default_model
from regard.data.pairs import read_lines
from regard.decoding.options import Decoding
from regard.errors import UserError
from regard.shipped import DEFAULT

if TYPE_CHECKING:
    from regard.translator import Translation, Translator

EXAMPLES = (
    "[bold]Examples[/bold]\n\n"
    'regard translate "I love deep learning" --show\n\n'
    'regard translate "I love deep learning" --report where.html\n\n'
    "regard translate --input a.en --output a.fr --workers 4\n\n"
    "cat a.en | regard translate --model my-model > a.fr\n\n"
    "regard translate --model seed-1 --model seed-2 --input a.en   (their probabilities averaged)\n\n"
    'regard translate "I love deep learning" --n-best 5\n\n'
    'regard translate "I love deep learning" --prefix "Moi, j\'adore"\n\n'
    'regard translate "I love deep learning" --sample --temperature 0.8 --top-p 0.9 --n-best 3'
)
SEARCH, SAMPLING, LOOKING, WORK = "Search", "Sampling", "Attention", "Computation"


def _option(name: str, help: str, panel: str, **settings: Any) -> Any:
    """An option for one field of Decoding, from which its default comes."""
    return typer.Option("--" + name.replace("_", "-"), help=help, rich_help_panel=panel, **settings)


def translate(
    sentences: Annotated[list[str] | None, typer.Argument(help="Sentences; without any, standard input.")] = None,
    model: Annotated[
        list[str] | None,
        typer.Option(
            "--model",
            "-m",
            metavar="MODEL",
            help=f"A folder that `train` made, or the name of a model that came along. Given several times: one "
            f"ensemble. Given none: {DEFAULT_MODEL} if it is there, else {DEFAULT}.",
        ),
    ] = None,
    input: Annotated[Path | None, typer.Option("--input", "-i", metavar="FILE", help="Sentences, one a line.")] = None,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", metavar="FILE", help="Where translations go.")
    ] = None,
    beam: Annotated[int, _option("beam", "Hypotheses kept while searching; 1 is greedy.", SEARCH)] = Decoding.beam,
    n_best: Annotated[
        int | None,
        typer.Option(
            "--n-best",
            metavar="N",
            rich_help_panel=SEARCH,
            help="The N best, a line each as Moses writes it: sentence's number from 0 ||| text ||| logprob= log p "
            "||| score.",
        ),
    ] = None,
    length_penalty: Annotated[
        float, _option("length_penalty", "α: outputs of n subwords are ranked by log p / n^α.", SEARCH)
    ] = Decoding.length_penalty,
    coverage_penalty: Annotated[
        float,
        _option("coverage_penalty", "β: adds β Σ log min(attention a source word got in all, 1).", SEARCH),
    ] = Decoding.coverage_penalty,
    no_repeat: Annotated[
        int, _option("no_repeat", "No sequence of N subwords comes twice; 0 allows all.", SEARCH, metavar="N")
    ] = Decoding.no_repeat,
    max_length: Annotated[
        int | None,
        _option(
            "max_length",
            "Subwords of an output at most, its end included. Given none: twice the source's, and ten.",
            SEARCH,
            metavar="N",
        ),
    ] = None,
    prefix: Annotated[
        str,
        typer.Option(
            metavar="TEXT", help="What every translation begins with.", rich_help_panel=SEARCH, show_default=False
        ),
    ] = "",
    replace_unknown: Annotated[
        bool, _option("replace_unknown", "Copy the source word most attended to for what cannot be spelt.", SEARCH)
    ] = False,
    sample: Annotated[
        bool, _option("sample", "Draw words in the place of searching; with --n-best, so many samples.", SAMPLING)
    ] = False,
    temperature: Annotated[
        float, _option("temperature", "Below 1 sharper, above 1 flatter.", SAMPLING)
    ] = Decoding.temperature,
    top_k: Annotated[
        int, _option("top_k", "Draw among the K most probable words; 0: all.", SAMPLING, metavar="K")
    ] = Decoding.top_k,
    top_p: Annotated[
        float, _option("top_p", "Draw among the fewest words that have this probability together.", SAMPLING)
    ] = Decoding.top_p,
    seed: Annotated[
        int, _option("seed", "Of the draws; a sentence's depend on it and the sentence alone.", SAMPLING)
    ] = Decoding.seed,
    show: Annotated[
        bool, typer.Option("--show", help="Draw where each word was read.", rich_help_panel=LOOKING)
    ] = False,
    save: Annotated[
        Path | None,
        typer.Option(
            metavar="PICTURE.PNG", help="Save that as PNG or SVG; several are numbered.", rich_help_panel=LOOKING
        ),
    ] = None,
    report: Annotated[
        Path | None,
        typer.Option(
            metavar="PAGE.HTML", help="Save it as a page to look into; several are numbered.", rich_help_panel=LOOKING
        ),
    ] = None,
    workers: Annotated[
        int,
        typer.Option(
            min=1, metavar="N", help="Processes that share a file's lines; each loads the model.", rich_help_panel=WORK
        ),
    ] = 1,
    precision: Annotated[
        Literal["float32", "float64", "bfloat16"],
        typer.Option(
            help="What is computed in: float64 to be exact, bfloat16 products to be fast where the processor has them.",
            rich_help_panel=WORK,
        ),
    ] = "float32",
) -> None:
    """Translate sentences, one a line: every line in gives a line out, in the same order."""
    if sentences and input:
        raise UserError("sentences and --input were both given: leave one out")
    if input and output and output.exists() and input.exists() and output.samefile(input):
        raise UserError(f"--output {output}: it is the file to translate, which would be lost; name another")
    if save and save.suffix.lower() not in (".png", ".svg"):
        raise UserError(f"--save {save}: pictures end in .png or .svg")
    if report and report.suffix.lower() not in (".html", ".htm"):
        raise UserError(f"--report {report}: pages end in .html")
    for option, path in (("--save", save), ("--report", report)):
        check_folder_of(option, path)
    decoding = _decoding(
        beam=beam, length_penalty=length_penalty, coverage_penalty=coverage_penalty, no_repeat=no_repeat,
        max_length=max_length, replace_unknown=replace_unknown, sample=sample, temperature=temperature, top_k=top_k,
        top_p=top_p, seed=seed,
    )  # fmt: skip
    typed = not sentences and not input and sys.stdin.isatty()
    lines = iter(sentences or (read_lines(input) if input else _standard_input()))
    translator = _load(model or [default_model()], precision)
    found = translator.stream(
        lines, n_best or 1, decoding=decoding, prefix=prefix, attention=bool(show or save or report), workers=workers,
        at_once=1 if typed else None, progress=True,
    )  # fmt: skip
    if typed:
        typer.echo("One sentence a line; Ctrl-D ends.", err=True)
    several = len(sentences or ()) != 1 or n_best is not None
    with _writer(output) as out:
        pictures = 0
        for line, translations in enumerate(found):
            for translation in translations:
                print(_line(line, translation, n_best), file=out, flush=show or typed)
                if (show or save or report) and translation.target_words:
                    pictures += 1
                    number = pictures if several else None
                    _look(translation, show, [_nth(path, number) for path in (save, report) if path])


def _decoding(**options: Any) -> Decoding:
    """The options as one; what is wrong with one is said of the option as it is typed."""
    try:
        return Decoding(**options)
    except UserError as error:
        name, _, rest = str(error).partition(":")
        raise typer.BadParameter(rest.strip(), param_hint=f"--{name.replace('_', '-')}") from None


def _load(models: list[str], precision: str) -> Translator:
    from regard.machine.memory import keep_freed_memory
    from regard.translator import load

    keep_freed_memory()
    translator = load(models)
    if precision != "float32":
        import torch

        translator.to(getattr(torch, precision))
    return translator


def _line(number: int, translation: Translation, n_best: int | None) -> str:
    if n_best is None:
        return translation.text
    return f"{number} ||| {translation.text} ||| logprob= {translation.score:.6g} ||| {translation.rank:.6g}"


def _writer(path: Path | None) -> AbstractContextManager[TextIO]:
    if path is None:
        return nullcontext(sys.stdout)
    try:
        return path.open("w", encoding="utf-8", newline="\n")
    except OSError as error:
        raise UserError(f"--output {path}: cannot be written ({error.strerror})") from None


def _standard_input() -> Iterator[str]:
    for number, raw in enumerate(sys.stdin.buffer, 1):
        try:
            yield raw.decode("utf-8").rstrip("\r\n")
        except UnicodeDecodeError as error:
            raise UserError(
                f"standard input: line {number}, byte {error.start + 1} is not UTF-8; convert the text to UTF-8"
            ) from None


def _look(translation: Translation, show: bool, paths: list[Path]) -> None:
    if translation.attention is None:
        raise UserError("this model has no attention, so there is nothing to show: train one with --attention additive")
    if show:
        translation.show()
    for path in paths:
        translation.save(path)
        typer.echo(f"saved {path}", err=True)


def _nth(path: Path, number: int | None) -> Path:
    return path if number is None else path.with_stem(f"{path.stem}-{number}")
