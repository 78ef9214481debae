"""`regard train`: from a raw file of sentence pairs to a folder with a translator."""

from __future__ import annotations

import contextlib
import os
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, NamedTuple, get_type_hints

import typer

from regard.cli.options import (
    DEFAULT_DATA,
    DEFAULT_MODEL,
    LANGUAGES,
    DataDir,
    Languages,
    PairsFile,
    PublicName,
    SourceFile,
    TargetFile,
)
from regard.cli.origin import ValidFile, ValidSourceFile, ValidTargetFile, origin_of, read_pairs_of
from regard.cli.settings_file import SECTIONS, choices, comments, read_yaml, reference
from regard.cli.stopped import Stopped
from regard.config import ModelConfig, Settings, TrainConfig
from regard.data.pairs import Pairs
from regard.errors import UserError
from regard.folder import SEEDS, read_config, read_origin, read_seeds, refuse_existing

EXAMPLES = (
    "[bold]Examples[/bold]\n\n"
    "regard train pairs.tsv\n\n"
    "regard train --source a.en --target a.fr --valid-source v.en --valid-target v.fr --out en-fr\n\n"
    "regard train --data multi30k --languages en-fr --out en-fr      (after: regard data fetch multi30k)\n\n"
    "regard train pairs.tsv --attention dot --cell lstm --epochs 10 --out lstm\n\n"
    "regard train --resume --out en-fr      (goes on after Ctrl-C, or after a crash)\n\n"
    "regard train pairs.tsv --seeds 1,2,3 --out three      (mean and spread over seeds)\n\n"
    "regard train --print-config > my.yaml; regard train pairs.tsv --config my.yaml\n\n"
    "torchrun --nproc_per_node 2 -m regard train pairs.tsv      (each batch split over two processes)"
)


def _setting(name: str) -> Any:
    """An option for one field of ModelConfig or TrainConfig, from which its text, default and choices come."""
    config = ModelConfig if name in get_type_hints(ModelConfig) else TrainConfig
    meaning, words, default = comments(config)[name], choices(config, name), getattr(config, name)
    text = f"{meaning[0].upper()}{meaning[1:]}{': ' + ', '.join(words) if words else ''}."
    if default is not None:
        text = f"{text} Default {default}."
    return typer.Option(help=text, rich_help_panel="Model and training")


def train(
    context: typer.Context,
    pairs: PairsFile = None,
    source: SourceFile = None,
    target: TargetFile = None,
    valid: ValidFile = None,
    valid_source: ValidSourceFile = None,
    valid_target: ValidTargetFile = None,
    public: PublicName = None,
    languages: Languages = LANGUAGES,
    data_dir: DataDir = DEFAULT_DATA,
    out: Annotated[Path, typer.Option("--out", "-o", metavar="FOLDER", help="Where the model goes.")] = DEFAULT_MODEL,
    resume: Annotated[bool, typer.Option("--resume", help="Go on where training in the folder stopped.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No progress.")] = False,
    config: Annotated[
        Path | None, typer.Option(metavar="FILE.YAML", help="Settings under `model:` and `train:`; options win.")
    ] = None,
    print_config: Annotated[
        bool, typer.Option("--print-config", help="Print a file of every setting with its default, and stop.")
    ] = False,
    seeds: Annotated[
        str | None,
        typer.Option(
            metavar="N|A,B,...", help="Train with seeds 1 to N, or with these, into FOLDER/seed-N; mean and spread."
        ),
    ] = None,
    attention: Annotated[str | None, _setting("attention")] = None,
    cell: Annotated[str | None, _setting("cell")] = None,
    order: Annotated[str | None, _setting("order")] = None,
    layers: Annotated[int | None, _setting("layers")] = None,
    embedding: Annotated[int | None, _setting("embedding")] = None,
    encoder_hidden: Annotated[int | None, _setting("encoder_hidden")] = None,
    decoder_hidden: Annotated[int | None, _setting("decoder_hidden")] = None,
    dropout: Annotated[float | None, _setting("dropout")] = None,
    vocabulary: Annotated[int | None, _setting("vocabulary")] = None,
    typed: Annotated[float | None, _setting("typed")] = None,
    epochs: Annotated[int | None, _setting("epochs")] = None,
    steps: Annotated[int | None, _setting("steps")] = None,
    batch_tokens: Annotated[int | None, _setting("batch_tokens")] = None,
    accumulate: Annotated[int | None, _setting("accumulate")] = None,
    learning_rate: Annotated[float | None, _setting("learning_rate")] = None,
    schedule: Annotated[str | None, _setting("schedule")] = None,
    patience: Annotated[int | None, _setting("patience")] = None,
    average: Annotated[int | None, _setting("average")] = None,
    precision: Annotated[str | None, _setting("precision")] = None,
    seed: Annotated[int | None, _setting("seed")] = None,
) -> None:
    """Train a translator on sentence pairs; without a file, on the built-in English–French corpus."""
    if print_config:
        typer.echo(reference(), nl=False)
        return
    with _processes() as (leads, in_turn):
        with in_turn:
            wanted = _wanted(context.params, leads)
        from regard.training import Interrupted

        try:
            lines = _train_seeds(wanted, out, resume, quiet) if wanted.seeds else _train(wanted, out, resume, quiet)
        except Interrupted:
            if not leads:
                raise SystemExit(130) from None
            again = f"regard train --resume --out {shlex.quote(str(out))}"
            raise Stopped(f"stopped and saved; go on with: {again}") from None
        if leads:
            typer.echo("\n".join(lines))


