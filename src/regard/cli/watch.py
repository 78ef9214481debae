"""`regard watch`: what a model attends to while it reads a text: an overview here, and a report to look into."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from regard.errors import UserError
from regard.folder import CONFIG

if TYPE_CHECKING:
    from regard.observe.seen import Seen

EXAMPLES = (
    "[bold]Examples[/bold]\n\n"
    'regard watch en-fr --text "I love deep learning" --report r.html\n\n'
    "regard watch path/to/bert --file page.txt --layers -1 --heads 0,3\n\n"
    'cat page.txt | regard watch path/to/llama --file - --layers "layers.0.*"'
)
WHOLE = 512  # positions up to which matrices are kept whole; beyond, pooled maps and the largest weights


def watch(
    model: Annotated[
        str,
        typer.Argument(
            metavar="MODEL", help="A folder of Hugging Face's transformers, one that `train` made, or a shipped model."
        ),
    ],
    text: Annotated[str | None, typer.Option(metavar="TEXT", help="What the model reads.")] = None,
    file: Annotated[
        Path | None, typer.Option("--file", "-f", metavar="FILE", help="What it reads, whole; - is standard input.")
    ] = None,
    layers: Annotated[
        list[str] | None,
        typer.Option(metavar="LAYERS", help="A layer's number (-1 the last), or a module's path, * allowed; several."),
    ] = None,
    heads: Annotated[str | None, typer.Option(metavar="N,N,...", help="Which heads, from 0. Given none: all.")] = None,
    report: Annotated[
        Path | None, typer.Option("--report", "-r", metavar="FILE.html", help="Write a page to look into there.")
    ] = None,
) -> None:
    """Watch a model attend: entropy and distance by layer and head, and a report that needs no network.

    A translator translates the text first and is then watched writing its translation.
    """
    read = _text(text, file)
    chosen = _layers(layers), _heads(heads)
    if report is not None and (report.suffix != ".html" or not report.absolute().parent.is_dir()):
        raise UserError(f"--report {report}: expected a file that ends in .html, in a folder that is there")
    if _is_theirs(model):
        seen, said = _watch_theirs(model, read, *chosen)
    else:
        seen, said = _watch_ours(model, read, *chosen)
    if said is not None:
        typer.echo(said)
    _show(seen)
    if report is not None:
        rows = {"rows": "the word that was written"} if not _is_theirs(model) else {}
        seen.save(report, title=f"What {Path(model).name} read", **rows)
        typer.echo(f"report: {report}", err=True)


# ---- what was asked ----


def _text(text: str | None, file: Path | None) -> str:
    if (text is None) == (file is None):
        raise UserError(
            "watch: say what the model reads, by --text TEXT or --file FILE" + " (one of them)" * bool(text)
        )
    if file is not None:
        try:
            text = sys.stdin.read() if str(file) == "-" else file.read_text(encoding="utf-8")
        except (OSError, UnicodeError) as error:
            raise UserError(f"{file}: cannot be read as text ({error})") from None
    assert text is not None
    if not text.strip():
        raise UserError("watch: there is nothing to read: the text is blank")
    return text.strip()


def _layers(layers: list[str] | None) -> list[str | int] | None:
    return [int(one) if one.lstrip("-").isdigit() else one for one in layers] if layers else None


def _heads(heads: str | None) -> list[int] | None:
    try:
        return None if heads is None else [int(one) for one in heads.split(",")]
    except ValueError:
        raise UserError(f"--heads {heads}: expected whole numbers from 0, such as 0,3") from None


def _is_theirs(model: str) -> bool:
    """Whether it is a folder whose settings are of transformers' kind."""
    try:
        return "model_type" in json.loads((Path(model) / CONFIG).read_bytes())
    except (OSError, ValueError, TypeError):
        return False


# ---- watching ----


@contextmanager
def _watched(model: Any, positions: int, layers: Any, heads: Any) -> Iterator[Seen]:
    import torch

    import regard

    kept = {"weights": True} if positions <= WHOLE else {"map": WHOLE}
    try:
        watching = regard.watch(
            model, topk=8, entropy=True, mass=True, distance=True, layers=layers, heads=heads, **kept
        )
        with watching as seen, torch.no_grad():
            yield seen
    except ValueError as error:  # layers or heads that the model does not have
        if isinstance(error, UserError):
            raise
        raise UserError(str(error)) from None


def _watch_ours(model: str, text: str, layers: Any, heads: Any) -> tuple[Seen, str]:
    from regard.translator import load

    translator = load(model)
    text = " ".join(text.split())
    ids, _ = translator.tokenizer.read(text)
    with _watched(translator.model, len(ids), layers, heads) as seen:
        (translation,) = translator.translate([text], beam=1)
    seen.source_tokens = translator.tokenizer.pieces(ids)
    seen.tokens = [*translation.tokens, "</s>"]
    return seen, translation.text


def _watch_theirs(model: str, text: str, layers: Any, heads: Any) -> tuple[Seen, str | None]:
    network, tokenizer = _loaded(model)
    inputs = tokenizer(text, return_tensors="pt", return_token_type_ids=False)
    tokens = tokenizer.convert_ids_to_tokens(inputs["input_ids"][0].tolist())
    longest = getattr(network.config, "max_position_embeddings", None)
    if longest is not None and len(tokens) > longest:
        raise UserError(f"the text has {len(tokens):,} tokens, and {model} reads up to {longest:,}: give a shorter one")
    said = written = None
    if network.config.is_encoder_decoder:
        # Searched first and then read in one pass: a matrix a layer, not one a step.
        out = network.generate(**inputs, do_sample=False, num_beams=1, max_new_tokens=2 * len(tokens) + 10)
        said = tokenizer.decode(out[0], skip_special_tokens=True)
        inputs["decoder_input_ids"] = out[:, :-1]
        written = tokenizer.convert_ids_to_tokens(out[0, :-1].tolist())
    with _watched(network, len(tokens), layers, heads) as seen:
        network(**inputs)
    seen.tokens = tokens if written is None else written
    seen.source_tokens = None if written is None else tokens
    return seen, said


def _loaded(folder: str) -> tuple[Any, Any]:
    """A model of transformers and its tokenizer, from this folder and no network; no code from the folder runs."""
    try:
        import transformers
    except ImportError:
        raise UserError(f"{folder} is a model of transformers: pip install 'regard[hf]'") from None
    transformers.utils.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
    here = {"local_files_only": True, "trust_remote_code": False}
    try:
        config = transformers.AutoConfig.from_pretrained(folder, **here)
        kind = transformers.AutoModelForSeq2SeqLM if config.is_encoder_decoder else transformers.AutoModel
        network = kind.from_pretrained(folder, config=config, **here).eval()
        return network, transformers.AutoTokenizer.from_pretrained(folder, **here)
    except (OSError, ValueError, KeyError, ImportError) as error:
        raise UserError(f"{folder}: transformers cannot load it ({str(error).strip().partition(chr(10))[0]})") from None


def _show(seen: Seen) -> None:
    from rich.console import Console

    from regard.observe.overview import overview

    console = Console(highlight=False)
    console.print(overview(seen, width=console.width))
    if any(not look.cross for look in seen):  # between two sequences there is no distance
        console.print(overview(seen, width=console.width, statistic="distance"))
