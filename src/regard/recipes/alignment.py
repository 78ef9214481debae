"""Does attention align words? Alignment error of additive attention against gold links, beside two baselines.

    python -m regard.recipes.alignment --model FOLDER

Claim checked: on the built-in corpus' test split, whose gold links come from its grammar, the alignment error rate of
additive attention is at most half of the diagonal's and below IBM model 1's, trained on the same pairs. A model that is
not in FOLDER is trained there first, as the demo trains its own, so `--model regard-demo/additive` is one to take. The
rule that turns weights into links, and the number of IBM model 1's iterations, are chosen on the validation split; then
the test split is scored once. Some minutes on one core, most of them IBM model 1's, which is NLTK's: pip install nltk.

`--data-dir DATA` adds the gold links of DATA/word_alignment (447 sentences of parliament debates, English–French), with
the rule chosen on the built-in corpus; any English–French model can be judged so, with `--without-ibm`.
Sources: Bahdanau 2014; Brown 1993 (IBM model 1); Och and Ney 2000 (error rate); Mihalcea and Pedersen 2003 (debates).
"""

from __future__ import annotations

import argparse
import datetime
import json
import platform
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

from regard.aligner import align
from regard.config import Settings
from regard.data.corpus import Pair
from regard.data.pairs import read_lines
from regard.errors import UserError
from regard.evaluation.alignment import Gold, Links, alignment_error, diagonal, read_links
from regard.evaluation.link_rules import LinkRule, choose_rule
from regard.evaluation.significance import Comparison, compare_alignments
from regard.folder import CONFIG
from regard.recipes.bottleneck import Sizes
from regard.recipes.builtin import as_pairs, written
from regard.translator import Translator, load

SEED = 1
VALID, TEST = 500, 1_000
ITERATIONS = 10  # of IBM model 1, at most


@dataclass(frozen=True)
class Sentence:
    """A sentence pair with its words and gold links."""

    source: str
    target: str
    source_words: tuple[str, ...]
    target_words: tuple[str, ...]
    gold: Gold

    @classmethod
    def of(cls, pair: Pair) -> Sentence:
        """One of the built-in corpus."""
        return cls(pair.source, pair.target, pair.source_words, pair.target_words, Gold.of(pair.links))

    def lowercased(self) -> Sentence:
        """The same without capitals, for a model of lowercased text."""
        source, target = (tuple(word.lower() for word in side) for side in (self.source_words, self.target_words))
        return Sentence(self.source.lower(), self.target.lower(), source, target, self.gold)


def train(folder: Path, seed: int = SEED, sizes: Sizes | None = None) -> None:
    """Train the demo's model with attention into the folder, unless one is there."""
    if (folder / CONFIG).exists():
        return
    from regard.training import fit

    sizes = sizes or Sizes()
    settings = {"model": asdict(sizes.model), "train": asdict(sizes.training) | {"seed": seed}}
    train_pairs, valid_pairs = as_pairs(training_pairs(seed, sizes)), as_pairs(written("valid", sizes.valid, seed))
    fit(Settings.from_mapping(settings), folder, train_pairs, valid_pairs, label="additive")


def training_pairs(seed: int = SEED, sizes: Sizes | None = None) -> list[Pair]:
    """What the model and IBM model 1 learn from."""
    return [pair for count, words in (sizes or Sizes()).train for pair in written("train", count, seed, words)]


def attended(translator: Translator, sentences: Sequence[Sentence]) -> list[Any]:
    """The weights of each sentence pair, (target words, source words)."""
    found = align(
        translator,
        [s.source for s in sentences],
        [s.target for s in sentences],
        source_words=[s.source_words for s in sentences],
        target_words=[s.target_words for s in sentences],
    )
    return [pair.attention for pair in found]


def ibm1(train: Sequence[Pair], valid: Sequence[Sentence], test: Sequence[Sentence]) -> tuple[int, list[Links]]:
    """IBM model 1's links on test after the number of iterations that has the lowest error on valid, and that number.

    Words are lowercased, which helps it; a target word takes its most probable source word, or none.
    """
    try:
        from nltk.translate import AlignedSent, IBMModel1
    except ImportError:
        raise UserError("IBM model 1 is NLTK's, which is not here: pip install nltk, or give --without-ibm") from None

    def sides(pair: Pair | Sentence) -> Any:
        return AlignedSent([w.lower() for w in pair.target_words], [w.lower() for w in pair.source_words])

    def links(sentences: Sequence[Sentence]) -> list[Links]:
        found = []
        for sentence in sentences:
            aligned = sides(sentence)
            model.align(aligned)
            found.append(frozenset((i, j) for j, i in aligned.alignment if i is not None))
        return found

    corpus = [sides(pair) for pair in train]
    model = IBMModel1(corpus, 0)
    best: tuple[float, int, list[Links]] | None = None
    for iteration in range(1, ITERATIONS + 1):
        model.train(corpus)
        error = alignment_error(links(valid), [s.gold for s in valid]).aer
        if best is None or error < best[0]:
            best = error, iteration, links(test)
    assert best is not None
    return best[1:]


