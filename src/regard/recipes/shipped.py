"""The translator that ships with the package: English → French, short everyday sentences.

    python -m regard.recipes.shipped --data-dir DATA --out FOLDER

DATA/tatoeba_en_fr holds `{train,valid,test}.tsv.gz`: sentences of the Tatoeba project in the selection of ManyThings
(CC BY 2.0). The built-in corpus is a declared supplement: it brings constructions and long sentences that Tatoeba is
poor in. Neither holds the sentence "I love deep learning", nor "deep learning" at all. Half of the pairs are learned a
second time as people type, without capitals or marks (`data/typed.py`): the sets themselves have hardly such a line.
Chosen by greedy BLEU on the validation set; the test set is scored once, with the weights as they ship: rounded to
float16, so that the folder stays under 12 MB. An hour and a half on one core; what was stopped goes on.
"""

import argparse
import datetime
import json
import platform
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

from regard.config import Settings
from regard.data.corpus import example
from regard.data.pairs import Pairs, read_pairs
from regard.data.typed import as_typed
from regard.errors import UserError
from regard.evaluation.scores import Score, bleu, chrf
from regard.folder import TOKENIZER, read_config, read_weights, write, write_config, write_weights
from regard.recipes.builtin import as_pairs, builtin_pairs, written
from regard.recipes.once import train_once
from regard.shipped import DEFAULT
from regard.translator import Translator, load

CARD = "README.md"
LARGEST = 12_000_000  # bytes
SEED = 1
BEAM = 5
SUPPLEMENT = ((16_000, (2, 12)), (4_000, (2, 40)))  # sentences of the built-in corpus, and their source words
SETTINGS = {
    "model": {"attention": "additive", "order": "luong", "dropout": 0.3},
    "train": {"vocabulary": 8_000, "learning_rate": 1.5e-3, "typed": 0.5, "epochs": 8, "patience": 10, "seed": SEED},
}


def data(split: str, data_dir: Path) -> Pairs:
    """One split of Tatoeba; what it is trained on has the supplement too."""
    pairs = read_pairs(data_dir / "tatoeba_en_fr" / f"{split}.tsv.gz")
    if split != "train":
        return pairs
    extra = as_pairs([pair for count, words in SUPPLEMENT for pair in written("train", count, SEED, words)])
    pairs = Pairs([*pairs.source, *extra.source], [*pairs.target, *extra.target])
    if any("deep learning" in sentence.lower() for sentence in pairs.source):
        raise UserError("the training data holds 'deep learning', which is kept for the example")
    return pairs


def ship(folder: Path, target: Path) -> None:
    """The folder without what only training needs, its weights as float16."""
    target.mkdir(parents=True, exist_ok=True)
    config = {name: value for name, value in read_config(folder).items() if name not in ("kind", "format")}
    write_config(target, {"languages": ["English", "French"], **config})
    write(target / TOKENIZER, (folder / TOKENIZER).read_bytes())
    write_weights(target, {name: tensor.to(torch.float16) for name, tensor in read_weights(folder).items()})


def judge(translator: Translator, test: Pairs, builtin: Pairs) -> dict[str, Any]:
    """Scores of the shipped weights: on one reference a pair, on all of a sentence, as typed, and on the supplement."""
    texts = _translate(translator, test.source)
    references: dict[str, list[str]] = {}
    for source, target in zip(test.source, test.target, strict=True):
        references.setdefault(source, []).append(target)
    single = dict(zip(test.source, texts, strict=True))
    bare = [as_typed(*pair) for pair in zip(test.source, test.target, strict=True)]
    return {
        "Tatoeba test, one reference for each of its pairs": _plain(bleu(texts, test.target), chrf(texts, test.target)),
        "Tatoeba test, all references of each distinct sentence": _plain(
            all_references([single[source] for source in references], list(references.values()))
        ),
        "Tatoeba test in small letters, without final marks on either side": _plain(
            bleu(_translate(translator, [source for source, _ in bare]), [target for _, target in bare])
        ),
        "built-in corpus, test split": _plain(bleu(_translate(translator, builtin.source), builtin.target)),
    }


