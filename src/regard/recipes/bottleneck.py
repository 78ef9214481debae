"""The bottleneck, seen live: two translators that differ in one thing, attention, on sentences that grow longer.

First the translator that ships with the package says what attention is: it translates a sentence that it never saw and
shows where each word was read. Then two are trained. Without attention the encoder hands over one fixed vector, however
long the sentence; with it the decoder looks back at every source word. Claim checked: with attention, BLEU at 31-60
words is at least 0.9 × BLEU at up to 10 words; without, at most 0.5 ×. Both are trained on the built-in corpus with the
same data, sizes, seed and number of updates, and judged on its test split, which holds out combinations and
constructions. Then the one with attention translates the same sentence. Sutskever 2014; Cho 2014; Bahdanau 2014.
"""

from __future__ import annotations

import json
import shlex
import shutil
import time
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from rich.console import Console
from rich.table import Table

from regard.config import ModelConfig, Settings, TrainConfig
from regard.data.corpus import Pair, example
from regard.errors import UserError
from regard.evaluation.lengths import LengthBin, by_length
from regard.observe.terminal import matrix
from regard.recipes.builtin import as_pairs, builtin_pairs, written
from regard.recipes.side_by_side import Run, train_side_by_side
from regard.shipped import DEFAULT

if TYPE_CHECKING:
    from regard.translator import Translation, Translator


MODEL = ModelConfig(embedding=128, encoder_hidden=128, decoder_hidden=128, dropout=0.0)
TRAINING = TrainConfig(
    steps=1_100,  # fixed: a budget in minutes would give another model on another machine
    epochs=1_000,
    patience=1_000,
    validate_every=1_100,
    average=1,
    vocabulary=3_000,
    learning_rate=3e-3,
    warmup=100,
    label_smoothing=0.0,
)


@dataclass(frozen=True)
class Sizes:
    """How large the experiment is: by default what two cores do in five minutes and what shows the claim.

    Short sentences teach words and forms at little cost, long ones what to do with length.
    """

    train: tuple[tuple[int, tuple[int, int]], ...] = ((32_000, (2, 12)), (24_000, (2, 60)))  # sentences, source words
    valid: int = 100
    test: int = 100  # for each range of source lengths
    lengths: tuple[tuple[int, int], ...] = ((2, 10), (11, 20), (21, 30), (31, 60))  # source words, no punctuation
    model: ModelConfig = MODEL
    training: TrainConfig = TRAINING
    beam: int = 1


SYSTEMS = {"no attention": "none", "additive attention": "additive"}
EXAMPLE = example()  # "I love deep learning", which no training split contains
# Drawn by hand by the person who asked for this project, to say what such a matrix is; two columns sum to .9.
ILLUSTRATION = np.array(
    [[0.8, 0.1, 0, 0.05, 0.05], [0.1, 0.8, 0, 0.05, 0.05], [0, 0.05, 0.1, 0.4, 0.45], [0, 0.05, 0.8, 0.5, 0.45]]
).T
RESULTS = "results.json"


def run(folder: Path, *, seed: int = 1, sizes: Sizes | None = None, console: Console | None = None) -> dict[str, Any]:
    """Train, compare and show; everything goes into `folder`, whose earlier demo is replaced.

    Returns what is written to results.json: settings, seed, versions, BLEU by length with signatures, seconds.
    Raises UserError if the folder holds something that is not an earlier demo's.
    """
    from regard.translator import load

    sizes, console, start = sizes or Sizes(), console or Console(highlight=False), time.monotonic()
    _prepare(folder)
    results: dict[str, Any] = {"recipe": "bottleneck", "finished": False, "seed": seed, "settings": asdict(sizes)}
    _write(folder, results)

    console.rule("1. A translator that came with the package")
    results["shipped"] = _show_shipped(folder, load(DEFAULT), console)

    console.print()
    console.rule("2. Two translators that differ in one thing")
    console.print(
        "One squeezes the whole English sentence into one vector and writes French from that alone; the other may look "
        "back at every English word before it writes a French one."
    )
    train = as_pairs([pair for count, words in sizes.train for pair in written("train", count, seed, words)])
    valid = builtin_pairs("valid", sizes.valid, seed)
    test = {high: written("test", sizes.test, seed, (low, high)) for low, high in sizes.lengths}
    console.print(f"Built-in corpus: {len(train):,} pairs to train on, {sizes.test} of each length to judge with.")
    console.print(f"Both train at once, {sizes.training.steps:,} steps each; a few minutes.\n")
    training = time.monotonic()
    runs = [Run(attention, _settings(attention, sizes, seed), folder / attention) for attention in SYSTEMS.values()]
    train_side_by_side(runs, {"train": train, "valid": valid}, folder / "training", console)
    results["training_seconds"] = round(time.monotonic() - training, 1)
    translators, bins = {}, {}
    for name, attention in SYSTEMS.items():
        translators[name] = load(folder / attention)
        bins[name] = _judge(translators[name], test, sizes)
        results[attention] = {"bleu_by_length": [_plain(b) for b in bins[name]]}

    console.print()
    console.rule("3. BLEU as sentences grow")
    _show_lengths(folder, bins, console)

    console.print()
    console.rule("4. Where it looked")
    translation = translators["additive attention"].translate([EXAMPLE.source], beam=5)[0]
    results["example"] = _example(translation)
    _show_example(folder, translation, console)

    results |= {"finished": True, "seconds": round(time.monotonic() - start, 1), "versions": _versions()}
    _write(folder, results)
    _say_what_next(folder, results["seconds"], console)
    return results


