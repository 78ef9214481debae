"""Sentence pairs as people type them: without capitals, without the mark that ends a sentence, or without either.

Sets of pairs are well written, and what is typed into a terminal often is not; a model that has never seen "how are
you" makes nonsense of it. A source without capitals keeps its translation; one without its mark has one without.
"""

import random

from regard.data.pairs import Pairs

MARKS = ".!?…。！？؟।"
FORMS = ((True, False), (False, True), (True, True))  # without capitals; without marks


def with_typed(pairs: Pairs, share: float, seed: int) -> Pairs:
    """The pairs, then again so large a share of them, each in a form that is drawn; those that the form changes."""
    draw = random.Random(seed)
    source, target = [*pairs.source], [*pairs.target]
    lines = [pairs.line(index) for index in range(len(pairs))]
    for index, pair in enumerate(zip(pairs.source, pairs.target, strict=True)):
        if draw.random() < share and (new := as_typed(*pair, *draw.choice(FORMS))) != pair:
            source.append(new[0])
            target.append(new[1])
            lines.append(lines[index])
    return Pairs(source, target, lines, pairs.blank)


def as_typed(source: str, target: str, lower: bool = True, bare: bool = True) -> tuple[str, str]:
    """A pair with its source in small letters, and with neither side's last marks, where that leaves something."""
    if bare and _bare(source) and _bare(target):
        source, target = _bare(source), _bare(target)
    return source.lower() if lower else source, target


def _bare(sentence: str) -> str:
    return sentence.rstrip(MARKS + " \u00a0\u202f")
