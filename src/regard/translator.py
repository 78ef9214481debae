"""The façade: load a model folder, translate sentences, show where the model looked.

translation = load("en-fr").translate(["I love deep learning"])[0]
print(translation.text); translation.show()
"""

import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np
import torch

from regard.config import ModelConfig, read_section
from regard.data.batches import pad
from regard.data.tokenizer import Tokenizer, Words
from regard.decoding.beam import beam_search
from regard.decoding.greedy import greedy
from regard.decoding.protocol import Hypothesis
from regard.errors import UserError
from regard.folder import TOKENIZER, WEIGHTS, read_config, read_weights
from regard.models.seq2seq import Seq2Seq
from regard.observe.words import merge_pieces


@dataclass(frozen=True)
class Translation:
    """A sentence, its translation, and where each of its words was read.

    `score` is log p of the whole output, its end included, in nats. `attention` is (target words, source words), each
    row one α_t that sums to 1: a source word's subwords are added up, a target word's are averaged. It is None for a
    model without attention, or where it was not asked for.
    """

    source: str
    text: str
    source_words: tuple[str, ...]
    target_words: tuple[str, ...]
    tokens: tuple[str, ...]
    score: float
    attention: np.ndarray | None

    def show(self) -> None:
        """Draw the attention matrix in the terminal; UserError if there is none."""
        from rich.console import Console

        from regard.observe.terminal import matrix

        Console(highlight=False).print(matrix(self._weights(), self.source_words, self.target_words))

    def save(self, path: str | Path) -> None:
        """Save the attention matrix as PNG or SVG, as the path ends; UserError if there is none."""
        from regard.observe.figure import alignment, save

        save(alignment(self._weights(), self.source_words, self.target_words), Path(path))

    def _weights(self) -> np.ndarray:
        if self.attention is None:
            raise UserError("no attention to show: the model has none, or translate() was told attention=False")
        return self.attention


