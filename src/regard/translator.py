"""The façade: load a model folder, translate sentences, show where the model looked.

translation = load("en-fr").translate(["I love deep learning"])[0]
print(translation.text); translation.show()
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator, Sequence
from contextlib import nullcontext
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import torch
from torch.overrides import TorchFunctionMode

from regard.config import ModelConfig, read_section
from regard.data.batches import pad
from regard.data.tokenizer import UNK, Tokenizer, Words
from regard.decoding.beam import beam_search
from regard.decoding.ensemble import Ensemble
from regard.decoding.greedy import greedy
from regard.decoding.options import Decoding
from regard.decoding.protocol import Hypothesis
from regard.decoding.sampling import sample
from regard.decoding.unknown import replace_unknown
from regard.errors import UserError
from regard.folder import TOKENIZER, WEIGHTS, read_config, read_weights
from regard.machine.packed import weights_stay
from regard.machine.progress import Progress
from regard.machine.workers import Workers
from regard.models.seq2seq import Seq2Seq
from regard.observe.words import merge_pieces
from regard.shipped import find

if TYPE_CHECKING:
    from regard.observe.seen import Seen

AT_ONCE = 2_000  # lines read before they are translated, so that a long file needs little memory
A_WORKER = 500  # lines a process gets at a time: enough to sort by length, few enough that all end together


@dataclasses.dataclass(frozen=True)
class Translation:
    """A sentence, its translation, and where each of its words was read.

    `score` is log p of the whole output, its end included, in nats; `rank` is what outputs are ordered by, the score
    with the penalties of `Decoding`. `attention` is (target words, source words), each row one α_t that sums to 1: a
    source word's subwords are added up, a target word's are averaged. It is None for a model without attention, or
    where it was not asked for.
    """

    source: str
    text: str
    source_words: tuple[str, ...]
    target_words: tuple[str, ...]
    tokens: tuple[str, ...]
    score: float
    attention: np.ndarray | None
    rank: float = 0.0

    def show(self) -> None:
        """Draw the attention matrix in the terminal; UserError if there is none."""
        from rich.console import Console

        from regard.observe.terminal import matrix

        Console(highlight=False).print(matrix(self._weights(), self.source_words, self.target_words))

    def save(self, path: str | Path) -> None:
        """Save the attention matrix as the path ends: PNG or SVG, or an HTML page; UserError if there is none."""
        path = Path(path)
        if path.suffix.lower() in (".html", ".htm"):
            self.seen().save(path, title=self.text, rows="the word that was written")
            return
        from regard.observe.figure import alignment, save

        save(alignment(self._weights(), self.source_words, self.target_words), path)

    def seen(self) -> Seen:
        """The attention matrix as a watch would have seen it, by words; UserError if there is none."""
        from regard.observe.record import Observed
        from regard.observe.seen import Look, Seen

        weights = torch.from_numpy(self._weights())[None, None]
        unknown = weights.new_full(weights.shape[:3], torch.nan)  # the scores are gone
        entropy = torch.special.entr(weights).sum(-1)
        size = (1, 1, len(self.target_words), len(self.source_words))
        observed = Observed(size, unknown, entropy=entropy, mass=weights.sum(2), weights=weights)
        return Seen([Look("attention", 0, observed, cross=True)], {}, [*self.target_words], [*self.source_words])

    def _weights(self) -> np.ndarray:
        if self.attention is None:
            raise UserError("no attention to show: the model has none, or translate() was told attention=False")
        return self.attention


class Translator:
    """A trained model, or several as one, with the tokenizer. Calls may come from several threads."""

    def __init__(self, model: Seq2Seq | Ensemble, tokenizer: Tokenizer, folders: Sequence[Path] = ()):
        self.model, self.tokenizer, self.folders = model.eval(), tokenizer, tuple(folders)
        self._half_products = False

    @classmethod
    def load(cls, folder: str | Path) -> Self:
        """Read a model folder; UserError for a missing, damaged or foreign one. Weights become float32."""
        folder = find(folder)
        config = read_config(folder)
        tokenizer = Tokenizer.load(folder / TOKENIZER)
        settings = read_section(ModelConfig, config.get("model", {}), f"{folder}: model")
        weights = {name: tensor.float() for name, tensor in read_weights(folder).items()}
        with torch.device("meta"), _Unfilled():  # sizes alone: every weight comes from the file
            model = Seq2Seq(settings, len(tokenizer))
        try:
            model.load_state_dict(weights, assign=True)
        except RuntimeError as error:
            reason = " ".join(str(error).split())
            raise UserError(f"{folder / WEIGHTS}: does not fit its config.json ({reason[:200]})") from None
        return cls(model, tokenizer, [folder])

    @classmethod
    def ensemble(cls, parts: Sequence[Translator]) -> Self:
        """Several translators as one, their probabilities averaged; UserError unless their subwords are the same."""
        if not parts:
            raise UserError("ensemble: expected at least one model, got none")
        for part in parts[1:]:
            if part.tokenizer.to_json() != parts[0].tokenizer.to_json():
                names = [str(one.folders[0]) if one.folders else "a model" for one in (parts[0], part)]
                raise UserError(
                    f"ensemble: {names[0]} and {names[1]} have different subwords; train the second with the first's"
                )
        folders = [folder for part in parts for folder in part.folders]
        return cls(Ensemble([part.model for part in parts]), parts[0].tokenizer, folders)

    def to(self, target: torch.dtype | torch.device | str) -> Self:
        """Compute in another dtype or on another device.

        torch.float64 is for exactness. torch.bfloat16 is for speed on a processor that multiplies it: weights stay
        float32, matrix products are bfloat16; a translation may then depend on the batch it stands in.
        """
        if isinstance(target, torch.dtype):
            self._half_products = target == torch.bfloat16
        self.model.to(torch.float32 if target == torch.bfloat16 else target)
        return self

    def translate(
        self,
        sentences: Sequence[str],
        *,
        beam: int | None = None,
        decoding: Decoding = Decoding(),  # noqa: B008 (it is frozen)
        prefix: str | Sequence[str] = "",
        attention: bool = True,
        batch_tokens: int = 16384,
        progress: bool = False,
    ) -> list[Translation]:
        """The best translation of each sentence, in their order; each is the same alone, in any batch, in any order.

        `decoding` says how they are looked for and ranked; `beam` is short for `Decoding(beam=...)`, 1 is greedy.
        `prefix` is what the translations begin with: one text for all, or one a sentence. `attention` asks where the
        words were read. `batch_tokens` bounds source tokens × hypotheses decoded at once. A blank sentence gives an
        empty translation.
        Raises UserError for a string in place of a list, for options that are not valid, or that the model cannot do.
        """
        found = self.n_best(
            sentences, 1, beam=beam, decoding=decoding, prefix=prefix, attention=attention, batch_tokens=batch_tokens,
            progress=progress,
        )  # fmt: skip
        return [best for best, *_ in found]

    def n_best(
        self,
        sentences: Sequence[str],
        n: int,
        *,
        beam: int | None = None,
        decoding: Decoding = Decoding(),  # noqa: B008
        prefix: str | Sequence[str] = "",
        attention: bool = True,
        batch_tokens: int = 16384,
        progress: bool = False,
    ) -> list[list[Translation]]:
        """The `n` best translations of each sentence, best first; with `Decoding(sample=True)`, `n` samples of each.

        A search finds as many as its beam is wide at most, and fewer where fewer outputs are possible. Samples may be
        alike. The other arguments are those of `translate`. A blank sentence has one translation, which is empty.
        """
        decoding = decoding if beam is None else dataclasses.replace(decoding, beam=beam)
        _check_number(n, decoding)
        self._check_attention(decoding)
        if isinstance(sentences, str):
            raise UserError("translate: expected a list of sentences, got one string; write [sentence]")
        prefixes = self._prefixes(prefix, len(sentences))
        read = [self.tokenizer.read(sentence) for sentence in sentences]
        sources = [ids for ids, _ in read]
        found = [[] if ids else [self._blank(text)] for text, ids in zip(sentences, sources, strict=True)]
        todo = [i for i, translations in enumerate(found) if not translations]
        width = n if decoding.sample else decoding.beam
        with Progress(len(todo), progress) as bar, weights_stay():
            for chunk in _by_length(todo, sources, max(1, batch_tokens // width)):
                batch = self._decode([sources[i] for i in chunk], [prefixes[i] for i in chunk], n, decoding, attention)
                for i, hypotheses in zip(chunk, batch, strict=True):
                    found[i] = [
                        self._translation(sentences[i], read[i][1], hypothesis, decoding, attention)
                        for hypothesis in hypotheses[:n]
                    ]
                bar.advance(len(chunk))
        return found

    def stream(
        self,
        lines: Iterable[str],
        n: int = 1,
        *,
        decoding: Decoding = Decoding(),  # noqa: B008
        prefix: str = "",
        attention: bool = False,
        workers: int = 1,
        at_once: int | None = None,
        progress: bool = False,
    ) -> Iterator[list[Translation]]:
        """The `n` best translations of line after line, in their order, however long the file: memory stays bounded.

        `workers` processes share the work and the threads; each loads the model for itself. `at_once` lines are read
        before the first answer (default: 2,000, or 500 a worker). The other arguments are those of `n_best`.
        Raises UserError as `n_best` does, and if a worker dies; leaving the iteration ends the workers.
        """
        if workers < 1:
            raise UserError(f"workers: expected 1 or more, got {workers}")
        if workers > 1 and not self.folders:
            raise UserError("workers: each loads the model for itself, so it must come from a folder; use load(folder)")
        asked = {"decoding": decoding, "prefix": prefix, "attention": attention}
        self.n_best([], n, **asked)  # type: ignore[arg-type]  # what is wrong is said now, not at the first answer
        chunks = _chunks(iter(lines), at_once or (AT_ONCE if workers == 1 else A_WORKER))
        if workers == 1:
            return (best for chunk in chunks for best in self.n_best(chunk, n, progress=progress, **asked))  # type: ignore[arg-type]
        return self._shared_out(chunks, asked | {"n": n}, workers)

    def _shared_out(
        self, chunks: Iterator[list[str]], asked: dict[str, Any], workers: int
    ) -> Iterator[list[Translation]]:
        dtype = torch.bfloat16 if self._half_products else next(self.model.parameters()).dtype
        with Workers(workers, _load_again, (self.folders, dtype)) as pool:
            for answer in pool.map(Translator.n_best, chunks, asked):
                yield from answer

    def _decode(
        self,
        sources: list[list[int]],
        prefixes: list[list[int]],
        n: int,
        decoding: Decoding,
        attention: bool,
    ) -> list[list[Hypothesis]]:
        device = next(self.model.parameters()).device
        source, lengths = pad(sources).to(device), torch.tensor([len(ids) for ids in sources], device=device)
        looking = attention or decoding.replace_unknown
        forced = prefixes if any(prefixes) else None
        with torch.autocast(device.type, torch.bfloat16) if self._half_products else nullcontext():
            if decoding.sample:
                return sample(self.model, source, lengths, decoding, copies=n, prefixes=forced, attention=looking)
            if decoding.beam == 1:
                found = greedy(self.model, source, lengths, decoding, prefixes=forced, attention=looking)
                return [[hypothesis] for hypothesis in found]
            return beam_search(self.model, source, lengths, decoding, n_best=n, prefixes=forced, attention=looking)

    def _translation(
        self, sentence: str, read: Words, hypothesis: Hypothesis, decoding: Decoding, attention: bool
    ) -> Translation:
        text, written = self.tokenizer.decode(hypothesis.tokens), self.tokenizer.words(hypothesis.tokens)
        pieces, source_words = self.tokenizer.pieces(hypothesis.tokens), tuple(word for word, _ in read)
        merged = None
        if hypothesis.weights is not None:
            weights = hypothesis.weights.double().cpu().numpy()
            if decoding.replace_unknown and UNK in hypothesis.tokens:
                steps = [[step] for step in range(len(pieces))]
                text, written = replace_unknown(
                    pieces, written, merge_pieces(weights, steps, _places(read)), source_words
                )
            merged = merge_pieces(weights, _places(written), _places(read)) if attention else None
        return Translation(
            source=sentence,
            text=text,
            source_words=source_words,
            target_words=tuple(word for word, _ in written),
            tokens=tuple(pieces),
            score=hypothesis.log_prob,
            attention=merged,
            rank=hypothesis.score,
        )

    def _prefixes(self, prefix: str | Sequence[str], sentences: int) -> list[list[int]]:
        """Each sentence's prefix as subwords; UserError for a character that no subword spells."""
        texts = [prefix] * sentences if isinstance(prefix, str) else list(prefix)
        if len(texts) != sentences:
            raise UserError(f"prefix: expected one text, or one a sentence ({sentences}), got {len(texts)}")
        found = {}
        for text in {prefix} if isinstance(prefix, str) else set(texts):
            (found[text],) = self.tokenizer.encode([text])
            if UNK in found[text]:
                shown = self.tokenizer.decode(found[text])
                raise UserError(f"prefix {text!r}: the model's vocabulary cannot spell it; it reads {shown!r}")
        return [found[text] for text in texts]

    def _check_attention(self, decoding: Decoding) -> None:
        models = [part for part in self.model.modules() if isinstance(part, Seq2Seq)]
        if decoding.needs_attention and all(model.config.attention == "none" for model in models):
            name = "replace_unknown" if decoding.replace_unknown else "coverage_penalty"
            raise UserError(f"{name}: it needs to know where the model looks, and this model has no attention")

    def _blank(self, text: str) -> Translation:
        return Translation(text, "", (), (), (), 0.0, np.zeros((0, 0)))


