"""Typed settings: every choice of a model and of its training, once, with its default and its reason.

A mapping read from a file becomes settings through `Settings.from_mapping`, which refuses what it does not know and
names the nearest key it does, so that a misspelt option never passes in silence.
"""

import dataclasses
import difflib
import types
from collections.abc import Iterable, Mapping
from typing import Any, Literal, Self, TypeVar, Union, get_args, get_origin, get_type_hints

from regard.errors import UserError

T = TypeVar("T")

Attention = Literal["none", "additive", "dot", "scaled-dot", "general", "local-m", "local-p"]


@dataclasses.dataclass(frozen=True)
class ModelConfig:
    """A recurrent encoder–decoder. Sizes are numbers of features.

    `attention="none"` is the fixed-vector bottleneck: the same network whose context is the encoder's last state at
    every step. "scaled-dot" divides the dot product by the square root of its features, which "dot" (Luong's) does not.
    `order` says when the decoder looks: "bahdanau" (with the previous state, then update) or "luong"
    (update, then look); None takes bahdanau for additive and none, luong otherwise. `input_feeding` gives the cell the
    previous step's attentional vector; None means: in luong's order. `tied_embeddings` shares one table: "target"
    between the decoder's input and output, "all" with the encoder's input as well. `attend_words` gives a word a short
    way from the source to its translation, as rare words need (after Nguyen & Chiang 2018); without attention, nothing.
    """

    # The comment behind a setting is its text in `regard train --help` and in `--print-config`.
    attention: Attention = "additive"  # how it looks back
    cell: Literal["gru", "lstm"] = "gru"  # the recurrent cell
    order: Literal["bahdanau", "luong"] | None = None  # looks before or after the update; unset: what suits attention
    input_feeding: bool | None = None  # the cell reads the last attentional vector too; unset: in luong's order
    embedding: int = 256  # features of a word vector
    encoder_hidden: int = 256  # encoder features per direction
    decoder_hidden: int = 512  # decoder features
    layers: int = 1  # of the encoder, and of the decoder
    bidirectional: bool = True  # whether the encoder reads both ways
    tied_embeddings: Literal["none", "target", "all"] = "all"  # one table: decoder's input and output, or encoder's too
    dropout: float = 0.3  # share of features dropped in training
    embedding_dropout: float | None = None  # of the words' vectors; unset: the same
    scale_embeddings: bool = True  # words' vectors times √embedding where they are read: learns sooner
    attend_words: bool = False  # attention adds up the source words' own vectors too, beside the encoder's states
    window: int = 5  # D of local attention: source positions to each side of p_t

    def __post_init__(self) -> None:
        _check_choices(self)
        for name in ("embedding", "encoder_hidden", "decoder_hidden", "layers", "window"):
            _check(self, name, getattr(self, name) >= 1, "at least 1")
        _check(self, "dropout", 0 <= self.dropout < 1, "from 0 up to, not including, 1")
        _check(self, "embedding_dropout", 0 <= (self.embedding_dropout or 0) < 1, "from 0 up to, not including, 1")

    def resolved(self) -> Self:
        """The same settings with `order` and `input_feeding` decided."""
        order = self.order or ("bahdanau" if self.attention in ("none", "additive") else "luong")
        feeding = self.input_feeding if self.input_feeding is not None else order == "luong"
        return dataclasses.replace(self, order=order, input_feeding=feeding)


@dataclasses.dataclass(frozen=True)
class TrainConfig:
    """How a model is trained. A step is one update of the weights; a token is one target subword, its end included."""

    epochs: int = 30  # passes over the data, at most
    steps: int | None = None  # updates, at most, whatever the epochs say
    batch_tokens: int = 2048  # source or target tokens a batch holds at most, padding counted
    vocabulary: int = 8000  # subwords, shared by the two languages
    typed: float = 0.0  # share of the pairs learned again as people type: no capitals, no last mark, or neither
    subword_dropout: float = 0.0  # share of merges left out in training: a word is cut in another way each epoch
    max_tokens: int = 100  # a longer side leaves the pair out, counted and named
    accumulate: int = 1  # batches whose gradients make one step, as one batch of all their tokens would
    learning_rate: float = 1e-3  # Adam's, at its peak
    warmup: int = 400  # steps to the peak, linear
    schedule: Literal["cosine", "linear", "inverse-sqrt", "constant", "plateau"] = "cosine"  # rate after the warm-up
    final_rate: float = 0.05  # cosine and linear: the share of the peak that is left at the last step
    clip: float = 1.0  # the gradient's norm, at most
    label_smoothing: float = 0.1  # share of the target's probability that goes to all words alike
    weight_decay: float = 0.0  # Adam's, decoupled
    validate_every: int | None = None  # steps; unset: once an epoch
    metric: Literal["bleu", "loss"] = "bleu"  # which validation is the best: greedy BLEU, or loss per token
    patience: int = 8  # validations in a row without a better one before stopping
    average: int = 5  # the last validations whose weights' mean becomes the model, if it is no worse; 1: none
    checkpoint_every: int = 500  # steps; a run that is killed loses no more than so many
    precision: Literal["auto", "float32", "bfloat16"] = "auto"  # auto: bfloat16 where the processor multiplies it
    seed: int = 1  # same seed, same data: same model

    def __post_init__(self) -> None:
        _check_choices(self)
        for name in ("epochs", "batch_tokens", "max_tokens", "accumulate", "patience", "average", "checkpoint_every"):
            _check(self, name, getattr(self, name) >= 1, "at least 1")
        for name in ("steps", "validate_every"):
            _check(self, name, getattr(self, name) is None or getattr(self, name) >= 1, "at least 1, or nothing")
        _check(self, "vocabulary", self.vocabulary >= 16, "at least 16")
        _check(self, "learning_rate", self.learning_rate > 0, "above 0")
        _check(self, "clip", self.clip > 0, "above 0")
        _check(self, "warmup", self.warmup >= 0, "0 or more")
        _check(self, "weight_decay", self.weight_decay >= 0, "0 or more")
        _check(self, "final_rate", 0 <= self.final_rate <= 1, "from 0 to 1")
        _check(self, "typed", 0 <= self.typed <= 1, "from 0 to 1")
        _check(self, "subword_dropout", 0 <= self.subword_dropout < 1, "from 0 up to, not including, 1")
        _check(self, "label_smoothing", 0 <= self.label_smoothing < 1, "from 0 up to, not including, 1")


