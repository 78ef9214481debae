"""Unknown words: what the model could not spell is copied from the source word it looked at most (Luong 2015b).

A word that holds a subword unknown to the vocabulary is replaced whole, with the letters the model wrote around it:
`Sm⁇rrebr⁇d`, read from `Smørrebrød`, becomes `Smørrebrød`.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from regard.data.tokenizer import SPACE, UNKNOWN, Words


class Replaced(NamedTuple):
    """An output whose unknown words were replaced."""

    text: str
    words: Words
    """Its words, each with the places of its subwords; a replaced word is one word."""


def replace_unknown(pieces: Sequence[str], words: Words, reading: np.ndarray, source: Sequence[str]) -> Replaced:
    """Copy, for each run of letters with an unknown among them, the source word argmax_j Σ_t A(t, j).

    pieces: the output's subwords, ▁ for a space and ⁇ for an unknown one.
    words: the output's words, each with the places of its subwords.
    reading: A (subwords, source words), how much each output subword read of each source word; the sum goes over the
        run's unknown subwords.
    """
    pieces = list(pieces)
    place = 0
    while place < len(pieces):
        if pieces[place].lstrip(SPACE) != UNKNOWN:
            place += 1
            continue
        first, last = _run(pieces, place)
        unknown = [t for t in range(first, last + 1) if pieces[t].lstrip(SPACE) == UNKNOWN]
        copied = source[int(reading[unknown].sum(0).argmax())]
        space = SPACE if pieces[first].startswith(SPACE) else ""
        pieces[first : last + 1] = [space + copied, *[""] * (last - first)]
        words = _one_word(words, first, last, copied)
        place = last + 1
    return Replaced("".join(pieces).replace(SPACE, " ").strip(), words)


def _run(pieces: list[str], place: int) -> tuple[int, int]:
    """The first and the last of the subwords written together with this one, letters and unknown ones alone."""
    first = last = place
    while first > 0 and not pieces[first].startswith(SPACE) and _joins(pieces[first - 1].lstrip(SPACE)):
        first -= 1
    while last + 1 < len(pieces) and _joins(pieces[last + 1]):
        last += 1
    return first, last


def _joins(piece: str) -> bool:
    return piece == UNKNOWN or piece.isalpha()


def _one_word(words: Words, first: int, last: int, text: str) -> Words:
    """The words with those of these subwords made one."""
    inside = [bool(places) and places[0] <= last and places[-1] >= first for _, places in words]
    at = inside.index(True)
    places = [place for (_, of_word), within in zip(words, inside, strict=True) if within for place in of_word]
    kept = [word for word, within in zip(words, inside, strict=True) if not within]
    return [*kept[:at], (text, places), *kept[at:]]
