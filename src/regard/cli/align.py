"""`regard align`: which word of a sentence each word of its translation was read from, as Pharaoh's links."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from regard.cli.options import (
    LINK_MINIMUM,
    LINK_RULE,
    GoldFile,
    GoldFrom,
    JsonFile,
    Minimum,
    ModelName,
    PairsFile,
    Rule,
    SourceFile,
    TargetFile,
    check_folder_of,
    default_model,
    lines_in,
    some_lines,
    write_json,
    write_whole,
)
from regard.data.pairs import Pairs, read_lines, read_pairs
from regard.errors import UserError

if TYPE_CHECKING:
    from regard.evaluation.alignment import AlignmentScore, Links
    from regard.evaluation.link_rules import LinkRule
    from regard.translator import Translator

EXAMPLES = (
    "[bold]Examples[/bold]\n\n"
    "regard align pairs.tsv --model en-fr > pairs.links\n\n"
    "regard align --source a.en --target a.fr --model en-fr --rule both --output a.links\n\n"
    "regard align --source a.en --target a.fr --model en-fr --gold a.gold --gold-from 1"
)
AT_ONCE = 2_000  # pairs aligned before their weights are forgotten, so that a long file needs little memory


def align(
    pairs: PairsFile = None,
    source: SourceFile = None,
    target: TargetFile = None,
    model: ModelName = None,
    output: Annotated[Path | None, typer.Option("--output", "-o", metavar="FILE", help="Where the links go.")] = None,
    rule: Rule = LINK_RULE,
    minimum: Minimum = LINK_MINIMUM,
    gold: GoldFile = None,
    gold_from: GoldFrom = 0,
    json_file: JsonFile = None,
) -> None:
    """Align sentence pairs word by word: a line of links such as 0-0 1-2 for every pair, source word first, from 0.

    Words are what stands between blanks. A pair with a blank side has no links and gives a blank line.
    """
    for option, path in (("--output", output), ("--json", json_file)):
        check_folder_of(option, path)
    from regard.evaluation.alignment import write_links
    from regard.evaluation.link_rules import LinkRule

    chosen = LinkRule(rule, minimum)  # type: ignore[arg-type]
    data = read_pairs(pairs, source=source, target=target)
    wanted = gold_lines(gold, lines_in(data)) if gold else None
    model = model or default_model()
    translator = exact_translator(model)
    links = link_pairs(translator, data, chosen)
    lines = [""] * lines_in(data)
    for index, found in enumerate(links):
        lines[data.line(index) - 1] = write_links(found)
    text = "".join(f"{line}\n" for line in lines)
    if output:
        write_whole(output, text)
    else:
        sys.stdout.write(text)
    if data.blank:
        typer.echo(f"{len(data.blank):,} of {len(lines):,} pairs have a blank side, and so no links", err=True)
    score = None
    if gold and wanted is not None:
        score = score_links(links, data, wanted, gold, gold_from)
        typer.echo(f"{score}", err=not output)
    if json_file:
        write_json(
            json_file,
            {"model": model, "rule": str(chosen), "pairs": len(lines), "blank": list(data.blank)}
            | ({"alignment": score.plain()} if score else {}),
        )


def exact_translator(model: str) -> Translator:
    """The model in float64, where no rounding of a batch's products can tip a link."""
    import torch

    from regard.translator import load

    return load(model).to(torch.float64)


def link_pairs(translator: Translator, data: Pairs, rule: LinkRule) -> list[Links]:
    """The links of each pair."""
    from regard.aligner import align as attend_to

    links: list[Links] = []
    for start in range(0, len(data), AT_ONCE):
        found = attend_to(translator, data.source[start : start + AT_ONCE], data.target[start : start + AT_ONCE])
        links += [rule(pair.attention) for pair in found]
        if len(data) > AT_ONCE:
            typer.echo(f"aligning: {len(links):,}/{len(data):,} pairs", err=True)
    return links


def gold_lines(gold: Path, count: int) -> list[str]:
    """The gold file's lines; UserError unless there is one a pair, those with a blank side counted."""
    lines = read_lines(gold)
    if len(lines) != count:
        raise UserError(
            f"{gold} has {len(lines):,} lines and there are {count:,} pairs: expected a line of links a pair"
        )
    return lines


def score_links(links: list[Links], data: Pairs, lines: list[str], path: Path, first: int) -> AlignmentScore:
    """AER over all lines, those with a blank side too; gold links beyond a sentence's end count, and are named."""
    from regard.aligner import cut_at_blanks
    from regard.evaluation.alignment import alignment_error, outside, read_links

    gold = read_links(lines, first=first, where=str(path))
    found: list[Links] = [frozenset() for _ in lines]
    lengths = [(0, 0) for _ in lines]
    for index, (source, target) in enumerate(zip(data.source, data.target, strict=True)):
        found[data.line(index) - 1] = links[index]
        lengths[data.line(index) - 1] = len(cut_at_blanks(source)), len(cut_at_blanks(target))
    if beyond := outside(gold, lengths):
        if first == 0 and not any(0 in link for g in gold for link in g.possible):
            raise UserError(f"{path} has no word 0 and links beyond the sentences' ends: give --gold-from 1")
        typer.echo(f"{path}: links beyond the end of a sentence, counted as they are: {some_lines(beyond)}", err=True)
    return alignment_error(found, gold)
