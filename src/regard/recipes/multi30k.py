"""Multi30k from English, several seeds: a GRU with additive attention, and on request its control without.

    python -m regard.recipes.multi30k --data-dir DATA --out FOLDER [--target de] [--seeds 1 2 3] [--control] [--raw]
                                      [--diversify] [--fine-tune EPOCHS]

DATA/multi30k holds `{train,val,test_2016_flickr}.lc.norm.tok.{en,fr,de}.gz` (Moses: lowercased, normalised, tokenised).
Claims checked, on test 2016 with beam 12, means over seeds 1 to 3: BLEU 59.0 or more into French, and 39.0 or more into
German with `--diversify` (published for a single GRU: 59.02 and 39.00, LIUM-CVC 2017); without attention at most 0.8 ×
of that. The control differs in nothing but attention. Everything was chosen on the validation set, the length penalty
by the recipe itself; the test set is scored once per seed. `--raw` learns from the raw files instead, and is judged on
detokenised, cased text. Half an hour a model on one core; what in FOLDER is trained or judged already is not trained or
judged again, and what was stopped goes on.

`--diversify` teaches each model, from its beginning, the pairs and what two teachers make of them (`diversify.py`):
two models more, one in each direction, of seed 1. `--fine-tune` goes on from each model by self-critical training on
BLEU, half an hour an epoch. What comes of either is judged in the plain model's place.
"""

import argparse
import datetime
import json
import platform
import statistics
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any, Self

from regard.config import Settings
from regard.data.pairs import Pairs
from regard.data.sets import read_set
from regard.decoding.options import Decoding
from regard.evaluation.lengths import by_length
from regard.evaluation.scores import bleu, chrf
from regard.folder import read_config
from regard.recipes.diversify import diversified
from regard.recipes.once import fine_tune_once, judge_once, train_once
from regard.translator import Translator, load

BEAM = 12
PENALTIES = (0.8, 1.0, 1.2)  # of which validation chooses
LENGTHS = (10, 15, 20, 40)
EPOCHS = 12
DIVERSE_EPOCHS = 5  # of three times the pairs
TEACHER = 1  # the teachers' seed


def settings(attention: str, seed: int, epochs: int = EPOCHS) -> Settings:
    """One model's settings; the test set had no part in them."""
    return Settings.from_mapping(
        {
            "model": {
                "attention": attention,
                "order": "luong",
                "embedding": 512,
                "encoder_hidden": 512,
                "decoder_hidden": 512,
                "dropout": 0.4,
                "embedding_dropout": 0.2,
                "attend_words": True,
            },
            "train": {
                "vocabulary": 6000,
                "learning_rate": 1.5e-3,
                "warmup": 250,
                "epochs": epochs,
                "patience": 30,
                "average": 1,
                "seed": seed,
            },
        }
    )


@dataclass(frozen=True)
class Task:
    """What is learned, and where its models go."""

    name: str
    source: str
    target: str
    data_dir: Path
    out: Path

    def data(self, split: Any) -> Pairs:
        """A split, from source to target."""
        return read_set(self.name, split, f"{self.source}-{self.target}", self.data_dir)

    def reversed(self) -> Self:
        """The other direction."""
        return replace(self, source=self.target, target=self.source)

    def trained(self, attention: str, seeds: list[int]) -> dict[int, Path]:
        """A model a seed."""
        folders = {seed: self.out / f"{attention}-{self.source}-{self.target}-seed-{seed}" for seed in seeds}
        for seed, folder in folders.items():
            train_once(settings(attention, seed), folder, self.data, self.name, folder.name)
        return folders

    def diversely_trained(self, attention: str, seeds: list[int]) -> dict[int, Path]:
        """A model a seed, of the pairs and what the teachers make of them."""
        forward, backward = (task.trained(attention, [TEACHER])[TEACHER] for task in (self, self.reversed()))
        folders = {seed: forward.with_name(f"{attention}-diverse-seed-{seed}") for seed in seeds}

        def data(split: str) -> Pairs:
            pairs = self.data(split)
            return diversified(pairs, forward, backward) if split == "train" else pairs

        for seed, folder in folders.items():
            train_once(settings(attention, seed, DIVERSE_EPOCHS), folder, data, self.name, folder.name)
        return folders

    def fine_tuned(self, starts: dict[int, Path], epochs: int) -> dict[int, Path]:
        """What becomes of each model by self-critical training on BLEU."""
        from regard.training.fine_tuning import SELF_CRITICAL

        config = replace(SELF_CRITICAL, epochs=epochs)
        folders = {seed: start.with_name(f"{start.name}-bleu-{epochs}") for seed, start in starts.items()}
        for seed, folder in folders.items():
            fine_tune_once(starts[seed], folder, self.data, replace(config, seed=seed), self.name)
        return folders


