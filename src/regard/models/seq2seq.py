"""The recurrent encoder–decoder, with or without attention: embeddings, encoder, decoder, output.

Without attention the decoder's context is one vector for the whole sentence; nothing else differs.
"""

from typing import NamedTuple, Self

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from regard.config import ModelConfig
from regard.data.tokenizer import PAD
from regard.machine.packed import linear
from regard.models.context import Memory
from regard.models.decoder import Decoder, State
from regard.models.dropout import Dropout
from regard.models.encoder import Encoder
from regard.models.step import Next


class Source(NamedTuple):
    """Sentences, encoded once: what attention prepared of them, and the encoder's last states for the first step."""

    memory: Memory
    last: tuple[Float[Tensor, "layers batch memory"], ...]

    def select(self, rows: Int[Tensor, " rows"]) -> Self:
        """Some of the sentences."""
        return type(self)(self.memory.select(rows), tuple(part[:, rows] for part in self.last))


class Seq2Seq(nn.Module):
    """p(y | x) = Π_t softmax(E o_t + b)[y_t], with o_t from the decoder (`decoder.py`) and E the output's embeddings.

    `vocabulary` is the number of subwords, which the two languages share.
    Sources: Cho 2014 and Sutskever 2014 (without attention), Bahdanau 2014, Luong 2015.
    """

    def __init__(self, config: ModelConfig, vocabulary: int):
        super().__init__()
        self.config, self.vocabulary = config, vocabulary
        self.encoder = Encoder(config)
        self.decoder = Decoder(config, self.encoder.size)
        tables = {"none": ("source", "target", "output"), "target": ("source", "target"), "all": ("shared",)}
        width = {"output": self.decoder.width}
        self.tables = nn.ModuleDict(
            {name: _table(vocabulary, width.get(name, config.embedding)) for name in tables[config.tied_embeddings]}
        )
        self.output_bias = nn.Parameter(torch.zeros(vocabulary))
        self.dropout = Dropout(config.dropout)
        of_words = config.embedding_dropout
        self.embedding_dropout = Dropout(config.dropout if of_words is None else of_words)
        self.scale = config.embedding**0.5 if config.scale_embeddings else 1.0

    def embed(self, words: Int[Tensor, "*batch"], *roles: str) -> Float[Tensor, "*batch embedding"]:
        """The words' vectors from the first of these tables that the model has; padding is 0."""
        return self.embedding_dropout(self._table(*roles)(words) * self.scale)

    def encode(self, source: Int[Tensor, "batch source"], lengths: Int[Tensor, " batch"]) -> Source:
        """Encode sentences and prepare them for attention, once."""
        words = self.embed(source, "source", "shared")
        encoded = self.encoder(words, lengths)
        encoded = encoded._replace(memory=self.dropout(encoded.memory))
        return Source(self.decoder.context.prepare(encoded, words, lengths), encoded.last)

    def forward(
        self,
        source: Int[Tensor, "batch source"],
        lengths: Int[Tensor, " batch"],
        target_in: Int[Tensor, "batch target"],
    ) -> Float[Tensor, "batch target readout"]:
        """Teacher forcing: the attentional vector o_t of every step; `logits` turns it into scores of words."""
        memory, last = self.encode(source, lengths)
        return self.decoder.unroll(self.embed(target_in, "target", "shared"), last, memory)

    def logits(self, readout: Float[Tensor, "*batch readout"]) -> Float[Tensor, "*batch vocabulary"]:
        """E o_t + b."""
        return linear(readout, self.output_words(), self.output_bias)

    def output_words(self) -> Float[Tensor, "vocabulary readout"]:
        """E: the words' vectors on the output's side."""
        return self._table("output", "target", "shared").weight

    def start(self, source: Source, beams: int) -> State:
        """The state before the first word, for so many hypotheses a sentence."""
        return self.decoder.start(source.last, beams)

    def step(self, tokens: Int[Tensor, "batch beam"], state: State, source: Source, *, weights: bool) -> Next:
        """One word further; a model without attention gives no weights."""
        embedded = self.embed(tokens, "target", "shared")
        state, readout, alpha = self.decoder.step(embedded, state, source.memory, weights=weights)
        return Next(self.logits(readout), state, alpha)

    def _table(self, *roles: str) -> nn.Embedding:
        return next(self.tables[role] for role in roles if role in self.tables)  # type: ignore[return-value]


def _table(vocabulary: int, width: int) -> nn.Embedding:
    table = nn.Embedding(vocabulary, width, padding_idx=PAD)
    nn.init.normal_(table.weight, std=width**-0.5)
    with torch.no_grad():
        table.weight[PAD].zero_()
    return table
