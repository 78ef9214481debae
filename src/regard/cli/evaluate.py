"""`regard evaluate`: BLEU and chrF with their signatures, BLEU by source length, and alignment error where asked."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import typer

from regard.cli.align import exact_translator, gold_lines, link_pairs, score_links
from regard.cli.options import (
    DEFAULT_DATA,
    EDGES,
    LANGUAGES,
    LINK_MINIMUM,
    LINK_RULE,
    Beam,
    DataDir,
    Edges,
    GoldFile,
    GoldFrom,
    JsonFile,
    Languages,
    Minimum,
    ModelName,
    PairsFile,
    PublicName,
    Rule,
    SourceFile,
    TargetFile,
    Tokenize,
    check_folder_of,
    default_model,
    length_edges,
    lines_in,
    test_pairs,
    write_json,
)
from regard.errors import UserError

if TYPE_CHECKING:
    from regard.evaluation.lengths import LengthBin

EXAMPLES = (
    "[bold]Examples[/bold]\n\n"
    "regard evaluate test.tsv --model en-fr\n\n"
    "regard evaluate --source test.en --target test.fr --model en-fr --json scores.json\n\n"
    "regard evaluate --data multi30k --languages en-fr --model en-fr\n\n"
    "regard evaluate --source test.tok.en --target test.tok.fr --tokenize none\n\n"
    "regard evaluate --source a.en --target a.fr --gold a.gold --gold-from 1"
)


def evaluate(
    pairs: PairsFile = None,
    source: SourceFile = None,
    target: TargetFile = None,
    public: PublicName = None,
    languages: Languages = LANGUAGES,
    data_dir: DataDir = DEFAULT_DATA,
    model: ModelName = None,
    beam: Beam = 5,
    tokenize: Tokenize = "13a",
    edges: Edges = EDGES,
    gold: GoldFile = None,
    gold_from: GoldFrom = 0,
    rule: Rule = LINK_RULE,
    minimum: Minimum = LINK_MINIMUM,
    json_file: JsonFile = None,
) -> None:
    """Score a model on sentence pairs; without a file, on the built-in corpus' test split.

    With gold links, also the alignment error of its attention on the pairs as they are.
    """
    bounds = length_edges(edges)
    check_folder_of("--json", json_file)
    from regard.evaluation.lengths import by_length
    from regard.evaluation.link_rules import LinkRule
    from regard.evaluation.scores import bleu, chrf
    from regard.translator import load

    # What is wrong with the options, or missing, is said before the work and not after it.
    bleu(["x"], ["x"], tokenize=tokenize)
    by_length([], [], [], bounds)
    chosen = LinkRule(rule, minimum)  # type: ignore[arg-type]
    if gold and not (pairs or source or target or public):
        raise UserError("--gold: give the pairs whose links these are, as PAIRS.TSV or by --source and --target")
    model = model or default_model()
    translator = load(model)
    data, name = test_pairs(pairs, source, target, public, languages, data_dir)
    wanted = gold_lines(gold, lines_in(data)) if gold else None
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
    aligned = None
    if gold and wanted is not None:
        aligned = score_links(link_pairs(exact_translator(model), data, chosen), data, wanted, gold, gold_from)
        typer.echo(f"{aligned}, rule: {chosen}")
    typer.echo("\nsource words   sentences    BLEU")
    for part in bins:
        typer.echo(f"{part.label:<12}{part.sentences:>12,}  {bleu_of(part):>6}")
    if json_file:
        content = {
            "model": model, "data": name, "sentences": len(texts), "left_out": list(data.blank), "beam": beam,
            "seconds": round(seconds, 2), "scores": {s.name: plain(s) for s in scores},
            "by_length": [{"words": p.label, "sentences": p.sentences, **plain(p.bleu)} for p in bins],
        }  # fmt: skip
        write_json(json_file, content | ({"alignment": aligned.plain()} if aligned else {}))


def bleu_of(part: LengthBin) -> str:
    """A bin's BLEU as text."""
    return "none" if part.bleu is None else f"{part.bleu.value:.2f}"


def plain(score: Any) -> dict[str, Any]:
    """A score for JSON, with its signature."""
    if score is None:
        return {"value": None, "signature": None}
    return {"value": score.value, "signature": score.signature}
