"""More pairs from the pairs there are: what models of both directions make of them (data diversification).

    D′ = D ∪ {(x, f(x))} ∪ {(b(y), y)},   f from source to target and b from target to source, both trained on D

A model that learns from D′ meets each sentence with several translations, of which those that a model wrote are the
more regular; where pairs are few that is worth more than their mistakes cost. Source: Nguyen, Joty, Wu and Aw 2020
(arXiv 1911.01986), of which this is one round with one model a direction.
"""

from __future__ import annotations

import gzip
from pathlib import Path

import torch

from regard.data.pairs import Pairs, read_lines
from regard.errors import UserError
from regard.folder import write
from regard.translator import load

BEAM = 5
TRANSLATED = "train.translated.gz"  # in a model's folder: what it makes of the pairs it was trained on


def diversified(pairs: Pairs, forward: Path, backward: Path) -> Pairs:
    """D′ from D and the folders of f and b: the pairs, then each new one that a model wrote, once."""
    there, back = translated_once(forward, pairs.source), translated_once(backward, pairs.target)
    written = [*zip(pairs.source, there, strict=True), *zip(back, pairs.target, strict=True)]
    known = set(zip(pairs.source, pairs.target, strict=True))
    new = dict.fromkeys(pair for pair in written if pair not in known and all(side.strip() for side in pair))
    return Pairs([*pairs.source, *(source for source, _ in new)], [*pairs.target, *(target for _, target in new)])


def translated_once(folder: Path, sentences: list[str]) -> list[str]:
    """The model's translations, kept in its folder; UserError if those there are of other sentences."""
    from regard.training.trainer import half_precision_pays

    path = folder / TRANSLATED
    if not path.exists():
        translator = load(folder).to(torch.bfloat16 if half_precision_pays() else torch.float32)
        found = translator.translate(sentences, beam=BEAM, attention=False, progress=True)
        lines = (f"{source}\t{translation.text}\n" for source, translation in zip(sentences, found, strict=True))
        write(path, gzip.compress("".join(lines).encode(), mtime=0))
    kept = [line.rpartition("\t") for line in read_lines(path)]
    if [source for source, _, _ in kept] != sentences:
        raise UserError(f"{path}: translations of other sentences: delete it to translate anew")
    return [text for _, _, text in kept]
