"""`regard train`: from a raw file of sentence pairs to a folder with a translator."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, get_args, get_type_hints

import typer

from regard.cli.options import DEFAULT_MODEL, PairsFile, SourceFile, TargetFile, pairs_or_builtin
from regard.cli.stopped import Stopped
from regard.config import ModelConfig, Settings, TrainConfig
from regard.errors import UserError

if TYPE_CHECKING:
    from regard.data.pairs import Pairs

EXAMPLES = (
    "[bold]Examples[/bold]\n\n"
    "regard train pairs.tsv\n\n"
    "regard train --source a.en --target a.fr --valid-source v.en --valid-target v.fr --out en-fr\n\n"
    "regard train pairs.tsv --attention dot --cell lstm --epochs 10 --out lstm\n\n"
    "regard train pairs.tsv --out en-fr --resume      (go on after Ctrl-C)"
)


def _setting(name: str, help: str) -> Any:
    """An option for one field of ModelConfig or TrainConfig, from which its default and its choices come."""
    config = ModelConfig if name in get_type_hints(ModelConfig) else TrainConfig
    default = getattr(config, name)
    hint = get_type_hints(config)[name]
    choices = [choice for part in (hint, *get_args(hint)) for choice in get_args(part) if isinstance(choice, str)]
    if choices:
        help = f"{help}: {', '.join(choices)}."
    if default is not None:
        help = f"{help} Default {default}."
    return typer.Option(help=help, rich_help_panel="Model and training")


def train(
    context: typer.Context,
    pairs: PairsFile = None,
    source: SourceFile = None,
    target: TargetFile = None,
    valid: Annotated[Path | None, typer.Option(metavar="FILE", help="Pairs to validate on, as PAIRS.TSV.")] = None,
    valid_source: Annotated[Path | None, typer.Option(metavar="FILE", help="The same in two files: source.")] = None,
    valid_target: Annotated[Path | None, typer.Option(metavar="FILE", help="The same in two files: target.")] = None,
    out: Annotated[Path, typer.Option("--out", "-o", metavar="FOLDER", help="Where the model goes.")] = DEFAULT_MODEL,
    resume: Annotated[bool, typer.Option("--resume", help="Go on where training in the folder stopped.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No progress.")] = False,
    config: Annotated[
        Path | None, typer.Option(metavar="FILE.YAML", help="Settings under `model:` and `train:`; options win.")
    ] = None,
    attention: Annotated[str | None, _setting("attention", "How the decoder looks back")] = None,
    cell: Annotated[str | None, _setting("cell", "The recurrent cell")] = None,
    order: Annotated[str | None, _setting("order", "When it looks; by default what suits the attention")] = None,
    layers: Annotated[int | None, _setting("layers", "Encoder and decoder layers.")] = None,
    embedding: Annotated[int | None, _setting("embedding", "Features of a word vector.")] = None,
    encoder_hidden: Annotated[int | None, _setting("encoder_hidden", "Encoder features per direction.")] = None,
    decoder_hidden: Annotated[int | None, _setting("decoder_hidden", "Decoder features.")] = None,
    dropout: Annotated[float | None, _setting("dropout", "Share of features dropped in training.")] = None,
    vocabulary: Annotated[int | None, _setting("vocabulary", "Subwords, shared by the two languages.")] = None,
    epochs: Annotated[int | None, _setting("epochs", "Passes over the data, at most.")] = None,
    steps: Annotated[int | None, _setting("steps", "Updates, at most.")] = None,
    batch_tokens: Annotated[int | None, _setting("batch_tokens", "Tokens a batch holds, at most.")] = None,
    learning_rate: Annotated[float | None, _setting("learning_rate", "Adam's step size at its peak.")] = None,
    precision: Annotated[str | None, _setting("precision", "Arithmetic")] = None,
    seed: Annotated[int | None, _setting("seed", "Same seed, same data: same model.")] = None,
) -> None:
    """Train a translator on sentence pairs; without a file, on the built-in English–French corpus."""
    settings = read_settings(config, context.params)
    data, _ = pairs_or_builtin(pairs, source, target, "train")
    held_out = _validation(valid, valid_source, valid_target, builtin=not (pairs or source or target))

    from regard.training import Interrupted, fit

    try:
        report = fit(settings, out, data, held_out, resume=resume, quiet=quiet)
    except Interrupted:
        raise Stopped(f"stopped and saved; go on with: {_again(context, resume)}") from None
    typer.echo(
        f"{report.steps:,} steps in {report.seconds:,.0f} s, {report.tokens_per_second:,.0f} target tokens/s; ",
        nl=False,
    )
    typer.echo(f"stopped because {report.stopped_because}.")
    if report.best_valid:
        typer.echo(
            "Best on validation: " + ", ".join(f"{name} {value:.2f}" for name, value in report.best_valid.items())
        )
    typer.echo(f"The translator is in {report.folder}. Next:")
    typer.echo(f'  regard translate --model {shlex.quote(str(out))} --show "A sentence to translate"')


def read_settings(config: Path | None, given: dict[str, Any]) -> Settings:
    """Settings from a YAML file and from the options given, which win; unknown keys raise UserError."""
    mapping: dict[str, Any] = _yaml(config) if config else {}
    for section, kind in (("model", ModelConfig), ("train", TrainConfig)):
        named = {name: given[name] for name in get_type_hints(kind) if given.get(name) is not None}
        if named:
            inside = mapping.get(section) or {}
            if not isinstance(inside, dict):
                raise UserError(f"{config}: {section} is {inside!r}, expected settings such as `seed: 1` below it")
            mapping[section] = {**inside, **named}
    return Settings.from_mapping(mapping)


def _yaml(path: Path) -> dict[str, Any]:
    try:
        import yaml
    except ImportError:
        raise UserError('--config needs PyYAML, which is not here: pip install "regard[train]"') from None
    try:
        mapping = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{path}: cannot be read ({error})") from None
    except yaml.YAMLError as error:
        raise UserError(f"{path}: not YAML ({error})") from None
    if not isinstance(mapping, dict):
        raise UserError(f"{path}: expected settings under `model:` and `train:`, got {mapping!r}")
    return mapping


def _validation(tsv: Path | None, source: Path | None, target: Path | None, builtin: bool) -> Pairs | None:
    if tsv or source or target:
        from regard.data.pairs import read_pairs

        return read_pairs(tsv, source=source, target=target)
    if builtin:
        from regard.recipes.builtin import builtin_pairs

        return builtin_pairs("valid")
    return None


def _again(context: typer.Context, resumed: bool) -> str:
    """The command line that goes on: the same, with --resume."""
    arguments = list(context.obj or ["train"])
    return shlex.join(["regard", *arguments, *([] if resumed else ["--resume"])])