class _Wanted(NamedTuple):
    """What to train on what, from the options, or from what a folder remembers of the run to be resumed."""

    settings: Settings
    train: Pairs
    valid: Pairs | None
    origin: dict[str, Any]
    seeds: list[int] | None


def _wanted(given: dict[str, Any], leads: bool) -> _Wanted:
    out, resume = given["out"], given["resume"]
    if not resume and leads:  # the other processes come when the leading one may have begun
        refuse_existing(out)
    several = read_seeds(out) if resume else None
    if several:
        saved, earlier_origin = several["settings"], several["origin"]
    else:
        saved, earlier_origin = (read_config(out), read_origin(out)) if resume else ({}, None)
    earlier = {section: saved[section] for section in SECTIONS if section in saved}
    settings = read_settings(earlier, read_yaml(given["config"]) if given["config"] else {}, given)
    seeds = several["seeds"] if several else None
    if given["seeds"] is not None:
        seeds = _seeds(given["seeds"])
    if seeds and given["seed"] is not None:
        raise UserError(f"--seed {given['seed']} and several seeds {seeds}: give one or the other")
    origin = origin_of(given, earlier_origin, out)
    return _Wanted(settings, *read_pairs_of(origin), origin, seeds)


def _train(wanted: _Wanted, out: Path, resume: bool, quiet: bool) -> list[str]:
    """Train once; what to say of it."""
    from regard.training import fit

    report = fit(
        wanted.settings, out, wanted.train, wanted.valid, resume=resume, quiet=quiet, origin=wanted.origin
    )  # fmt: skip
    best = f"Best: {_describe(report.best_valid)}  {report.best_valid['signature']}"
    return [
        f"{report.steps:,} steps in {report.seconds:,.0f} s, {report.tokens_per_second:,.0f} target tokens/s; "
        f"stopped: {report.stopped_because}",
        best,
        f"The translator is in {report.folder}. Next:",
        f'  regard translate --model {shlex.quote(str(out))} --show "A sentence to translate"',
    ]


def _train_seeds(wanted: _Wanted, out: Path, resume: bool, quiet: bool) -> list[str]:
    """Train once a seed; what to say of it."""
    from regard.training import fit_seeds

    assert wanted.seeds
    found = fit_seeds(
        wanted.settings, wanted.seeds, out, wanted.train, wanted.valid,
        resume=resume, quiet=quiet, origin=wanted.origin,
    )  # fmt: skip
    spread = "" if found["spread"] is None else f" ± {found['spread']:.2f} (sample standard deviation)"
    return [
        *(f"{out / f'seed-{seed}'}: {_describe(best)}" for seed, best in found["runs"].items()),
        f"Validation BLEU over {len(wanted.seeds)} seeds: {found['mean']:.2f}{spread}; in {out / SEEDS}",
    ]


def _describe(best: dict[str, Any]) -> str:
    steps = best.get("averaged")
    which = f"mean of the weights of steps {', '.join(map(str, steps))}" if steps else f"step {best['step']}"
    return f"{which}: validation BLEU {best['valid_bleu']:.2f} (greedy)"


@contextlib.contextmanager
def _processes() -> Iterator[tuple[bool, contextlib.AbstractContextManager[None]]]:
    """Whether this process leads, and a context in which it waits for its turn; one alone needs no import for that."""
    if os.environ.get("WORLD_SIZE", "1") == "1":
        yield True, contextlib.nullcontext()
        return
    from regard.training.together import processes

    with processes() as together:
        yield together.leads, together.one_at_a_time()


def _seeds(text: str) -> list[int]:
    """`3` for 1, 2, 3; `4,7` for those."""
    try:
        numbers = [int(part) for part in text.rstrip(",").split(",")]
    except ValueError:
        numbers = []
    if "," not in text and len(numbers) == 1:
        numbers = list(range(1, numbers[0] + 1))
    if not numbers or min(numbers) < 0 or len(set(numbers)) < len(numbers):
        raise UserError(f"--seeds: expected how many, or different numbers as in 1,2,3; got {text!r}")
    return numbers


def read_settings(*mappings: dict[str, Any]) -> Settings:
    """Settings from mappings, the later ones winning: a saved run's, a file's, and last the options given.

    Raises UserError for unknown keys and values that do not fit.
    """
    *files, given = mappings
    merged: dict[str, Any] = {}
    for mapping in files:
        for section, values in mapping.items():
            if isinstance(values, dict) and isinstance(merged.get(section), dict):
                values = merged[section] | values
            merged[section] = values
    for section, kind in SECTIONS.items():
        named = {name: given[name] for name in get_type_hints(kind) if given.get(name) is not None}
        if named and isinstance(merged.get(section) or {}, dict):
            merged[section] = (merged.get(section) or {}) | named
    return Settings.from_mapping(merged)
