"""Word alignments: links between words, the files that hold them, and the alignment error rate against gold links.

A link (i, j) says that source word i and target word j translate each other; both count from 0. Two kinds of file are
read, one line a sentence pair: Pharaoh's `0-0 1-2`, counted from 0, and gold files with sure links `i-j` and possible
ones `ipj`, which the shared tasks of 2003 count from 1.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass

from regard.errors import UserError

Links = frozenset[tuple[int, int]]
_LINK = re.compile(r"(\d+)([-p])(\d+)")


@dataclass(frozen=True)
class Gold:
    """What people say of one sentence pair: links that must be there and links that may; the sure ones may too."""

    sure: Links
    possible: Links

    def __post_init__(self) -> None:
        if not self.sure <= self.possible:
            object.__setattr__(self, "possible", self.sure | self.possible)

    @classmethod
    def of(cls, sure: Iterable[tuple[int, int]], possible: Iterable[tuple[int, int]] = ()) -> Gold:
        """From links in any container; the sure ones are possible as well."""
        return cls(frozenset(sure), frozenset(possible))


@dataclass(frozen=True)
class AlignmentScore:
    """AER, precision and recall, from 0 to 1, and the links they count; precision is NaN where no link was found."""

    aer: float
    precision: float
    recall: float
    found: int
    sure: int
    possible: int

    def plain(self) -> dict[str, float | int | None]:
        """For JSON, which has no NaN."""
        return {name: None if math.isnan(value) else value for name, value in asdict(self).items()}

    def __str__(self) -> str:
        return (
            f"AER {self.aer:.3f}  precision {self.precision:.3f}  recall {self.recall:.3f}  "
            f"(links: {self.found:,} found, {self.sure:,} sure, {self.possible:,} possible)"
        )


def alignment_error(found: Sequence[Links], gold: Sequence[Gold]) -> AlignmentScore:
    """Alignment error rate of whole documents: `AER = 1 − (|A∩S| + |A∩P|) / (|A| + |S|)`, from 0 to 1, lower is better.

    found: the links A of each sentence pair.
    gold: the sure links S and the possible ones P ⊇ S of each. With P = S, AER is 1 − F1.
    Counts are summed over all pairs first; precision is |A∩P| / |A|, recall |A∩S| / |S|.
    Raises UserError for lists of different length, and where neither side has a link.
    Source: Och and Ney 2000.
    """
    if len(found) != len(gold):
        raise UserError(f"{len(found)} alignments but {len(gold)} gold ones: one of each per sentence pair")
    links, sure = sum(map(len, found)), sum(len(g.sure) for g in gold)
    if not links + sure:
        raise UserError("no links to compare: neither the alignments nor the gold ones have any")
    in_sure = sum(len(a & g.sure) for a, g in zip(found, gold, strict=True))
    in_possible = sum(len(a & g.possible) for a, g in zip(found, gold, strict=True))
    return AlignmentScore(
        aer=1 - (in_sure + in_possible) / (links + sure),
        precision=in_possible / links if links else float("nan"),
        recall=in_sure / sure if sure else float("nan"),
        found=links,
        sure=sure,
        possible=sum(len(g.possible) for g in gold),
    )


def write_links(links: Links) -> str:
    """One line in Pharaoh's format: `0-0 1-2`, in order, source word first; no link is an empty line."""
    return " ".join(f"{i}-{j}" for i, j in sorted(links))


def read_links(lines: Iterable[str], *, first: int = 0, where: str = "alignments") -> list[Gold]:
    """Links of each line: `i-j` sure, `ipj` possible; a blank line has none.

    first: the number that the file gives the first word, 0 (Pharaoh) or 1 (the shared tasks' gold files).
    where: what to call the file in errors.
    Raises UserError, naming the line, for anything else in it and for an index below `first`.
    """
    return [_read_line(line, first, f"{where}: line {number}") for number, line in enumerate(lines, 1)]


def _read_line(line: str, first: int, where: str) -> Gold:
    sure: set[tuple[int, int]] = set()
    possible: set[tuple[int, int]] = set()
    for text in line.split():
        match = _LINK.fullmatch(text)
        if not match:
            raise UserError(f"{where} has {text!r}: expected links such as 0-0 or, where only possible, 0p0")
        i, j = int(match[1]) - first, int(match[3]) - first
        if min(i, j) < 0:
            raise UserError(f"{where} has {text!r} although its words were said to count from {first}")
        (sure if match[2] == "-" else possible).add((i, j))
    return Gold.of(sure, possible)


def outside(gold: Sequence[Gold], lengths: Sequence[tuple[int, int]]) -> list[int]:
    """The lines, from 1, with links beyond their (source, target) numbers of words."""
    return [
        number
        for number, (g, (source, target)) in enumerate(zip(gold, lengths, strict=True), 1)
        if any(i >= source or j >= target for i, j in g.possible)
    ]


def diagonal(source: int, target: int) -> Links:
    """The baseline that knows lengths alone: target word j with the source word at the same share of the sentence."""
    return frozenset((min(source - 1, (2 * j + 1) * source // (2 * target)), j) for j in range(target) if source)
