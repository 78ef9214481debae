"""`regard compare`: two systems on the same sentences, and whether the difference between them may be chance."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from regard.cli.evaluate import bleu_of, plain
from regard.cli.options import (
    DEFAULT_DATA,
    EDGES,
    LANGUAGES,
    Beam,
    DataDir,
    Edges,
    JsonFile,
    Languages,
    PairsFile,
    PublicName,
    SourceFile,
    TargetFile,
    Tokenize,
    check_folder_of,
    length_edges,
    lines_in,
    test_pairs,
    write_json,
)
from regard.data.pairs import Pairs, read_lines
from regard.errors import UserError

if TYPE_CHECKING:
    from regard.evaluation.significance import Comparison
    from regard.translator import Translator

EXAMPLES = (
    "[bold]Examples[/bold]\n\n"
    "regard compare with-attention without test.tsv\n\n"
    "regard compare a.out b.out --source test.en --target test.fr --show 10\n\n"
    "regard compare with-attention without --data multi30k --languages de-en\n\n"
    "regard compare en-fr other-system.out test.tsv --json comparison.json"
)
System = Annotated[
    Path, typer.Argument(metavar="SYSTEM", help="A model's folder or name, or a file of its translations.")
]


def compare(
    first: System,
    second: System,
    pairs: PairsFile = None,
    source: SourceFile = None,
    target: TargetFile = None,
    public: PublicName = None,
    languages: Languages = LANGUAGES,
    data_dir: DataDir = DEFAULT_DATA,
    beam: Beam = 5,
    tokenize: Tokenize = "13a",
    edges: Edges = EDGES,
    samples: Annotated[int, typer.Option(min=1, help="Draws of the paired bootstrap.")] = 1_000,
    show: Annotated[int, typer.Option(min=0, help="Sentences to show where the two differ most.")] = 3,
    json_file: JsonFile = None,
) -> None:
    """Compare two systems, models or files of translations, on sentence pairs; without any, on the built-in test split.

    BLEU and chrF with 95 % intervals, p by paired bootstrap, BLEU by source length, and where they differ most.
    """
    bounds = length_edges(edges)
    check_folder_of("--json", json_file)
    from regard.evaluation.differences import most_different
    from regard.evaluation.lengths import by_length
    from regard.evaluation.scores import bleu
    from regard.evaluation.significance import compare_scores

    bleu(["x"], ["x"], tokenize=tokenize)
    by_length([], [], [], bounds)
    data, name = test_pairs(pairs, source, target, public, languages, data_dir)
    a, b = (read() for read in [_reader(system, data, beam) for system in (first, second)])
    comparisons = compare_scores(a, b, data.target, tokenize=tokenize, samples=samples)
    words = [len(sentence.split()) for sentence in data.source]
    bins = [by_length(words, texts, data.target, bounds, tokenize=tokenize) for texts in (a, b)]
    differences = most_different(a, b, data.target, show)
    different = sum(x != y for x, y in zip(a, b, strict=True))

    typer.echo(f"{name}: {len(data):,} sentences, {different:,} translated differently")
    typer.echo(f"A  {_said(first, beam)}\nB  {_said(second, beam)}")
    for comparison in comparisons:
        typer.echo(f"\n{comparison.name}  {comparison.signature}\nA  {comparison.first}\nB  {comparison.second}")
        typer.echo(f"B − A {comparison.second.value - comparison.first.value:+.2f}, {comparison}")
    typer.echo("\nsource words   sentences  BLEU A  BLEU B")
    for one, other in zip(*bins, strict=True):
        typer.echo(f"{one.label:<12}{one.sentences:>12,}  {bleu_of(one):>6}  {bleu_of(other):>6}")
    for difference in differences:
        i = difference.index
        typer.echo(f"\nline {data.line(i)}: chrF2 A {difference.first:.1f}, B {difference.second:.1f}")
        for label, text in (("source", data.source[i]), ("reference", data.target[i]), ("A", a[i]), ("B", b[i])):
            typer.echo(f"  {label:<11}{text}")
    if json_file:
        content = {
            "data": name, "sentences": len(data), "left_out": list(data.blank), "different": different,
            "systems": {"A": _said(first, beam), "B": _said(second, beam)},
            "scores": {c.name: _plain(c) for c in comparisons},
            "by_length": [
                {"words": one.label, "sentences": one.sentences, "A": plain(one.bleu), "B": plain(other.bleu)}
                for one, other in zip(*bins, strict=True)
            ],
            "most_different": [{"line": data.line(d.index), "A": d.first, "B": d.second} for d in differences],
        }  # fmt: skip
        write_json(json_file, content)


def _plain(comparison: Comparison) -> dict[str, Any]:
    sides = {"A": asdict(comparison.first), "B": asdict(comparison.second)}
    return sides | {"p": comparison.p, "signature": comparison.signature}


def _reader(system: Path, data: Pairs, beam: int) -> Callable[[], list[str]]:
    """What gives a system's translation of each pair's source; a system that cannot give any is an error here already.

    A file's lines are the test set's; a model has to translate.
    """
    if not system.is_file():
        from regard.translator import load

        return partial(_translate, load(system), data, beam)
    lines = read_lines(system)
    if len(lines) != lines_in(data):
        raise UserError(
            f"{system} has {len(lines):,} lines and there are {lines_in(data):,} pairs: expected a translation a line"
        )
    return lambda: [lines[data.line(index) - 1] for index in range(len(data))]


def _translate(translator: Translator, data: Pairs, beam: int) -> list[str]:
    found = translator.translate(data.source, beam=beam, attention=False, progress=True)
    return [translation.text for translation in found]


def _said(system: Path, beam: int) -> str:
    return f"{system}" if system.is_file() else f"{system}, beam {beam}"
