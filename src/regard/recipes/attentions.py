"""Seven ways to look back, side by side: none, additive, dot, scaled dot, general, local-m, local-p, on four sets.

    python -m regard.recipes.attentions --data-dir DATA --out FOLDER [--sets multi30k-en-fr ...] [--systems dot ...]

The sets: Multi30k English–French and German–English (DATA/multi30k, lowercased, tokenised), Tatoeba English–French
(DATA/tatoeba_en_fr), and the built-in corpus. On each the seven differ in attention alone: same sizes, order (Luong's:
update, look, with input feeding), seed, data and steps. For each: BLEU and chrF on test with beam 5, BLEU by source
length, alignment error (on the built-in corpus' test split for its own models; on DATA/word_alignment for the other
English–French ones), target tokens a second in training and sentences a second in translating, and whether the
difference from additive attention is chance (paired bootstrap). Link rules are chosen on the built-in corpus'
validation split.

Claims looked at: Bahdanau 2014, that without attention quality falls as sentences grow and with it does not; Luong
2015, that local-p is the best, general next, and dot behind, and that local attention aligns best. Hours on two cores;
what is trained already in FOLDER is not trained again, what was stopped goes on, and each result is written as it
comes, so sets and systems may be done one at a time.
"""

import argparse
import datetime
import json
import platform
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

from regard.config import Settings
from regard.data.pairs import Pairs
from regard.data.sets import read_set
from regard.evaluation.alignment import alignment_error
from regard.evaluation.lengths import by_length
from regard.evaluation.link_rules import choose_rule
from regard.evaluation.scores import bleu, chrf
from regard.evaluation.significance import compare_scores
from regard.folder import METRICS, read_config
from regard.recipes.alignment import Sentence, attended, links, read_debates
from regard.recipes.builtin import as_pairs, builtin_pairs, written
from regard.recipes.once import judge_once, train_once
from regard.translator import Translator, load

SYSTEMS = ("additive", "none", "dot", "scaled-dot", "general", "local-m", "local-p")  # each is held against the first
BEAM = 5
SEED = 1
WINDOW = 10  # D of the local ones, as Luong has it


@dataclass(frozen=True)
class Task:
    """A set to learn, how, and the bins of source length to judge it by."""

    read: Callable[[str, Path], Pairs]
    model: dict[str, Any]
    train: dict[str, Any]
    lengths: tuple[int, ...]
    tokenize: str = "13a"
    debates: bool = False  # whether the alignments of DATA/word_alignment are asked of it
    lowercase: bool = False

    def data(self, data_dir: Path) -> Callable[[str], Pairs]:
        """What reads a split."""
        return lambda split: self.read(split, data_dir)


def _public(name: str, languages: str) -> Callable[[str, Path], Pairs]:
    return lambda split, data_dir: read_set(name, split, languages, data_dir)  # type: ignore[arg-type]


def _builtin(split: str, data_dir: Path) -> Pairs:
    if split != "train":
        return builtin_pairs(split, seed=SEED)  # type: ignore[arg-type]
    short, long = (
        as_pairs(written("train", count, SEED, words)) for count, words in ((20_000, (2, 12)), (8_000, (2, 60)))
    )
    return Pairs([*short.source, *long.source], [*short.target, *long.target])


WORDS = (10, 15, 20, 40)
CAPTIONS: dict[str, Any] = {
    "model": {"dropout": 0.4, "embedding_dropout": 0.3},
    "train": {"vocabulary": 10_000, "batch_tokens": 1024, "epochs": 10},
    "lengths": WORDS,
    "tokenize": "none",
    "lowercase": True,
}
TASKS = {
    "built-in": Task(
        _builtin,
        {"embedding": 128, "encoder_hidden": 128, "decoder_hidden": 256, "dropout": 0.1},
        {"vocabulary": 3_000, "epochs": 6, "learning_rate": 3e-3, "warmup": 100, "precision": "float32"},
        (10, 20, 30, 60),
    ),
    "multi30k-en-fr": Task(_public("multi30k-tok", "en-fr"), debates=True, **CAPTIONS),
    "multi30k-de-en": Task(_public("multi30k-tok", "de-en"), **CAPTIONS),
    "tatoeba-en-fr": Task(
        _public("tatoeba", "en-fr"),
        {"dropout": 0.3},
        {"epochs": 4, "learning_rate": 1.5e-3},
        (4, 6, 8, 10),
        debates=True,
    ),
}


def settings(task: Task, attention: str) -> Settings:
    """The same for each system, but for its attention."""
    return Settings.from_mapping(
        {
            "model": {"order": "luong", "attention": attention, "window": WINDOW} | task.model,
            "train": {"patience": 1_000, "seed": SEED} | task.train,
        }
    )


