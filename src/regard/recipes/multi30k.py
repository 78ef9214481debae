"""Multi30k English–French, on the published preprocessing: a GRU with additive attention, and its control without.

    python -m regard.recipes.multi30k --data-dir DATA --out FOLDER

DATA/multi30k holds `{train,val,test_2016_flickr}.lc.norm.tok.{en,fr}.gz` (Moses: lowercased, normalised, tokenised).
Claim checked: beam 5 on test 2016 scores BLEU 57 or more with attention (published for a single GRU: 59.02, LIUM-CVC
2017), and without it at most 0.8 × of that. The two differ in nothing but attention; everything was chosen on the
validation set, and the test set is scored once per model. An hour and a half on one core; what is trained already in
FOLDER is not trained again, and what was stopped goes on.
"""

import argparse
import datetime
import json
import platform
from importlib.metadata import version
from pathlib import Path
from typing import Any

from regard.config import Settings
from regard.data.pairs import Pairs, read_pairs
from regard.evaluation.lengths import by_length
from regard.evaluation.scores import bleu, chrf
from regard.folder import CONFIG, read_config
from regard.translator import load

SYSTEMS = ("additive", "none")
BEAM = 5


def settings(attention: str, seed: int) -> Settings:
    """One system's settings; the test set had no part in them."""
    return Settings.from_mapping(
        {
            "model": {"attention": attention, "dropout": 0.4},
            "train": {"vocabulary": 10_000, "learning_rate": 1.5e-3, "epochs": 20, "patience": 30, "seed": seed},
        }
    )


def read(data_dir: Path, split: str) -> Pairs:
    """One split, English to French."""
    source, target = (data_dir / "multi30k" / f"{split}.lc.norm.tok.{side}.gz" for side in ("en", "fr"))
    return read_pairs(source=source, target=target)


def train(attention: str, data_dir: Path, folder: Path, seed: int) -> None:
    """Train one system into its folder, unless it is there; go on with it if it was stopped."""
    from regard.training import fit

    begun = (folder / CONFIG).exists()
    if begun and read_config(folder)["best_valid"]:
        return
    origin = {"multi30k": "English-French, lc.norm.tok"}
    train_pairs, valid_pairs = read(data_dir, "train"), read(data_dir, "val")
    fit(settings(attention, seed), folder, train_pairs, valid_pairs, resume=begun, origin=origin, label=attention)


def judge(folder: Path, test: Pairs) -> dict[str, Any]:
    """BLEU of the tokens as they are, as the published figures are; chrF; and BLEU by source length."""
    found = load(folder).translate(test.source, beam=BEAM, attention=False, progress=True)
    texts = [translation.text for translation in found]
    lengths = [len(sentence.split()) for sentence in test.source]
    bins = by_length(lengths, texts, test.target, (10, 15, 20, 40), tokenize="none")
    best = read_config(folder)["best_valid"]
    return {
        "valid": best,
        "test": {score.name: [score.value, score.signature] for score in _scores(texts, test.target)},
        "test_by_length": {part.label: part.bleu.value if part.bleu else None for part in bins},
    }


def _scores(texts: list[str], references: list[str]) -> list[Any]:
    return [bleu(texts, references, tokenize="none"), chrf(texts, references)]


def main() -> None:
    """Train what is missing, score both, write results.json."""
    parser = argparse.ArgumentParser(prog="python -m regard.recipes.multi30k", description=__doc__.split("\n")[0])
    parser.add_argument("--data-dir", type=Path, required=True, help="the folder that holds multi30k/")
    parser.add_argument("--out", type=Path, required=True, help="where the models and results.json go")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--only", choices=SYSTEMS, help="train this system and score nothing")
    given = parser.parse_args()
    given.out.mkdir(parents=True, exist_ok=True)
    for attention in [given.only] if given.only else SYSTEMS:
        train(attention, given.data_dir, given.out / attention, given.seed)
    if given.only:
        return
    test = read(given.data_dir, "test_2016_flickr")
    results: dict[str, Any] = {attention: judge(given.out / attention, test) for attention in SYSTEMS}
    with_attention, without = (results[attention]["test"]["BLEU"][0] for attention in SYSTEMS)
    results |= {
        "control / attention": round(without / with_attention, 3),
        "beam": BEAM,
        "seed": given.seed,
        "date": datetime.date.today().isoformat(),
        "versions": {name: version(name) for name in ("regard", "torch", "lightning", "tokenizers", "sacrebleu")},
        "python": platform.python_version(),
    }
    (given.out / "results.json").write_text(json.dumps(results, indent=2) + "\n", encoding="utf-8")
    print(json.dumps(results, indent=2))


if __name__ == "__main__":
    main()
