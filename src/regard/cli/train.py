"""`regard train`: from a raw file of sentence pairs to a folder with a translator."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Annotated, Any, get_args, get_type_hints

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
    builtin,
    check_one_origin,
)
from regard.cli.stopped import Stopped
from regard.config import ModelConfig, Settings, TrainConfig
from regard.data.pairs import Pairs, read_pairs
from regard.data.sets import read_set
from regard.errors import UserError
from regard.folder import read_config, read_origin, refuse_existing

EXAMPLES = (
    "[bold]Examples[/bold]\n\n"
    "regard train pairs.tsv\n\n"
    "regard train --source a.en --target a.fr --valid-source v.en --valid-target v.fr --out en-fr\n\n"
    "regard train --data multi30k --languages en-fr --out en-fr      (after: regard data fetch multi30k)\n\n"
    "regard train pairs.tsv --attention dot --cell lstm --epochs 10 --out lstm\n\n"
    "regard train --resume --out en-fr      (goes on after Ctrl-C)"
)
SECTIONS = {"model": ModelConfig, "train": TrainConfig}
TRAINING_FILES, VALIDATION_FILES = ("pairs", "source", "target"), ("valid", "valid_source", "valid_target")


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
    public: PublicName = None,
    languages: Languages = LANGUAGES,
    data_dir: DataDir = DEFAULT_DATA,
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
    if not resume:
        refuse_existing(out)
    saved = read_config(out) if resume else {}
    earlier = {section: saved[section] for section in SECTIONS if section in saved}
    settings = read_settings(earlier, _yaml(config) if config else {}, context.params)
    origin = _origin(context.params, read_origin(out) if resume else None, out)
    data, held_out = _read(origin)

    from regard.training import Interrupted, fit

    try:
        report = fit(settings, out, data, held_out, resume=resume, quiet=quiet, origin=origin)
    except Interrupted:
        raise Stopped(f"stopped and saved; go on with: regard train --resume --out {shlex.quote(str(out))}") from None
    typer.echo(
        f"{report.steps:,} steps in {report.seconds:,.0f} s, {report.tokens_per_second:,.0f} target tokens/s; "
        f"stopped: {report.stopped_because}"
    )
    if best := report.best_valid:
        which = (
            f"steps {', '.join(map(str, best['averaged']))}, averaged" if "averaged" in best else f"step {best['step']}"
        )
        typer.echo(f"Best: {which}: validation BLEU {best['valid_bleu']:.2f} (greedy)  {best['signature']}")
    typer.echo(f"The translator is in {report.folder}. Next:")
    typer.echo(f'  regard translate --model {shlex.quote(str(out))} --show "A sentence to translate"')


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


def _origin(given: dict[str, Any], earlier: Any, folder: Path) -> dict[str, Any]:
    """Where the pairs come from, as the model folder remembers it; what it remembers already where nothing is given."""
    files = {name: str(given[name].absolute()) for name in TRAINING_FILES + VALIDATION_FILES if given[name] is not None}
    public = given["public"]
    check_one_origin([given[name] for name in TRAINING_FILES if name in files], public)
    if public:
        where = {"languages": given["languages"], "data_dir": str(given["data_dir"].absolute())}
        return {"corpus": public, "files": files} | where
    if earlier is not None and not files:
        if not isinstance(earlier, dict) or not isinstance(earlier.get("files"), dict):
            raise UserError(f"{folder} does not say which pairs it was trained on: give them again")
        return earlier
    return {"corpus": None if any(name in files for name in TRAINING_FILES) else "built-in", "files": files}


def _read(origin: dict[str, Any]) -> tuple[Pairs, Pairs | None]:
    """The pairs to train on and those to validate on; None keeps some of the first for that."""
    files = {name: Path(path) for name, path in origin["files"].items()}
    valid: Pairs | None = None
    if origin.get("corpus") == "built-in":
        train, valid = builtin("train"), builtin("valid")
    elif origin.get("corpus"):
        where = origin["languages"], Path(origin["data_dir"])
        train, valid = (read_set(origin["corpus"], split, *where) for split in ("train", "valid"))
    else:
        train = _files(files, TRAINING_FILES)
    if any(name in files for name in VALIDATION_FILES):
        valid = _files(files, VALIDATION_FILES)
    return train, valid


def _files(files: dict[str, Path], names: tuple[str, str, str]) -> Pairs:
    tsv, source, target = (files.get(name) for name in names)
    return read_pairs(tsv, source=source, target=target)


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