def _prepare(folder: Path) -> None:
    """An empty folder, or an earlier demo's without what that demo made; anything else is left alone."""
    if folder.is_dir() and any(folder.iterdir()):
        try:
            ours = json.loads((folder / RESULTS).read_text(encoding="utf-8")).get("recipe") == "bottleneck"
        except (OSError, ValueError, AttributeError):
            ours = False
        if not ours:
            raise UserError(f"{folder} exists and holds no earlier demo: choose another folder with --out")
        for name in (*SYSTEMS.values(), "training"):
            shutil.rmtree(folder / name, ignore_errors=True)
    elif folder.exists() and not folder.is_dir():
        raise UserError(f"{folder} is a file: choose a folder with --out")
    folder.mkdir(parents=True, exist_ok=True)


def _settings(attention: str, sizes: Sizes, seed: int) -> Settings:
    return Settings.from_mapping(
        {"model": asdict(sizes.model) | {"attention": attention}, "train": asdict(sizes.training) | {"seed": seed}}
    )


def _judge(translator: Translator, test: dict[int, list[Pair]], sizes: Sizes) -> list[LengthBin]:
    """BLEU for each range of lengths; `test` holds the pairs of a range under its last length."""
    pairs = [(pair, high) for high, of_length in test.items() for pair in of_length]
    found = translator.translate([pair.source for pair, _ in pairs], beam=sizes.beam, attention=False, progress=True)
    texts = [translation.text for translation in found]
    return by_length([high for _, high in pairs], texts, [pair.target for pair, _ in pairs], list(test))


def _show_lengths(folder: Path, bins: dict[str, list[LengthBin]], console: Console) -> None:
    from regard.observe import figure

    labels = [part.label for part in next(iter(bins.values()))]
    table = Table("words in the source", *labels, "longest / shortest")
    for name, parts in bins.items():
        values = [part.bleu.value if part.bleu else None for part in parts]
        cells = ["none" if value is None else f"{value:.1f}" for value in values]
        table.add_row(name, *cells, f"{values[-1] / values[0]:.2f} ×" if values[0] and values[-1] is not None else "")
    console.print(table)
    signature = next(part.bleu.signature for parts in bins.values() for part in parts if part.bleu)
    console.print(f"BLEU, {signature}", style="dim")
    curves = {
        name: {label: part.bleu.value if part.bleu else None for label, part in zip(labels, parts, strict=True)}
        for name, parts in bins.items()
    }
    picture = figure.lengths(curves, caption=f"built-in corpus, test split · BLEU {signature}")
    for ending in ("png", "svg"):
        figure.save(picture, folder / f"lengths.{ending}")


def _show_shipped(folder: Path, translator: Translator, console: Console) -> dict[str, Any]:
    console.print(
        "It learnt from everyday sentences. Before it writes a French word it weighs the English ones: each column is "
        "one such look, and sums to 1.\n"
    )
    translation = translator.translate([EXAMPLE.source])[0]
    _draw(folder / "shipped", translation, console)
    return _example(translation)


def _draw(path: Path, translation: Translation, console: Console) -> None:
    """The sentence, its translation and the attention matrix, there and in the terminal."""
    console.print(f"English, never trained on:  {EXAMPLE.source}")
    console.print(f"French, by the model:       {translation.text}", style="bold", highlight=False, markup=False)
    console.print(f"French, as it should be:    {EXAMPLE.target}\n")
    assert translation.attention is not None  # this model has attention
    console.print(matrix(translation.attention, translation.source_words, translation.target_words))
    for ending in ("png", "svg"):
        translation.save(path.with_suffix(f".{ending}"))


def _example(translation: Translation) -> dict[str, Any]:
    return {
        "source": EXAMPLE.source,
        "text": translation.text,
        "gold": EXAMPLE.target,
        "log_probability": translation.score,
    }


def _show_example(folder: Path, translation: Translation, console: Console) -> None:
    _draw(folder / "attention", translation, console)
    console.print()
    title = "For comparison, an illustration drawn by hand (no model made it):"
    console.print(matrix(ILLUSTRATION, EXAMPLE.source_words, EXAMPLE.target_words, title=title))


def _say_what_next(folder: Path, seconds: float, console: Console) -> None:
    console.print()
    console.rule(f"Done in {seconds / 60:.1f} minutes")
    for what, where in (
        ("BLEU by length", "lengths.png, lengths.svg"),
        ("attention matrices", "shipped.png, shipped.svg; attention.png, attention.svg"),
        ("the translators", ", ".join(f"{attention}/" for attention in SYSTEMS.values())),
        ("sentences, settings", "training/"),
        ("all figures", RESULTS),
    ):
        console.print(f"{what:<22}{folder}: {where}", highlight=False, markup=False, soft_wrap=True)
    console.print("\nNext:", style="bold")
    model = shlex.quote(str(folder / "additive"))
    for line in (
        'regard translate --show "A sentence of your own"    (by the one that came along)',
        f'regard translate --model {model} --show "The old teacher reads a book"',
        "regard train pairs.tsv    (your own pairs, SOURCE<tab>TARGET a line)",
        "regard --help",
    ):
        console.print(f"  {line}", soft_wrap=True, markup=False)


def _plain(part: LengthBin) -> dict[str, Any]:
    score = part.bleu
    return {
        "words": part.label,
        "sentences": part.sentences,
        "bleu": score.value if score else None,
        "signature": score.signature if score else None,
    }


def _versions() -> dict[str, str]:
    import platform

    packages = ("regard", "torch", "lightning", "tokenizers", "sacrebleu")
    return {"python": platform.python_version(), **{name: version(name) for name in packages}}


def _write(folder: Path, results: dict[str, Any]) -> None:
    (folder / RESULTS).write_text(json.dumps(results, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
