"""What the decoder reads of the source at each step: an attention's context, or one fixed vector (the bottleneck)."""

from typing import NamedTuple, Self

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from regard.config import ModelConfig
from regard.errors import UserError
from regard.layers.additive import AdditiveAttention
from regard.layers.dot import DotAttention, GeneralAttention
from regard.layers.local import LocalAttention
from regard.layers.source import Memory as Prepared
from regard.layers.source import SourceAttention
from regard.models.encoder import Encoded


class Summary(NamedTuple):
    """A source without attention: the encoder's last state, whatever the sentence's length."""

    vector: Float[Tensor, "batch memory"]

    def select(self, rows: Int[Tensor, " rows"]) -> Self:
        """Some of the sentences."""
        return type(self)(self.vector[rows])


Memory = Prepared | Summary


class FixedContext(nn.Module):
    """c_t = c, the encoder's last state in both directions, at every step: no attention (Cho 2014)."""

    def __init__(self, size: int):
        super().__init__()
        self.size = size

    def prepare(self, encoded: Encoded, words: Tensor, lengths: Int[Tensor, " batch"]) -> Summary:
        """Keep the last state of the topmost layer."""
        return Summary(encoded.last[0][-1])

    def forward(
        self, query: Float[Tensor, "batch beam query"], memory: Summary, position: Tensor, weights: bool
    ) -> tuple[Float[Tensor, "batch beam memory"], None]:
        """The same vector for every query; there are no weights."""
        return memory.vector[:, None].expand(-1, query.shape[1], -1), None


class AttendedContext(nn.Module):
    """c_t = Σ_s α_t(s) h_s by one of the layers; the hypotheses of a sentence are queries on the same keys.

    With `attend_words` c_t = Σ_s α_t(s) [h_s; x_s], x_s the source words' vectors; α is of the states as before.
    """

    def __init__(self, attention: SourceAttention, size: int, attend_words: bool):
        super().__init__()
        self.attention, self.size, self.attend_words = attention, size, attend_words

    def prepare(
        self, encoded: Encoded, words: Float[Tensor, "batch source embedding"], lengths: Int[Tensor, " batch"]
    ) -> Prepared:
        """Keys, and what the weights add up: the states, with the words' vectors beside them if asked for; once."""
        values = torch.cat([encoded.memory, words.to(encoded.memory.dtype)], -1) if self.attend_words else None
        return self.attention.prepare(encoded.memory, lengths, values=values)

    def forward(
        self, query: Float[Tensor, "batch beam query"], memory: Prepared, position: Tensor, weights: bool
    ) -> tuple[Float[Tensor, "batch beam memory"], Float[Tensor, "batch beam source"] | None]:
        """The contexts, and the weights where asked for."""
        if not weights:
            return self.attention(query, memory, position=position), None
        attended = self.attention.attended(query, memory, position=position)
        return attended.context[:, 0], attended.weights[:, 0]


def make_context(config: ModelConfig, memory: int) -> FixedContext | AttendedContext:
    """The part that `config.attention` names, for encoder states of `memory` features."""
    query = config.decoder_hidden
    if config.attention == "none":
        return FixedContext(memory)
    if config.attention in ("dot", "scaled-dot") and query != memory:
        raise UserError(
            f"{config.attention} attention compares states of the same size: decoder_hidden is {query}, the encoder's "
            f"states have {memory} features; make them equal, or take attention: general"
        )
    attention: SourceAttention
    if config.attention == "additive":
        attention = AdditiveAttention(query, memory, hidden=query)
    elif config.attention in ("dot", "scaled-dot"):
        attention = DotAttention(scale=1.0 if config.attention == "dot" else None)
    elif config.attention == "general":
        attention = GeneralAttention(query, memory, scale=query**-0.5)
    else:
        predictive = config.attention == "local-p"
        attention = LocalAttention(query, memory, config.window, predictive=predictive, scale=query**-0.5)
    size = memory + config.embedding if config.attend_words else memory
    return AttendedContext(attention, size, config.attend_words)
