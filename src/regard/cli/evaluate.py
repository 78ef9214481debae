"""`regard evaluate`: BLEU and chrF with their signatures, and BLEU by source length."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from regard.cli.options import DEFAULT_MODEL, ModelFolder, PairsFile, SourceFile, TargetFile, builtin
from regard.data.pairs import read_pairs
from regard.errors import UserError

if TYPE_CHECKING:
    from regard.evaluation.lengths import LengthBin

EXAMPLES = (
    "[bold]Examples[/bold]\n\n"
    "regard evaluate test.tsv --model en-fr\n\n"
    "regard evaluate --source test.en --target test.fr --model en-fr --json scores.json\n\n"
    "regard evaluate --source test.tok.en --target test.tok.fr --tokenize none"
)


def evaluate(
    pairs: PairsFile = None,
    source: SourceFile = None,
    target: TargetFile = None,
    model: ModelFolder = DEFAULT_MODEL,
    beam: Annotated[int, typer.Option(min=1, help="Hypotheses kept while searching; 1 is greedy.")] = 5,
    tokenize: Annotated[
        str, typer.Option(help="sacreBLEU's tokeniser: 13a for plain text, none for text that is tokenised.")
    ] = "13a",
    edges: Annotated[
        str, typer.Option(metavar="N,N,...", help="Where the bins of source length end, in words.")
    ] = "10,20,30,40,60",
    json_file: Annotated[
        Path | None, typer.Option("--json", metavar="FILE", help="Write the results there too.")
    ] = None,
) -> None:
    """Score a model on sentence pairs; without a file, on the built-in corpus' test split."""
    bounds = _edges(edges)
    if json_file and not json_file.absolute().parent.is_dir():
        raise UserError(f"--json {json_file}: there is no folder {json_file.absolute().parent}: make it first")
    from regard.evaluation.lengths import by_length
    from regard.evaluation.scores import bleu, chrf
    from regard.translator import load

    # What is wrong with the options, or missing, is said before the work and not after it.
    bleu(["x"], ["x"], tokenize=tokenize)
    by_length([], [], [], bounds)
    translator = load(model)
    if pairs or source or target:
        data, name = read_pairs(pairs, source=source, target=target), str(pairs or f"{source}, {target}")
    else:
        data, name = builtin("test"), "built-in corpus, test split"
    start = time.monotonic()
    found = translator.translate(data.source, beam=beam, attention=False, progress=True)
    seconds = time.monotonic() - start
    texts = [translation.text for translation in found]
    scores = [bleu(texts, data.target, tokenize=tokenize), chrf(texts, data.target)]
    words = [len(translation.source_words) for translation in found]
    bins = by_length(words, texts, data.target, bounds, tokenize=tokenize)

    typer.echo(f"{name}: {len(texts):,} sentences, beam {beam}, {seconds:.1f} s")
    for score in scores:
        typer.echo(str(score))
    typer.echo("\nsource words   sentences    BLEU")
    for part in bins:
        typer.echo(f"{part.label:<12}{part.sentences:>12,}  {_bleu(part):>6}")
    if json_file:
        json_file.write_text(
            json.dumps(
                {
                    "model": str(model), "data": name, "sentences": len(texts), "beam": beam,
                    "seconds": round(seconds, 2), "scores": {s.name: _plain(s) for s in scores},
                    "by_length": [{"words": p.label, "sentences": p.sentences, **_plain(p.bleu)} for p in bins],
                },
                indent=2, ensure_ascii=False,
            ) + "\n",
            encoding="utf-8",
        )  # fmt: skip


def _edges(text: str) -> list[int]:
    try:
        return [int(part) for part in text.split(",")]
    except ValueError:
        raise UserError(f"--edges {text}: expected whole numbers that grow, such as 10,20,30") from None


def _bleu(part: LengthBin) -> str:
    return "none" if part.bleu is None else f"{part.bleu.value:.2f}"


def _plain(score: Any) -> dict[str, Any]:
    if score is None:
        return {"value": None, "signature": None}
    return {"value": score.value, "signature": score.signature}