def read_debates(folder: Path, lowercase: bool = False) -> list[Sentence]:
    """The shared task's English–French sentences; UserError where the files are absent or do not fit each other."""
    lines, gold_lines = read_lines(folder / "enfr.src-tgt"), read_lines(folder / "enfr.gold")
    if len(lines) != len(gold_lines):
        raise UserError(f"{folder}: enfr.src-tgt has {len(lines)} lines and enfr.gold {len(gold_lines)}")
    sentences = []
    for line, gold in zip(lines, read_links(gold_lines, first=1, where=str(folder / "enfr.gold")), strict=True):
        source, _, target = line.partition("|||")
        words = tuple(source.split()), tuple(target.split())
        sentences.append(Sentence(" ".join(words[0]), " ".join(words[1]), *words, gold))
    return [sentence.lowercased() for sentence in sentences] if lowercase else sentences


def by_diagonal(sentences: Sequence[Sentence]) -> list[Links]:
    """The diagonal's links."""
    return [diagonal(len(s.source_words), len(s.target_words)) for s in sentences]


def run(
    folder: Path, *, seed: int = SEED, data_dir: Path | None = None, lowercase: bool = False, ibm: bool = True
) -> dict[str, Any]:
    """Everything the first paragraph says; returns the figures."""
    train(folder, seed)
    translator = load(folder)
    valid = [Sentence.of(pair) for pair in written("valid", VALID, seed)]
    test = [Sentence.of(pair) for pair in written("test", TEST, seed)]
    debates = read_debates(data_dir / "word_alignment", lowercase) if data_dir else []
    if lowercase:
        valid, test = ([sentence.lowercased() for sentence in part] for part in (valid, test))
    rule, chosen_by = choose_rule(attended(translator, valid), [s.gold for s in valid])
    print(f"link rule, chosen on {VALID} validation sentences: {rule}  ({chosen_by})")
    results: dict[str, Any] = {"rule": str(rule), "validation": chosen_by.plain(), "seed": seed}
    systems = {"attention": links(translator, test, rule), "diagonal": by_diagonal(test)}
    if ibm:
        iterations, systems["IBM model 1"] = ibm1(training_pairs(seed), valid, test)
        results["IBM model 1, iterations"] = iterations
    results["built-in corpus, test"] = judge(f"built-in corpus, test split, {TEST} sentences", systems, test)
    if debates:
        systems = {"attention": links(translator, debates, rule), "diagonal": by_diagonal(debates)}
        results["debates, en-fr"] = judge(f"debates, English–French, {len(debates)} sentences", systems, debates)
    results |= {
        "date": datetime.date.today().isoformat(),
        "versions": {name: version(name) for name in ("regard", "torch", *(["nltk"] if ibm else []))},
        "python": platform.python_version(),
    }
    return results


def links(translator: Translator, sentences: Sequence[Sentence], rule: LinkRule) -> list[Links]:
    """The model's links by a rule."""
    return [rule(weights) for weights in attended(translator, sentences)]


def judge(name: str, systems: dict[str, list[Links]], sentences: Sequence[Sentence]) -> dict[str, Any]:
    """Each system's score, and whether attention's differs from it by chance."""
    gold = [s.gold for s in sentences]
    print(f"\n{name}")
    plain: dict[str, Any] = {}
    for system, found in systems.items():
        score = alignment_error(found, gold)
        plain[system] = score.plain()
        print(f"{system:<12}  {score}")
        if system != "attention":
            difference = compare_alignments(systems["attention"], found, gold)
            plain[system]["attention against it"] = _difference(difference)
            print(f"{'':<12}  {difference}")
    return plain


def _difference(comparison: Comparison) -> dict[str, Any]:
    return {"p": comparison.p, "signature": comparison.signature}


def main() -> None:
    """Judge the model, after training it where it is not there yet."""
    parser = argparse.ArgumentParser(prog="python -m regard.recipes.alignment", description=__doc__.split("\n")[0])
    parser.add_argument("--model", type=Path, required=True, help="the model's folder; trained there if absent")
    parser.add_argument("--data-dir", type=Path, help="also judge on word_alignment/ in this folder")
    parser.add_argument("--lowercase", action="store_true", help="lowercase all, for a model of lowercased text")
    parser.add_argument("--without-ibm", action="store_true", help="leave out IBM model 1, which takes minutes")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there too")
    given = parser.parse_args()
    results = run(given.model, data_dir=given.data_dir, lowercase=given.lowercase, ibm=not given.without_ibm)
    if given.json:
        given.json.write_text(json.dumps(results, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
