"""Sentence pairs from files: one tab-separated file, or two files whose lines belong together; plain or gzip.

A line ends at a newline and nowhere else, so that a stray U+2028 in one file cannot shift it against the other.
"""

import gzip
import hashlib
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from regard.errors import UserError


@dataclass(frozen=True)
class Pairs:
    """Sentences and their translations.

    `lines` numbers them as in the file they came from (default: 1, 2, ...); `blank` are the lines left out because a
    side was empty.
    """

    source: list[str]
    target: list[str]
    lines: Sequence[int] = ()
    blank: Sequence[int] = ()

    def __post_init__(self) -> None:
        if len(self.source) != len(self.target):
            raise UserError(
                f"{len(self.source)} sentences and {len(self.target)} translations: expected as many of each"
            )

    def __len__(self) -> int:
        return len(self.source)

    def line(self, index: int) -> int:
        """Where pair number `index` (from 0) stood in its file (from 1)."""
        return self.lines[index] if self.lines else index + 1


def read_pairs(tsv: Path | None = None, *, source: Path | None = None, target: Path | None = None) -> Pairs:
    """The pairs of one file of `source<TAB>target` lines, or of a source file and a target file.

    Raises UserError, naming file and line, for bad UTF-8, a line neither blank nor with exactly one tab, files of
    different length, a file that is missing, damaged or empty.
    """
    if tsv is not None and source is None and target is None:
        sides = [_split(line, tsv, number) for number, line in enumerate(_lines(tsv), 1)]
    elif tsv is None and source is not None and target is not None:
        sides = _zip_files(source, target)
    else:
        raise UserError("give either one tab-separated file, or a source file and a target file")
    full = [bool(left.strip() and right.strip()) for left, right in sides]
    if not any(full):
        raise UserError(f"{tsv or source}: no sentence pair in it; expected at least one")
    return Pairs(
        source=[left for (left, _), keep in zip(sides, full, strict=True) if keep],
        target=[right for (_, right), keep in zip(sides, full, strict=True) if keep],
        lines=[number for number, keep in enumerate(full, 1) if keep],
        blank=[number for number, keep in enumerate(full, 1) if not keep],
    )


def fingerprint(*sets: Pairs) -> str:
    """The SHA-256 of all sentences in their order: that of other pairs is another."""
    found = hashlib.sha256()
    for pairs in sets:
        for side in (pairs.source, pairs.target):
            found.update(f"{len(side)}\0".encode())
            for sentence in side:
                found.update(sentence.encode(errors="surrogatepass") + b"\0")
    return found.hexdigest()


def read_lines(path: Path) -> list[str]:
    """The lines of one text file, plain or gzip, blank ones included; UserError as for `read_pairs`."""
    return list(_lines(path))


def _split(line: str, path: Path, number: int) -> tuple[str, str]:
    """The two sides of a line; a blank one has two blank sides."""
    parts = line.split("\t") if line.strip() else ["", ""]
    if len(parts) != 2:
        found = "no tab" if len(parts) == 1 else f"{len(parts) - 1} tabs"
        more = " (cut -f1,2 keeps the first two columns)" if len(parts) > 2 else ""
        raise UserError(
            f"{path}: line {number} has {found}; expected one, between a sentence and its translation{more}"
        )
    return parts[0], parts[1]


def _zip_files(source: Path, target: Path) -> list[tuple[str, str]]:
    left, right = read_lines(source), read_lines(target)
    if len(left) != len(right):
        short, extra = (source, target) if len(left) < len(right) else (target, source)
        count = min(len(left), len(right))
        raise UserError(
            f"{source} has {len(left)} lines and {target} has {len(right)}: line {count + 1} of {extra} has no partner "
            f"in {short}; the two must be translations line by line"
        )
    return list(zip(left, right, strict=True))


def _lines(path: Path) -> Iterator[str]:
    """Decode line by line, so that an error can say where; a byte-order mark and carriage returns are dropped."""
    for number, raw in enumerate(_read(Path(path)), 1):
        try:
            line = raw.decode("utf-8")
        except UnicodeDecodeError as error:
            raise UserError(
                f"{path}: line {number}, byte {error.start + 1} is not UTF-8 (0x{raw[error.start]:02x}); "
                "convert the file to UTF-8"
            ) from None
        yield line.removeprefix("\ufeff").rstrip("\r") if number == 1 else line.rstrip("\r")


def _read(path: Path) -> list[bytes]:
    try:
        data = path.read_bytes()
        if data.startswith(b"\x1f\x8b"):
            data = gzip.decompress(data)
    except (EOFError, zlib.error, gzip.BadGzipFile):
        raise UserError(f"{path}: a damaged gzip file; copy it again") from None
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({(error.strerror or str(error)).lower()})") from None
    if not data:
        raise UserError(f"{path}: an empty file; expected sentences, one a line")
    return data.removesuffix(b"\n").split(b"\n")
