"""Writes Multi30k as JoeyNMT wants it: plain files, joint BPE codes of 10,000 merges, and the vocabulary they leave.

Run it with the Python that JoeyNMT is installed in (it needs subword-nmt):

    JOEY_PYTHON benchmarks/joeynmt/prepare.py --data-dir DATA OUT

DATA holds multi30k/{train,val,test_2016_flickr}.lc.norm.tok.{en,fr}.gz; OUT receives the same lines as plain files,
`joint.codes` and `joint.vocab`. `compare.py` trains both sides on these files.
"""

from __future__ import annotations

import argparse
import gzip
from collections import Counter
from pathlib import Path

SPLITS = ("train", "val", "test_2016_flickr")
LANGUAGES = ("en", "fr")
MERGES = 10_000


def unpack(data_dir: Path, out: Path) -> None:
    """Writes every split as OUT/SPLIT.LANGUAGE, line for line."""
    for split in SPLITS:
        for language in LANGUAGES:
            packed = data_dir / "multi30k" / f"{split}.lc.norm.tok.{language}.gz"
            (out / f"{split}.{language}").write_bytes(gzip.decompress(packed.read_bytes()))


def learn_codes(out: Path) -> Path:
    """Learns the merges on both sides of the training text together and returns the file that holds them."""
    from subword_nmt.learn_bpe import learn_bpe

    lines = [line for language in LANGUAGES for line in (out / f"train.{language}").open(encoding="utf-8")]
    codes = out / "joint.codes"
    with codes.open("w", encoding="utf-8") as file:
        learn_bpe(lines, file, MERGES)
    return codes


def write_vocabulary(out: Path, codes: Path) -> int:
    """Writes every token of the segmented training text, the most frequent first, and returns how many there are.

    Also writes how many target tokens a training sentence takes on average, its end included.
    """
    from subword_nmt.apply_bpe import BPE

    with codes.open(encoding="utf-8") as file:
        bpe = BPE(file)
    counts: Counter[str] = Counter()
    for language in LANGUAGES:
        for line in (out / f"train.{language}").open(encoding="utf-8"):
            counts.update(bpe.process_line(line).split())
    target = [len(bpe.process_line(line).split()) + 1 for line in (out / "train.fr").open(encoding="utf-8")]
    (out / "subwords_per_sentence").write_text(f"{sum(target) / len(target)}\n")
    tokens = sorted(counts, key=lambda token: (-counts[token], token))
    (out / "joint.vocab").write_text("".join(f"{token}\n" for token in tokens), encoding="utf-8")
    return len(tokens)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data-dir", type=Path, required=True, help="folder that holds multi30k/")
    parser.add_argument("out", type=Path, help="folder to write (made if absent)")
    given = parser.parse_args()
    given.out.mkdir(parents=True, exist_ok=True)
    unpack(given.data_dir, given.out)
    codes = learn_codes(given.out)
    print(f"{given.out}: {MERGES} merges, {write_vocabulary(given.out, codes)} tokens")


if __name__ == "__main__":
    main()
