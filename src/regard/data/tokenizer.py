"""Subwords: a byte-pair encoding learnt from both languages at once, by the `tokenizers` library.

Text is cut into words first: at spaces, around punctuation and after an elided letter (`J'adore` is `J'` + `adore`), so
that a subword never spans two of them. The mark `▁` stands for a space, which makes decoding a plain concatenation.
"""

import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Self

from tokenizers import Regex, decoders, models, normalizers, pre_tokenizers, trainers
from tokenizers import Tokenizer as Engine

from regard.errors import UserError

PAD, BOS, EOS, UNK = 0, 1, 2, 3
SPECIAL = ["<pad>", "<s>", "</s>", "<unk>"]
SPACE = "▁"
UNKNOWN = "⁇"  # how a subword that is not in the vocabulary is shown

WORD = Regex(
    rf"{SPACE}?[\p{{L}}\p{{M}}]*&\p{{L}}+;"  # a character by its name, as Moses writes it: &quot; and l&apos;
    rf"|{SPACE}?[\p{{L}}\p{{M}}]+['’](?=\p{{L}})"  # an elision before a letter: J' l' qu'
    rf"|{SPACE}?[\p{{L}}\p{{M}}]+|{SPACE}?\p{{N}}+|{SPACE}?[^{SPACE}\p{{L}}\p{{M}}\p{{N}}]|{SPACE}"
)


Words = list[tuple[str, list[int]]]
"""Words in their order, each with the places of its subwords."""


class Tokenizer:
    """Turns sentences into subword numbers and back; `PAD`, `BOS`, `EOS` and `UNK` are never made from text."""

    def __init__(self, engine: Engine):
        self._engine = engine
        self._engine.encode_special_tokens = True  # the text "</s>" is text
        self._words = pre_tokenizers.Split(WORD, behavior="isolated")
        self._pieces = {PAD: "", BOS: "", EOS: "", UNK: UNKNOWN}  # and those that were asked for

    @classmethod
    def train(cls, sentences: Iterable[str], vocabulary: int) -> Self:
        """Learn at most `vocabulary` subwords, the four special ones included, from sentences of both languages."""
        engine = Engine(models.BPE(unk_token=SPECIAL[UNK]))
        engine.normalizer = normalizers.Sequence(
            [normalizers.NFC(), normalizers.Replace(Regex(r"[ \t\r\n]+"), " "), normalizers.Strip()]
        )
        engine.pre_tokenizer = pre_tokenizers.Sequence(
            [
                pre_tokenizers.Metaspace(replacement=SPACE, prepend_scheme="always", split=True),
                pre_tokenizers.Split(WORD, behavior="isolated"),
            ]
        )
        engine.decoder = decoders.Metaspace(replacement=SPACE, prepend_scheme="always")
        trainer = trainers.BpeTrainer(vocab_size=vocabulary, special_tokens=SPECIAL, show_progress=False)
        engine.train_from_iterator(sentences, trainer)
        return cls(engine)

    @classmethod
    def load(cls, path: Path) -> Self:
        """Read what `save` wrote; UserError for anything else."""
        try:
            engine = Engine.from_file(str(path))
        except Exception as error:  # the library raises bare Exception
            raise UserError(f"{path}: not a tokenizer file ({error})") from None
        if [engine.id_to_token(i) for i in range(len(SPECIAL))] != SPECIAL:
            raise UserError(f"{path}: not a tokenizer of regard (its first entries are not {', '.join(SPECIAL)})")
        return cls(engine)

    def to_json(self) -> str:
        """The file's content, as `load` reads it."""
        return self._engine.to_str(pretty=False)

    def __len__(self) -> int:
        return self._engine.get_vocab_size()

    def encode(self, sentences: Sequence[str]) -> list[list[int]]:
        """Subword numbers of each sentence, without begin or end marks."""
        return [encoding.ids for encoding in self._engine.encode_batch(list(sentences))]

    def read(self, sentence: str) -> tuple[list[int], Words]:
        """A sentence's subword numbers, and its words as they stand in it, unknown characters included."""
        encoding = self._engine.encode(sentence)
        spans: dict[int, tuple[int, int]] = {}
        places: dict[int, list[int]] = {}
        for place, (word, (start, end)) in enumerate(zip(encoding.word_ids, encoding.offsets, strict=True)):
            assert word is not None  # only special marks belong to no word, and text makes none
            begun, _ = spans.setdefault(word, (start, end))
            spans[word] = (begun, end)
            places.setdefault(word, []).append(place)
        return encoding.ids, [(sentence[slice(*spans[word])].strip(), places[word]) for word in spans]

    def spans(self, sentence: str) -> tuple[list[int], list[tuple[int, int]]]:
        """A sentence's subword numbers, and where in it each begins and ends; the blank before it may be counted in."""
        encoding = self._engine.encode(sentence)
        return encoding.ids, encoding.offsets

    def stretches(self, sentence: str) -> list[str]:
        """What a sentence is cut into first, `▁` for a space: no subword spans two of them."""
        normal = self._engine.normalizer.normalize_str(sentence)
        return [text for text, _ in self._engine.pre_tokenizer.pre_tokenize_str(normal)]

    def merges(self) -> list[tuple[str, str]]:
        """The pairs that make subwords, in the order learned."""
        pairs = json.loads(self._engine.to_str())["model"]["merges"]
        return [(left, right) for left, right in pairs]

    def numbers(self) -> dict[str, int]:
        """Every subword's number."""
        return self._engine.get_vocab()

    def decode(self, ids: Sequence[int]) -> str:
        """The sentence that the subwords spell; begin, end and padding say nothing."""
        return "".join(self.pieces(ids)).replace(SPACE, " ").strip()

    def pieces(self, ids: Sequence[int]) -> list[str]:
        """Each subword as it is written, `▁` for a space before it."""
        return [self._piece(i) for i in ids]

    def words(self, ids: Sequence[int]) -> Words:
        """The words that the subwords spell, each with the places of its subwords in `ids`."""
        pieces = self.pieces(ids)
        if not any(pieces):
            return []
        spans = self._words.pre_tokenize_str("".join(pieces))
        words: Words = [(text.lstrip(SPACE), []) for text, _ in spans]
        starts = _running(len(text) for text, _ in spans)
        word = 0
        for place, start in enumerate(_running(map(len, pieces))):
            while word + 1 < len(words) and start >= starts[word + 1]:
                word += 1
            words[word][1].append(place)
        return [(text, places) for text, places in words if text and places]

    def _piece(self, i: int) -> str:
        found = self._pieces.get(i)
        if found is None:
            found = self._pieces[i] = str(self._engine.id_to_token(i))
        return found


def _running(lengths: Iterable[int]) -> list[int]:
    starts, total = [], 0
    for length in lengths:
        starts.append(total)
        total += length
    return starts