def all_references(texts: list[str], references: list[list[str]]) -> Score:
    """BLEU of each text against all references of its sentence."""
    import sacrebleu

    metric = sacrebleu.metrics.BLEU()
    most = max(map(len, references))
    streams = [[of[i] if i < len(of) else None for of in references] for i in range(most)]
    value = metric.corpus_score(texts, streams).score  # type: ignore[arg-type]  # None: a sentence with fewer
    return Score("BLEU", float(value), str(metric.get_signature()))


def card(results: dict[str, Any]) -> str:
    """The model card."""
    rows = [(what, *row) for what, of_set in results["scores"].items() for row in of_set]
    scores = "\n".join(f"| {what} | {name} {value:.2f} |" for what, name, value, _ in rows)
    signatures = "\n".join(sorted({f"    {name}: {signature}" for _, name, _, signature in rows}))
    count, (shortest, longest) = sum(count for count, _ in SUPPLEMENT), (2, 40)
    return f"""# en-fr: English to French, short everyday sentences

A recurrent encoder-decoder with additive attention, {results["parameters"] / 1e6:.1f} million parameters, float16.

    regard translate --show "I love deep learning"

What that prints, as it is: *{results["example"]}* (the sentence, and "deep learning", are in no training data).

**Trained** by `python -m regard.recipes.shipped --data-dir DATA --out FOLDER`, seed {SEED}, on {results["date"]} with
{", ".join(f"{name} {number}" for name, number in results["versions"].items())}, Python {results["python"]}.

**Data.** 136,787 sentence pairs of the Tatoeba project in the selection of ManyThings, under CC BY 2.0
(creativecommons.org/licenses/by/2.0). Attribution: www.manythings.org/anki and tatoeba.org. The originals contain
errors. As a supplement, {count:,} sentences of {shortest} to {longest} words of the built-in corpus, which
this project's own grammar wrote. Half of them all are learned a second time as people type them, without capitals or
the mark that ends a sentence.

**Scores** (beam {BEAM}, detokenised, cased; the test set scored once):

| set | score |
|---|---|
{scores}

{signatures}

No English sentence of the test set is in the training set. Many have several right translations, so scores against one
reference are low by their nature.

**Limits.** Tatoeba's sentences have six words on average: everyday talk. Long or specialised text, names and numbers it
has not seen, and anything where a mistake costs are beyond it. It may say *tu* or *vous*, and take a man or a woman for
the speaker, as its data did. What it attends to says where information was read, not why a word was chosen.
"""


def _translate(translator: Translator, sentences: list[str]) -> list[str]:
    return [found.text for found in translator.translate(sentences, beam=BEAM, attention=False, progress=True)]


def _plain(*scores: Score) -> list[list[Any]]:
    return [[score.name, score.value, score.signature] for score in scores]


def main() -> None:
    """Train, round, judge, write the card."""
    parser = argparse.ArgumentParser(prog="python -m regard.recipes.shipped", description=__doc__.split("\n")[0])
    parser.add_argument("--data-dir", type=Path, required=True, help="the folder that holds tatoeba_en_fr/")
    parser.add_argument("--out", type=Path, required=True, help="where training/ and en-fr/ go")
    given = parser.parse_args()
    given.out.mkdir(parents=True, exist_ok=True)
    settings, about = Settings.from_mapping(SETTINGS), "tatoeba and the built-in corpus"
    train_once(settings, given.out / "trained", partial(data, data_dir=given.data_dir), about, DEFAULT)
    target = given.out / DEFAULT
    ship(given.out / "trained", target)
    translator = load(target)
    results = {
        "parameters": sum(parameter.numel() for parameter in translator.model.parameters()),
        "scores": judge(translator, data("test", given.data_dir), builtin_pairs("test", seed=SEED)),
        "example": _translate(translator, [example().source])[0],
        "date": datetime.date.today().isoformat(),
        "versions": {name: version(name) for name in ("regard", "torch", "lightning", "tokenizers", "sacrebleu")},
        "python": platform.python_version(),
    }
    (given.out / "results.json").write_text(json.dumps(results, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    write(target / CARD, card(results).encode())
    size = sum(file.stat().st_size for file in target.iterdir())
    print(json.dumps(results, indent=2, ensure_ascii=False))
    print(f"{target}: {size / 1e6:.1f} MB" + ("" if size <= LARGEST else f", over the {LARGEST / 1e6:.0f} MB allowed"))


if __name__ == "__main__":
    main()