def judge(task: Task, attention: str, data_dir: Path, folder: Path) -> dict[str, Any]:
    """Scores, alignments and speeds of one system."""
    translator, test = load(folder), task.read("test", data_dir)
    began = time.monotonic()
    texts = [found.text for found in translator.translate(test.source, beam=BEAM, attention=False, progress=True)]
    seconds = time.monotonic() - began
    words = [len(sentence.split()) for sentence in test.source]
    bins = by_length(words, texts, test.target, task.lengths, tokenize=task.tokenize)
    scores = [bleu(texts, test.target, tokenize=task.tokenize), chrf(texts, test.target)]
    return {
        "valid": read_config(folder)["best_valid"],
        "test": {score.name: [score.value, score.signature] for score in scores},
        "test_bleu_by_length": {part.label: part.bleu.value if part.bleu else None for part in bins},
        "alignment_error": _alignments(task, translator, data_dir) if attention != "none" else None,
        "training_tokens_per_second": _speed(folder),
        "translated_sentences_per_second": round(len(texts) / seconds, 1),
        "translations": texts,
    }


def _alignments(task: Task, translator: Translator, data_dir: Path) -> float | None:
    """AER, with the link rule that the built-in corpus' validation split prefers."""
    if task.read is _builtin:
        sentences = [Sentence.of(pair) for pair in written("test", 1_000, SEED)]
    elif task.debates:
        sentences = read_debates(data_dir / "word_alignment", task.lowercase)
    else:
        return None
    valid = [Sentence.of(pair) for pair in written("valid", 500, SEED)]
    if task.lowercase:
        valid = [sentence.lowercased() for sentence in valid]
    rule, _ = choose_rule(attended(translator, valid), [sentence.gold for sentence in valid])
    return alignment_error(links(translator, sentences, rule), [sentence.gold for sentence in sentences]).aer


def _speed(folder: Path) -> float:
    """Target tokens a second over the whole training."""
    entries = [json.loads(line) for line in (folder / METRICS).read_text(encoding="utf-8").splitlines()]
    last = [entry for entry in entries if "seconds" in entry][-1]
    return round(last["tokens"] / last["seconds"], 1)


def table(name: str, judged: dict[str, dict[str, Any]]) -> str:
    """The set's results in Markdown."""
    bins = list(next(iter(judged.values()))["test_bleu_by_length"])
    lines = [
        f"| {name} | BLEU | p | chrF2 | {' | '.join(bins)} | AER | tokens/s | sentences/s |",
        "|---" * (7 + len(bins)) + "|",
    ]
    for system, result in judged.items():
        by = [f"{value:.1f}" if value is not None else "" for value in result["test_bleu_by_length"].values()]
        error = result["alignment_error"]
        cells = [
            f"{result['test']['BLEU'][0]:.2f}",
            f"{result['p']:.3f}" if "p" in result else "",
            f"{result['test']['chrF2'][0]:.2f}",
            *by,
            f"{error:.3f}" if error is not None else "",
            f"{result['training_tokens_per_second']:,.0f}",
            f"{result['translated_sentences_per_second']:.0f}",
        ]
        lines.append(f"| {system} | {' | '.join(cells)} |")
    return "\n".join(lines)


def main() -> None:
    """Train what is missing, judge, write results.json and print the tables."""
    parser = argparse.ArgumentParser(prog="python -m regard.recipes.attentions", description=__doc__.split("\n")[0])
    parser.add_argument("--data-dir", type=Path, required=True, help="holds multi30k/, tatoeba_en_fr/, word_alignment/")
    parser.add_argument("--out", type=Path, required=True, help="where the models and results.json go")
    parser.add_argument("--sets", nargs="+", choices=tuple(TASKS), default=list(TASKS))
    parser.add_argument("--systems", nargs="+", choices=SYSTEMS, default=list(SYSTEMS))
    given = parser.parse_args()
    results: dict[str, Any] = {}
    for name in given.sets:
        task, judged = TASKS[name], {}
        for system in given.systems:
            folder = given.out / name / system
            train_once(settings(task, system), folder, task.data(given.data_dir), name, f"{name}, {system}")
            judged[system] = judge_once(folder, {"beam": BEAM}, partial(judge, task, system, given.data_dir, folder))
        against = judged.get(SYSTEMS[0])
        for system, result in judged.items():
            if against and system != SYSTEMS[0]:
                test = task.read("test", given.data_dir).target
                mine, its = result["translations"], against["translations"]
                result["p"] = compare_scores(mine, its, test, tokenize=task.tokenize)[0].p
        print(f"\n{table(name, judged)}\n", flush=True)
        results[name] = {s: {k: v for k, v in result.items() if k != "translations"} for s, result in judged.items()}
    results |= {
        "beam": BEAM,
        "seed": SEED,
        "date": datetime.date.today().isoformat(),
        "versions": {name: version(name) for name in ("regard", "torch", "lightning", "tokenizers", "sacrebleu")},
        "python": platform.python_version(),
    }
    (given.out / "results.json").write_text(json.dumps(results, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
