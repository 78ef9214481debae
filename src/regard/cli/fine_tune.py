"""`regard fine-tune`: go on from a trained translator, on the reward that its own outputs earn."""

from __future__ import annotations

import shlex
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from regard.cli.options import (
    DEFAULT_DATA,
    LANGUAGES,
    DataDir,
    Languages,
    ModelName,
    PairsFile,
    PublicName,
    SourceFile,
    TargetFile,
    default_model,
)
from regard.cli.origin import ValidFile, ValidSourceFile, ValidTargetFile, origin_of, read_pairs_of
from regard.cli.stopped import Stopped
from regard.errors import UserError
from regard.folder import read_origin, refuse_existing

EXAMPLES = (
    "[bold]Examples[/bold]\n\n"
    "regard fine-tune pairs.tsv --model my-model --reward chrf --out my-model-chrf\n\n"
    "regard fine-tune --source a.en --target a.fr --model en-fr --reward bleu --epochs 2\n\n"
    "regard fine-tune --resume --out my-model-chrf      (goes on after Ctrl-C, or after a crash)"
)
OUT = Path("regard-fine-tuned")
DEFAULTS = {"reward": "bleu", "baseline": "leave-one-out", "samples": 5}
SETTINGS = ("epochs", "steps", "batch_tokens", "learning_rate", "seed")


def fine_tune(
    pairs: PairsFile = None,
    source: SourceFile = None,
    target: TargetFile = None,
    valid: ValidFile = None,
    valid_source: ValidSourceFile = None,
    valid_target: ValidTargetFile = None,
    public: PublicName = None,
    languages: Languages = LANGUAGES,
    data_dir: DataDir = DEFAULT_DATA,
    model: ModelName = None,
    out: Annotated[Path, typer.Option("--out", "-o", metavar="FOLDER", help="Where the new model goes.")] = OUT,
    reward: Annotated[
        str | None, typer.Option(help="bleu, chrf, rouge-1, rouge-2, rouge-l, cider-d or wer. Default bleu.")
    ] = None,
    baseline: Annotated[
        Literal["leave-one-out", "greedy"] | None,
        typer.Option(help="What a sample must beat: the others' mean, or the greedy output. Default leave-one-out."),
    ] = None,
    samples: Annotated[
        int | None, typer.Option(min=1, metavar="N", help="Outputs drawn for each sentence. Default 5.")
    ] = None,
    epochs: Annotated[int | None, typer.Option(min=1, help="Passes over the pairs. Default 5.")] = None,
    steps: Annotated[int | None, typer.Option(min=1, help="Updates at most.")] = None,
    batch_tokens: Annotated[int | None, typer.Option(min=1, help="Target subwords of an update. Default 512.")] = None,
    learning_rate: Annotated[float | None, typer.Option(help="Adam's rate. Default 5e-05.")] = None,
    seed: Annotated[int | None, typer.Option(min=0, help="Of the order of the pairs and of the draws.")] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on where training in the folder stopped.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No progress.")] = False,
) -> None:
    """Go on from a trained translator by self-critical training: outputs that earn more become more probable.

    Each sentence is translated several times by drawing; a draw is judged by its reward against the reference, and by
    whether that beats the baseline. Without a file, on the built-in English–French corpus.
    """
    given = locals()
    earlier = _remembered(out) if resume else None
    if not resume:
        refuse_existing(out)
    said = _asked(given, earlier["fine_tuning"] if earlier else {})
    origin = origin_of(given, earlier, out) | {"fine_tuning": said}
    train, held_out = read_pairs_of(origin)
    from regard.training import Interrupted
    from regard.training import fine_tune as tune
    from regard.training.fine_tuning import SELF_CRITICAL

    config = replace(SELF_CRITICAL, **said["config"])
    try:
        found = tune(
            said["model"], out, train, held_out, reward=said["reward"], baseline=said["baseline"],
            samples=said["samples"], config=config, resume=resume, quiet=quiet, origin=origin,
        )  # fmt: skip
    except Interrupted:
        again = f"regard fine-tune --resume --out {shlex.quote(str(out))}"
        raise Stopped(f"stopped and saved; go on with: {again}") from None
    name = said["reward"]
    typer.echo(
        f"{found.run.steps:,} steps in {found.run.seconds:,.0f} s; stopped: {found.run.stopped_because}\n"
        f"{name} of greedy translations of the validation pairs: {found.reward_before:.4f} before, "
        f"{found.reward_after:.4f} after\n"
        f"The translator is in {found.run.folder}. Compare the two on pairs that neither has seen:\n"
        f"  regard compare {shlex.quote(said['model'])} {shlex.quote(str(out))} test.tsv"
    )


def _remembered(folder: Path) -> dict[str, Any]:
    """What the folder says of the run to be resumed."""
    earlier = read_origin(folder)
    if not isinstance(earlier, dict) or not isinstance(earlier.get("fine_tuning"), dict):
        raise UserError(f"{folder} was not made by `regard fine-tune`: there is no run to go on with")
    return earlier


def _asked(given: dict[str, Any], earlier: dict[str, Any]) -> dict[str, Any]:
    """From which model, on what reward, with which settings: as given, else as before, else the defaults."""
    model = given["model"] or earlier.get("model") or default_model()
    if Path(model).exists():  # a path, which must be found from anywhere
        model = str(Path(model).absolute())
    settings = {name: given[name] for name in SETTINGS if given[name] is not None}
    chosen = {name: given[name] or earlier.get(name, default) for name, default in DEFAULTS.items()}
    return {"model": model, **chosen, "config": earlier.get("config", {}) | settings}
