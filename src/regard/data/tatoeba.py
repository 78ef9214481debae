"""The Tatoeba pairs out of the archive they come in, split so that no English sentence is in two of the splits.

Pairs are grouped by their English sentence, without case and punctuation; the groups are shuffled; whole groups fill
the test split, then the validation split, to 2,000 pairs each; the rest is for training.
"""

from __future__ import annotations

import hashlib
import random
import unicodedata
import zipfile
from pathlib import Path

from regard.data.catalogue import SPLITS, Split
from regard.errors import UserError
from regard.folder import write

MEMBER = "fra.txt"
PAIRS = 142_787  # in the issue of 2017-09-29
HELD_OUT = 2_000
SEED = 20261121
# Of the sorted lines of the validation and the test split that this project's figures are measured on.
PUBLISHED = {
    "valid": "e0646bedc2c4893f7f676537c97c1846ad6b7d9455abf5a26417cd2728bb3eaf",
    "test": "1053d4537eb6ebc59cbffc890ade734d746a544463d0737e99bf6d346ddc506a",
}


def unpack(archive: Path, folder: Path, *, expected: int = PAIRS, held_out: int = HELD_OUT) -> bool:
    """Write train.tsv, valid.tsv and test.tsv into a folder; whether the held-out ones are those of our figures.

    Raises UserError for a damaged archive, one without fra.txt, and another issue (by its number of pairs).
    """
    try:
        with zipfile.ZipFile(archive) as opened:
            text = opened.read(MEMBER).decode("utf-8")
    except (zipfile.BadZipFile, KeyError, UnicodeDecodeError, EOFError) as error:
        raise UserError(f"{archive}: not the archive it should be ({error}); delete it and fetch it again") from None
    pairs = [(left.strip(), right.strip()) for left, right, *_ in (line.split("\t") for line in _lines(text))]
    if len(pairs) != expected:
        raise UserError(f"{archive}: {len(pairs):,} pairs, expected {expected:,}: another issue of the collection")
    parts = split(pairs, held_out)
    for name in SPLITS:
        write(folder / f"{name}.tsv", "".join(f"{line}\n" for line in parts[name]).encode())
    return all(digest(parts[name]) == PUBLISHED[name] for name in ("valid", "test"))


def split(pairs: list[tuple[str, str]], held_out: int) -> dict[Split, list[str]]:
    """Lines of each split, in the order of the source."""
    groups: dict[str, list[int]] = {}
    for index, (english, _) in enumerate(pairs):
        groups.setdefault(key(english), []).append(index)
    names = sorted(groups)
    random.Random(SEED).shuffle(names)
    of: dict[int, Split] = {}
    room: dict[Split, int] = {"test": held_out, "valid": held_out}
    for name in names:
        fitting = next((part for part in room if len(groups[name]) <= room[part]), None)
        if fitting:
            room[fitting] -= len(groups[name])
            of |= dict.fromkeys(groups[name], fitting)
    parts: dict[Split, list[str]] = {"train": [], "valid": [], "test": []}
    for index, (english, french) in enumerate(pairs):
        parts[of.get(index, "train")].append(f"{english}\t{french}")
    return parts


def key(sentence: str) -> str:
    """What makes two English sentences the same: their letters and digits, without case."""
    return "".join(c for c in unicodedata.normalize("NFKC", sentence).casefold() if c.isalnum())


def digest(lines: list[str]) -> str:
    """The SHA-256 of the lines in order of their letters, joined by newlines."""
    return hashlib.sha256("\n".join(sorted(lines)).encode()).hexdigest()


def _lines(text: str) -> list[str]:
    return [line for line in text.split("\n") if line.count("\t") >= 1]