def judge(folder: Path, data: Callable[[str], Pairs], tokenize: str) -> dict[str, Any]:
    """The length penalty that validation prefers, and with it the test set's scores, also by source length."""
    translator, valid, test = load(folder), data("valid"), data("test")
    chosen = {penalty: _bleu(translator, valid, penalty, tokenize) for penalty in PENALTIES}
    penalty = max(chosen, key=chosen.__getitem__)
    texts = _translate(translator, test.source, penalty)
    words = [len(sentence.split()) for sentence in test.source]
    bins = by_length(words, texts, test.target, LENGTHS, tokenize=tokenize)
    scores = [bleu(texts, test.target, tokenize=tokenize), chrf(texts, test.target)]
    return {
        "greedy_valid": read_config(folder)["best_valid"],
        "valid_bleu_by_length_penalty": chosen,
        "length_penalty": penalty,
        "test": {score.name: [score.value, score.signature] for score in scores},
        "test_bleu_by_length": {part.label: part.bleu.value if part.bleu else None for part in bins},
    }


def summary(results: list[dict[str, Any]]) -> dict[str, Any]:
    """Mean and sample standard deviation over the seeds."""
    values = [result["test"]["BLEU"][0] for result in results]
    spread = statistics.stdev(values) if len(values) > 1 else None
    return {"mean": statistics.fmean(values), "standard_deviation": spread, "values": values}


def _bleu(translator: Translator, pairs: Pairs, penalty: float, tokenize: str) -> float:
    return bleu(_translate(translator, pairs.source, penalty), pairs.target, tokenize=tokenize).value


def _translate(translator: Translator, sentences: list[str], penalty: float) -> list[str]:
    decoding = Decoding(beam=BEAM, length_penalty=penalty)
    found = translator.translate(sentences, decoding=decoding, attention=False, progress=True)
    return [translation.text for translation in found]


def main() -> None:
    """Train and judge what is missing, write results.json."""
    parser = argparse.ArgumentParser(prog="python -m regard.recipes.multi30k", description=__doc__.split("\n")[0])
    parser.add_argument("--data-dir", type=Path, required=True, help="the folder that holds multi30k/")
    parser.add_argument("--out", type=Path, required=True, help="where the models and results.json go")
    parser.add_argument("--target", choices=("fr", "de"), default="fr", help="the language to translate into")
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3])
    parser.add_argument("--control", action="store_true", help="train the control without attention too")
    parser.add_argument("--raw", action="store_true", help="the raw, cased files; scored detokenised")
    parser.add_argument("--diversify", action="store_true", help="learn what two teachers make of the pairs too")
    parser.add_argument("--fine-tune", type=int, metavar="EPOCHS", help="go on by self-critical training on BLEU")
    given = parser.parse_args()
    given.out.mkdir(parents=True, exist_ok=True)
    name, tokenize = ("multi30k", "13a") if given.raw else ("multi30k-tok", "none")
    task = Task(name, "en", given.target, given.data_dir, given.out)
    how = {"beam": BEAM, "penalties": list(PENALTIES), "tokenize": tokenize}
    results: dict[str, Any] = {
        "set": name,
        "target": given.target,
        "diversified": given.diversify,
        "fine_tuned_epochs": given.fine_tune,
    }
    for attention in ("additive", "none") if given.control else ("additive",):
        train = task.diversely_trained if given.diversify else task.trained
        folders = train(attention, given.seeds)
        if given.fine_tune:
            folders = task.fine_tuned(folders, given.fine_tune)
        judged = {}
        for seed, folder in folders.items():
            judged[seed] = judge_once(folder, how, partial(judge, folder, task.data, tokenize))
        results[attention] = {"test_bleu": summary(list(judged.values())), "seeds": judged}
    results |= {
        "date": datetime.date.today().isoformat(),
        "versions": {name: version(name) for name in ("regard", "torch", "lightning", "tokenizers", "sacrebleu")},
        "python": platform.python_version(),
    }
    (given.out / "results.json").write_text(json.dumps(results, indent=2) + "\n", encoding="utf-8")
    print(json.dumps(results, indent=2))


if __name__ == "__main__":
    main()