@dataclasses.dataclass(frozen=True)
class Settings:
    """Everything that, with the data, decides what a training run makes."""

    model: ModelConfig = dataclasses.field(default_factory=ModelConfig)
    train: TrainConfig = dataclasses.field(default_factory=TrainConfig)

    @classmethod
    def from_mapping(cls, mapping: Mapping[str, Any]) -> Self:
        """Read `{"model": {...}, "train": {...}}`; unknown keys and wrong kinds of value raise UserError."""
        _known(mapping, ("model", "train"), "settings")
        return cls(
            model=read_section(ModelConfig, mapping.get("model") or {}, "model"),
            train=read_section(TrainConfig, mapping.get("train") or {}, "train"),
        )

    def to_mapping(self) -> dict[str, Any]:
        """The inverse of `from_mapping`."""
        return dataclasses.asdict(self)

    def difference(self, before: Mapping[str, Any]) -> str | None:
        """The first choice that is another one than in `before`, a mapping with other entries too; None if none is."""
        was = type(self).from_mapping({name: before.get(name) for name in ("model", "train")}).to_mapping()
        for section, values in self.to_mapping().items():
            for name, value in values.items():
                if was[section][name] != value:
                    return f"{section}.{name} was {was[section][name]!r} and is {value!r} now"
        return None


def read_section(kind: type[T], values: Any, where: str) -> T:
    """One settings dataclass from a mapping of its fields."""
    if not isinstance(values, Mapping):
        raise UserError(f"{where}: expected a mapping of settings, got {values!r}")
    hints = get_type_hints(kind)
    _known(values, hints, where)
    return kind(**{name: _cast(value, hints[name], f"{where}.{name}") for name, value in values.items()})


def nearest(word: str, words: Iterable[str]) -> str:
    """' (did you mean X?)' for the closest of the words, or nothing."""
    close = difflib.get_close_matches(word, list(words), n=1, cutoff=0.5)
    return f" (did you mean {close[0]!r}?)" if close else ""


def _known(values: Mapping[str, Any], names: Iterable[str], where: str) -> None:
    names = list(names)
    for key in values:
        if key not in names:
            hint = nearest(str(key), names) or f" (known: {', '.join(names)})"
            raise UserError(f"unknown setting {key!r} in {where}{hint}")


def _cast(value: Any, hint: Any, where: str) -> Any:
    """The value as its field's type wants it: an int may serve as a float, nothing else is converted."""
    options = get_args(hint) if get_origin(hint) in (Union, types.UnionType) else (hint,)
    for option in options:
        if get_origin(option) is Literal and value in get_args(option):
            return value
        if option is float and isinstance(value, int | float) and not isinstance(value, bool):
            return float(value)
        if isinstance(option, type) and type(value) is option:
            return value
    wanted = " or ".join(_describe(option) for option in options)
    hint_text = nearest(str(value), [c for o in options if get_origin(o) is Literal for c in get_args(o)])
    raise UserError(f"{where}: expected {wanted}, got {value!r}{hint_text}")


def _describe(option: Any) -> str:
    if get_origin(option) is Literal:
        return "one of " + ", ".join(get_args(option))
    return (
        "nothing"
        if option is type(None)
        else {"int": "a whole number", "float": "a number"}.get(option.__name__, option.__name__)
    )


def _check_choices(config: Any) -> None:
    for name, hint in get_type_hints(type(config)).items():
        _cast(getattr(config, name), hint, name)


def _check(config: Any, name: str, good: bool, wanted: str) -> None:
    if not good:
        raise UserError(f"{name}: expected {wanted}, got {getattr(config, name)!r}")