def load(model: str | Path | Sequence[str | Path]) -> Translator:
    """Load a translator: a folder that `regard train` made, or a model that comes with the package, such as "en-fr".

    A folder that is there goes before a model of the same name. Several are loaded as one, an ensemble.
    Raises UserError for a missing, damaged or foreign model.
    """
    if isinstance(model, str | Path):
        return Translator.load(model)
    parts = [Translator.load(one) for one in model]
    return parts[0] if len(parts) == 1 else Translator.ensemble(parts)


class _Unfilled(TorchFunctionMode):
    """Leaves out drawing normal numbers: on "meta" there are none, but asking imports PyTorch's compiler, a second."""

    def __torch_function__(self, func: Any, types: Any, args: tuple = (), kwargs: dict | None = None) -> Any:
        if func is torch.nn.init.normal_:
            return kwargs["tensor"] if kwargs and "tensor" in kwargs else args[0]
        return func(*args, **kwargs or {})


def _load_again(folders: tuple[Path, ...], dtype: torch.dtype) -> Translator:
    return load(folders).to(dtype)


def _check_number(n: int, decoding: Decoding) -> None:
    if n < 1:
        raise UserError(f"n_best: expected 1 or more, got {n}")
    if n > decoding.beam and not decoding.sample:
        raise UserError(f"n_best: a beam of {decoding.beam} finds at most {decoding.beam} outputs, got {n}; widen it")


def _places(words: Words) -> list[list[int]]:
    return [places for _, places in words]


def _chunks(lines: Iterator[str], size: int) -> Iterator[list[str]]:
    while chunk := list(islice(lines, size)):
        yield chunk


def _by_length(indices: list[int], sources: list[list[int]], tokens: int) -> Iterator[list[int]]:
    """Sentences of like length together, the longest first, so that memory is at its most at once or never."""
    order = sorted(indices, key=lambda i: -len(sources[i]))
    while order:
        size = max(1, tokens // len(sources[order[0]]))
        yield order[:size]
        order = order[size:]
