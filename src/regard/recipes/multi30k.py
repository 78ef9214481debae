"""Multi30k from English, several seeds: a GRU with additive attention, and on request its control without.

    python -m regard.recipes.multi30k --data-dir DATA --out FOLDER [--target de] [--seeds 1 2 3] [--control] [--raw]
                                      [--fine-tune EPOCHS]

DATA/multi30k holds `{train,val,test_2016_flickr}.lc.norm.tok.{en,fr,de}.gz` (Moses: lowercased, normalised, tokenised).
Claims checked, on test 2016 with beam 12, means over seeds 1 to 3: BLEU 59.0 or more into French and 39.0 or more into
German (published for a single GRU: 59.02 and 39.00, LIUM-CVC 2017), and without attention at most 0.8 × of that. The
control differs in nothing but attention. Everything was chosen on the validation set, the length penalty by the recipe
itself; the test set is scored once per seed. `--raw` learns from the raw files instead, and is judged on detokenised,
cased text. Half an hour a model on one core; what in FOLDER is trained or judged already is not trained or judged
again, and what was stopped goes on. `--fine-tune` goes on from each model by self-critical training on BLEU, half an
hour an epoch, and judges what comes of it in its place.
"""

import argparse
import datetime
import json
import platform
import statistics
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

from regard.config import Settings
from regard.data.pairs import Pairs
from regard.data.sets import read_set
from regard.decoding.options import Decoding
from regard.evaluation.lengths import by_length
from regard.evaluation.scores import bleu, chrf
from regard.folder import read_config
from regard.recipes.once import fine_tune_once, judge_once, train_once
from regard.translator import Translator, load

BEAM = 12
PENALTIES = (0.8, 1.0, 1.2)  # of which validation chooses
LENGTHS = (10, 15, 20, 40)


def settings(attention: str, seed: int) -> Settings:
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
                "epochs": 12,
                "patience": 30,
                "average": 1,
                "seed": seed,
            },
        }
    )


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
    parser.add_argument("--fine-tune", type=int, metavar="EPOCHS", help="go on by self-critical training on BLEU")
    given = parser.parse_args()
    given.out.mkdir(parents=True, exist_ok=True)
    name, tokenize = ("multi30k", "13a") if given.raw else ("multi30k-tok", "none")

    def data(split: Any) -> Pairs:
        return read_set(name, split, f"en-{given.target}", given.data_dir)

    how = {"beam": BEAM, "penalties": list(PENALTIES), "tokenize": tokenize}
    results: dict[str, Any] = {"set": name, "target": given.target, "fine_tuned_epochs": given.fine_tune}
    for attention in ("additive", "none") if given.control else ("additive",):
        folders = {seed: given.out / f"{attention}-seed-{seed}" for seed in given.seeds}
        for seed, folder in folders.items():
            train_once(settings(attention, seed), folder, data, name, folder.name)
        if given.fine_tune:
            from regard.training.fine_tuning import SELF_CRITICAL

            config = replace(SELF_CRITICAL, epochs=given.fine_tune)
            tuned = {seed: folder.with_name(f"{folder.name}-bleu-{config.epochs}") for seed, folder in folders.items()}
            for seed, folder in folders.items():
                fine_tune_once(folder, tuned[seed], data, replace(config, seed=seed), name)
            folders = tuned
        judged = {
            seed: judge_once(folder, how, partial(judge, folder, data, tokenize)) for seed, folder in folders.items()
        }
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
