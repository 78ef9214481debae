"""Reading a public set from a local folder, fetched by `regard data fetch` or copied there by hand.

    DIR/multi30k/{train,val,test_2016_flickr}.{en,de,fr}.gz           multi30k
    DIR/multi30k/{train,val,test_2016_flickr}.lc.norm.tok.{en,de,fr}  multi30k-tok
    DIR/tatoeba_en_fr/{train,valid,test}.tsv                          tatoeba

Each file may be plain or end in .gz, and DIR may be the set's own folder.
"""

from __future__ import annotations

import difflib
from pathlib import Path

from regard.data.catalogue import SETS, SPLITS, TATOEBA, PublicSet, Split, stem
from regard.data.pairs import Pairs, read_pairs
from regard.errors import UserError


def find(name: str) -> PublicSet:
    """The public set of a name; UserError, naming those there are, for an unknown one."""
    if name not in SETS:
        close = difflib.get_close_matches(name, SETS, n=1)
        raise UserError(f"no public set {name!r}{f' (did you mean {close[0]!r}?)' if close else ''}: {', '.join(SETS)}")
    return SETS[name]


def read_set(name: str, split: Split, languages: str, folder: Path) -> Pairs:
    """The pairs of one split, from the first language to the second.

    name: one of the catalogue, such as "multi30k".
    languages: two of the set's, source first, as in "en-fr".
    folder: the data folder, or the set's own.
    Raises UserError for an unknown set, split or language, and for files that are not there, saying how to get them.
    """
    public = find(name)
    if split not in SPLITS:
        raise UserError(f"split is {split!r}: expected one of {', '.join(SPLITS)}")
    source, target = _two_languages(public, languages)
    if public.name != TATOEBA.name:
        source_file, target_file = (_file(public, folder, f"{stem(public, split)}.{side}") for side in (source, target))
        return read_pairs(source=source_file, target=target_file)
    pairs = read_pairs(_file(public, folder, f"{stem(public, split)}.tsv"))
    if (source, target) == TATOEBA.languages:
        return pairs
    return Pairs(pairs.target, pairs.source, pairs.lines, pairs.blank)


def where(public: PublicSet, folder: Path, name: str) -> Path | None:
    """The file of a set, plain or gzip, in its folder below `folder` or in `folder` itself; None if it is not there."""
    for path in (folder / public.folder / name, folder / name):
        for each in (path, path.with_name(f"{name}.gz")):
            if each.is_file():
                return each
    return None


def missing(public: PublicSet, folder: Path) -> list[str]:
    """The names of the set's files that are not in a folder."""
    return [name for name in names(public) if where(public, folder, name) is None]


def names(public: PublicSet) -> list[str]:
    """What the set's files are called, before an ending .gz."""
    endings = ("tsv",) if public.name == TATOEBA.name else public.languages
    return [f"{stem(public, split)}.{ending}" for split in SPLITS for ending in endings]


def _two_languages(public: PublicSet, languages: str) -> tuple[str, str]:
    source, _, target = languages.partition("-")
    if source == target or not {source, target} <= set(public.languages):
        raise UserError(
            f"languages {languages!r}: {public.name} has {', '.join(public.languages)}; expected two of them, source "
            f"first, such as {public.languages[0]}-{public.languages[-1]}"
        )
    return source, target


def _file(public: PublicSet, folder: Path, name: str) -> Path:
    path = where(public, folder, name)
    if path is None:
        raise UserError(
            f"{folder} has no {public.folder}/{name} nor {name}.gz: get it with `regard data fetch {public.name}`, or "
            "name the folder that has it by --data-dir"
        )
    return path