class Translator:
    """A trained model with its tokenizer. Calls may come from several threads."""

    def __init__(self, model: Seq2Seq, tokenizer: Tokenizer):
        self.model, self.tokenizer = model.eval(), tokenizer

    @classmethod
    def load(cls, folder: str | Path) -> Self:
        """Read a model folder; UserError for a missing, damaged or foreign one."""
        folder = Path(folder)
        config = read_config(folder)
        tokenizer = Tokenizer.load(folder / TOKENIZER)
        settings = read_section(ModelConfig, config.get("model", {}), f"{folder}: model")
        weights = read_weights(folder)
        with torch.device("meta"):  # sizes alone: every weight comes from the file
            model = Seq2Seq(settings, len(tokenizer))
        try:
            model.load_state_dict(weights, assign=True)
        except RuntimeError as error:
            reason = " ".join(str(error).split())
            raise UserError(f"{folder / WEIGHTS}: does not fit its config.json ({reason[:200]})") from None
        return cls(model, tokenizer)

    def to(self, target: torch.dtype | torch.device | str) -> Self:
        """Compute in another dtype (torch.float64 for exactness) or on another device."""
        self.model.to(target)
        return self

    def translate(
        self,
        sentences: Sequence[str],
        *,
        beam: int = 5,
        length_penalty: float = 1.0,
        batch_tokens: int = 2048,
        attention: bool = True,
        progress: bool = False,
    ) -> list[Translation]:
        """Translate sentences, in their order; each comes out the same alone, in any batch and in any order.

        `beam` is the number of hypotheses, 1 is greedy. Finished hypotheses are ranked by log p / words^length_penalty.
        `batch_tokens` bounds source tokens × hypotheses decoded at once. A blank sentence gives an empty translation.
        Raises UserError for a string in place of a list, and for a beam below 1.
        """
        if isinstance(sentences, str):
            raise UserError("translate: expected a list of sentences, got one string; write [sentence]")
        if beam < 1:
            raise UserError(f"beam: expected at least 1, got {beam}")
        read = [self.tokenizer.read(sentence) for sentence in sentences]
        sources = [ids for ids, _ in read]
        found: list[Translation | None] = [
            None if ids else self._blank(text) for text, ids in zip(sentences, sources, strict=True)
        ]
        todo = [i for i, translation in enumerate(found) if translation is None]
        with _Progress(len(todo), progress) as bar:
            for chunk in _by_length(todo, sources, max(1, batch_tokens // beam)):
                hypotheses = self._decode([sources[i] for i in chunk], beam, length_penalty, attention)
                for i, hypothesis in zip(chunk, hypotheses, strict=True):
                    found[i] = self._translation(sentences[i], read[i][1], hypothesis)
                bar.advance(len(chunk))
        return [translation for translation in found if translation is not None]

    def _decode(self, sources: list[list[int]], beam: int, length_penalty: float, attention: bool) -> list[Hypothesis]:
        device = next(self.model.parameters()).device
        source, lengths = pad(sources).to(device), torch.tensor([len(ids) for ids in sources], device=device)
        if beam == 1:
            return greedy(self.model, source, lengths, attention=attention)
        found = beam_search(self.model, source, lengths, beams=beam, length_penalty=length_penalty, attention=attention)
        return [hypotheses[0] for hypotheses in found]

    def _translation(self, text: str, read: Words, hypothesis: Hypothesis) -> Translation:
        written = self.tokenizer.words(hypothesis.tokens)
        attention = None
        if hypothesis.weights is not None:
            weights = hypothesis.weights.double().cpu().numpy()
            attention = merge_pieces(weights, _places(written), _places(read))
        return Translation(
            source=text,
            text=self.tokenizer.decode(hypothesis.tokens),
            source_words=tuple(word for word, _ in read),
            target_words=tuple(word for word, _ in written),
            tokens=tuple(self.tokenizer.pieces(hypothesis.tokens)),
            score=hypothesis.log_prob,
            attention=attention,
        )

    def _blank(self, text: str) -> Translation:
        return Translation(text, "", (), (), (), 0.0, np.zeros((0, 0)))


def load(folder: str | Path) -> Translator:
    """Load the translator that `regard train` made in a folder; UserError for a missing, damaged or foreign one."""
    return Translator.load(folder)


def _places(words: Words) -> list[list[int]]:
    return [places for _, places in words]


def _by_length(indices: list[int], sources: list[list[int]], tokens: int) -> Iterator[list[int]]:
    """Sentences of like length together, the longest first, so that memory is at its most at once or never."""
    order = sorted(indices, key=lambda i: -len(sources[i]))
    while order:
        size = max(1, tokens // len(sources[order[0]]))
        yield order[:size]
        order = order[size:]


class _Progress:
    """Sentences done and time left on stderr: a bar where it can redraw, elsewhere a line every `EVERY` seconds."""

    EVERY = 10.0

    def __init__(self, total: int, wanted: bool):
        self._total, self._done, self._wanted, self._bar = total, 0, wanted and total > 1, None
        self._began = self._said = time.monotonic()
        if self._wanted and sys.stderr.isatty():
            from rich.console import Console
            from rich.progress import Progress

            self._bar = Progress(console=Console(stderr=True), transient=True)
            self._task = self._bar.add_task("translating", total=total)

    def __enter__(self) -> Self:
        if self._bar is not None:
            self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._bar is not None:
            self._bar.stop()

    def advance(self, sentences: int) -> None:
        self._done += sentences
        now = time.monotonic()
        if self._bar is not None:
            self._bar.advance(self._task, sentences)
        elif self._wanted and now - self._said >= self.EVERY:
            self._said = now
            left = (now - self._began) / self._done * (self._total - self._done)
            print(f"translating: {self._done}/{self._total} sentences, {left:.0f} s left", file=sys.stderr)
