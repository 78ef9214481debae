"""What a run reads: the pairs as numbers, and by name every pair that it leaves out."""

from dataclasses import dataclass
from pathlib import Path
from typing import Self

from regard.data.batches import Encoded
from regard.data.pairs import Pairs
from regard.data.segmentations import Segmentations
from regard.data.tokenizer import EOS, Tokenizer
from regard.errors import UserError
from regard.folder import TOKENIZER, TRAINING, write

LEFT_OUT = Path(TRAINING) / "left_out.txt"
HELD_OUT = 1000  # pairs kept for validation where none are given, at most a tenth


@dataclass(frozen=True)
class Data:
    """The pairs to train on and to validate on, encoded, with the references of the latter."""

    train: Encoded
    valid: Encoded
    references: list[str]
    left_out: list[str]  # a line each
    typed: int = 0  # of the pairs to train on, those that were added as typed forms of others
    segmentations: tuple[Segmentations, Segmentations] | None = None  # of the pairs to train on, with subword dropout

    @classmethod
    def of(
        cls,
        train: Pairs,
        valid: Pairs,
        tokenizer: Tokenizer,
        max_tokens: int,
        *,
        typed: int = 0,
        subword_dropout: float = 0.0,
    ) -> Self:
        """Encode; UserError if nothing is left of either. `typed`: how many of the pairs are forms of others."""
        encoded = {"train": Encoded.of(train, tokenizer, max_tokens), "valid": Encoded.of(valid, tokenizer, max_tokens)}
        if not all(map(len, encoded.values())):
            raise UserError(f"no pair of at most {max_tokens} subwords a side is left to train and validate on")
        lines = []
        for name, pairs in (("train", train), ("valid", valid)):
            lines += [f"{name} line {number}: a side is empty" for number in pairs.blank]
            lines += [f"{name} line {pairs.line(i)}: over {max_tokens} subwords" for i in encoded[name].long]
        references = _without(valid.target, encoded["valid"].long)
        segmentations = None
        if subword_dropout:
            source, target = (_without(side, encoded["train"].long) for side in (train.source, train.target))
            segmentations = (
                Segmentations(source, tokenizer, subword_dropout),
                Segmentations(target, tokenizer, subword_dropout),
            )
        return cls(encoded["train"], encoded["valid"], references, lines, typed, segmentations)

    def redraw(self, seed: int, epoch: int) -> Encoded:
        """The pairs to train on as an epoch reads them: with subword dropout, cut anew."""
        if self.segmentations is None:
            return self.train
        source, target = (side.draw(f"{seed}/{epoch}/{n}") for n, side in enumerate(self.segmentations))
        return Encoded(source, [[*ids, EOS] for ids in target], self.train.long)

    def describe(self, folder: Path) -> list[str]:
        """Name every pair that is not used in the folder; the counts, for the terminal."""
        typed = f" ({self.typed:,} of them as people type)" if self.typed else ""
        said = [f"{len(self.train):,} pairs to train on{typed}, {len(self.valid):,} to validate on"]
        if lines := self.left_out:
            write(folder / LEFT_OUT, ("\n".join(lines) + "\n").encode())
            shown = "; ".join(lines[:3]) + (f"; and {len(lines) - 3} more" if len(lines) > 3 else "")
            said.append(f"left out {len(lines)} pairs ({shown}): all are named in {folder / LEFT_OUT}")
        return said


def _without(sentences: list[str], left_out: list[int]) -> list[str]:
    missing = set(left_out)
    return [sentence for index, sentence in enumerate(sentences) if index not in missing]


def hold_out(pairs: Pairs) -> tuple[Pairs, Pairs]:
    """The pairs without their last tenth (at most 1000), and that."""
    if len(pairs) < 2:
        raise UserError(f"{len(pairs)} sentence pair: expected at least 2, one to train on and one to validate on")
    cut = len(pairs) - min(HELD_OUT, max(1, len(pairs) // 10))
    lines = [pairs.line(i) for i in range(len(pairs))]
    return (
        Pairs(pairs.source[:cut], pairs.target[:cut], lines[:cut], pairs.blank),
        Pairs(pairs.source[cut:], pairs.target[cut:], lines[cut:]),
    )


def tokenizer_of(folder: Path, train: Pairs, vocabulary: int) -> Tokenizer:
    """The folder's subwords; made from the pairs where it has none yet."""
    if not (folder / TOKENIZER).exists():
        tokenizer = Tokenizer.train([*train.source, *train.target], vocabulary)
        write(folder / TOKENIZER, tokenizer.to_json().encode())
    return Tokenizer.load(folder / TOKENIZER)
