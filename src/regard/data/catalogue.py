"""Public sets of sentence pairs: what they hold, under which licence, from where, and how each file is recognised.

Checksums are of the files as their publishers keep them, at a named commit: what comes is what was meant, or an error.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Split = Literal["train", "valid", "test"]
SPLITS: tuple[Split, ...] = ("train", "valid", "test")


@dataclass(frozen=True)
class Remote:
    """One file of a set: its name, where it lies, its bytes, and its SHA-256 (None: none was published)."""

    name: str
    url: str
    size: int | None
    sha256: str | None


@dataclass(frozen=True)
class PublicSet:
    """A set of sentence pairs.

    `folder` is what its folder is called below the data folder; `languages` are those it has, every two of which make
    pairs; `pairs` counts each split; `notice` is what must be kept with a copy.
    """

    name: str
    title: str
    folder: str
    languages: tuple[str, ...]
    pairs: dict[Split, int]
    licence: str
    notice: str
    files: tuple[Remote, ...]

    @property
    def size(self) -> str:
        """The download's size in words; a file of unknown size is left out of it."""
        known = sum(file.size or 0 for file in self.files)
        return f"{known / 1e6:.1f} MB" if known else "some MB"


_MULTI30K = "https://raw.githubusercontent.com/multi30k/dataset/a3d2e0d26b56f3846f66a952536ffed4e401d05a/data/task1"
_MULTI30K_SPLITS: dict[Split, str] = {"train": "train", "valid": "val", "test": "test_2016_flickr"}
_MULTI30K_PAIRS: dict[Split, int] = {"train": 29_000, "valid": 1_014, "test": 1_000}
_MULTI30K_LICENCE = "no licence stated; for research and education, non-commercial"
_MULTI30K_NOTICE = (
    "Multi30k: Elliott, Frank, Sima'an and Specia, VL 2016 (English, German); Elliott, Frank, Barrault, Bougares and "
    "Specia, WMT 2017 (French). Partly derived from Flickr30K; provided for researchers and educators who wish to use "
    "it for non-commercial research and educational purposes."
)
_RAW = {
    "train.de.gz": (637_044, "726e39b2fa9eb9ffb6dc763fb35a179f80fae06ffc5d28b6ace5faa883de28a6"),
    "train.en.gz": (568_929, "d79cfa999dd4c51d2cb42499b6796d5a882c3a8a961923c25a898c90f8bbd56f"),
    "train.fr.gz": (604_242, "622e75069e9f4c577425c4f277116ce66e63a2401c0a2312d90073cb12379a3c"),
    "val.de.gz": (24_681, "f0cba2f995189cf5770f29a8a9a537a3ad3f51657ad873405082ff6863a5e75a"),
    "val.en.gz": (21_650, "14f7d25ddd868909a9213e361768460edcacdd6ab9d1e77b92560dc10c10dc28"),
    "val.fr.gz": (23_001, "ca3106f1a72390591d25f6c45cb4cd39dec4cd3f123e099748a3ce5256c160e9"),
    "test_2016_flickr.de.gz": (22_890, "9204244e408ccb38d2a55cfcd344df15005fc42a07a6e55ca6c52b6ababb8cc8"),
    "test_2016_flickr.en.gz": (21_077, "611d361c6334bc7246101d48097c13cf5c4413c5befc793cc629934359d532d9"),
    "test_2016_flickr.fr.gz": (22_310, "6d326e188d259fb1d04ac19eae3af956559b3a0b93d7635e56c90987c40c8b90"),
}
_TOKENISED = {
    "train.lc.norm.tok.de": (2_150_008, "cb5a23529b65ec2061f1dc446192a9c37382b63cc75f81a0be59d34894b3a505"),
    "train.lc.norm.tok.en": (1_837_696, "08925f8e0572bcd5a006702fc5fe20e2d77c6917d4eebd576fc20de6693c2119"),
    "train.lc.norm.tok.fr": (2_235_588, "8fa41bb718412bcb7c5dfa58603842810a01543eae86a51279f9886b901266e1"),
    "val.lc.norm.tok.de": (77_273, "97232bd273eceb7207f689527386a97e4be2616b18ada47576bdaf96c8ae1f00"),
    "val.lc.norm.tok.en": (64_608, "46573ce391ae227f1c72f873392436a20ef18e0a6d518098cfbd70b77c8572ec"),
    "val.lc.norm.tok.fr": (78_242, "b303e301aa21fe7822a846b2b3fb2d5a1121ec807cd5b1d006fb7b2b5507168a"),
    "test_2016_flickr.lc.norm.tok.de": (71_917, "c6a33d39d48f9f510de147651316cd9d918e09ad0219df734a2f16b6baccacc4"),
    "test_2016_flickr.lc.norm.tok.en": (63_307, "5b7f32627cf99eced828311b955dae9800bb52bc8b91cf8b6526829e605b29d2"),
    "test_2016_flickr.lc.norm.tok.fr": (76_394, "1463bd5960f9bfe098ec3cd752d3df0c49c84dc646fb518964a29232658cd836"),
}

MULTI30K = PublicSet(
    name="multi30k",
    title="Multi30k, task 1: image captions as written, cased",
    folder="multi30k",
    languages=("en", "de", "fr"),
    pairs=_MULTI30K_PAIRS,
    licence=_MULTI30K_LICENCE,
    notice=_MULTI30K_NOTICE,
    files=tuple(Remote(name, f"{_MULTI30K}/raw/{name}", size, sha256) for name, (size, sha256) in _RAW.items()),
)
MULTI30K_TOK = PublicSet(
    name="multi30k-tok",
    title="the same, lowercased, normalised and tokenised as published scores are",
    folder="multi30k",
    languages=("en", "de", "fr"),
    pairs=_MULTI30K_PAIRS,
    licence=_MULTI30K_LICENCE,
    notice=_MULTI30K_NOTICE,
    files=tuple(Remote(name, f"{_MULTI30K}/tok/{name}", size, sha256) for name, (size, sha256) in _TOKENISED.items()),
)
TATOEBA = PublicSet(
    name="tatoeba",
    title="Tatoeba, selection of ManyThings.org of 2017-09-29: short everyday sentences",
    folder="tatoeba_en_fr",
    languages=("en", "fr"),
    pairs={"train": 136_787, "valid": 2_000, "test": 2_000},
    licence="CC BY 2.0 (creativecommons.org/licenses/by/2.0)",
    notice="Attribution: www.manythings.org/anki and tatoeba.org, CC BY 2.0. The data contains errors.",
    files=(
        Remote(
            "fra-eng.zip",
            "https://raw.githubusercontent.com/genimind/seq2seq/4f3f8eb0adde54fcc8b89394336b002e7961244c/fra-eng.zip",
            None,
            None,
        ),
    ),
)
SETS: dict[str, PublicSet] = {each.name: each for each in (MULTI30K, MULTI30K_TOK, TATOEBA)}


def stem(public: PublicSet, split: Split) -> str:
    """What a split's files are called before the language: `val` or `val.lc.norm.tok`; for Tatoeba the split itself."""
    if public.name == TATOEBA.name:
        return split
    return _MULTI30K_SPLITS[split] + (".lc.norm.tok" if public.name == MULTI30K_TOK.name else "")
