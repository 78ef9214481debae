"""The hierarchical attention network: documents classified by their words, then sentences, and which counted."""

from collections.abc import Sequence

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from regard.equation.precision import no_autocast
from regard.layers.hierarchical import HierarchicalAttention, Summary
from regard.layers.padding import hidden


class HAN(nn.Module):
    """A document's class from its words, by way of its sentences.

        h_it = BiGRU(embedding(w_it)),   s_i = Σ_t α_it h_it,   α_it = softmax_t(u_wᵀ tanh(W_w h_it + b_w))
        h_i  = BiGRU(s_i),               v = Σ_i α_i h_i,       α_i = softmax_i(u_sᵀ tanh(W_s h_i + b_s))
        logits = W_c v + b_c

    Args:
        vocabulary: How many words there are; word 0 is padding.
        classes: How many classes there are.
        embedding: The size of a word's embedding.
        encoder: The size of a GRU's state, in each direction, for words and for sentences.
        attention: The size of u_w and u_s.

    The defaults are Yang's. Source: Yang 2016 (www.aclweb.org/anthology/N16-1174).
    """

    def __init__(self, vocabulary: int, classes: int, *, embedding: int = 200, encoder: int = 50, attention: int = 100):
        super().__init__()
        self.embedding = nn.Embedding(vocabulary, embedding, padding_idx=0)
        self.attention = HierarchicalAttention(
            [2 * encoder, 2 * encoder],
            attention,
            encoders=[BidirectionalGRU(embedding, encoder), BidirectionalGRU(2 * encoder, encoder)],
        )
        self.out = nn.Linear(2 * encoder, classes)

    def forward(
        self,
        documents: Int[Tensor, "batch sentences words"],
        sentences: Int[Tensor, " batch"],
        words: Int[Tensor, "batch sentences"],
    ) -> Float[Tensor, "batch classes"]:
        """The logits of each document's class; `padded` makes the arguments.

        Args:
            documents: Numbers of words, padded.
            sentences: How many sentences each document has.
            words: How many words each sentence has; a sentence without words counts for nothing.

        Raises:
            ValueError: Shapes that do not fit each other.
        """
        return self.out(self.attended(documents, sentences, words).context)

    def attended(
        self,
        documents: Int[Tensor, "batch sentences words"],
        sentences: Int[Tensor, " batch"],
        words: Int[Tensor, "batch sentences"],
    ) -> Summary:
        """The document's vector, and the weights α_i (batch, sentences) and α_it (batch, sentences, words)."""
        if documents.dim() != 3 or documents.is_floating_point():
            raise ValueError(
                f"documents: expected whole numbers (batch, sentences, words), got {documents.dtype} of shape "
                f"{tuple(documents.shape)}"
            )
        return self.attention.attended(self.embedding(documents), [sentences, words])

    def weights(
        self,
        documents: Int[Tensor, "batch sentences words"],
        sentences: Int[Tensor, " batch"],
        words: Int[Tensor, "batch sentences"],
    ) -> tuple[Tensor, ...]:
        """The weights of sentences (batch, sentences) and of words in their sentence (batch, sentences, words)."""
        return self.attended(documents, sentences, words).weights


class BidirectionalGRU(nn.Module):
    """h_t = [GRU→(x)_t ; GRU←(x)_t], each row by itself: padding reaches neither direction.

    Parameters are named as `torch.nn.GRU`'s, whose numbers it gives; but that module cannot be compiled, nor can packed
    sequences be exported. Here each row is turned round within its length, and no step hangs on what a length says.
    """

    def __init__(self, features: int, hidden: int):
        super().__init__()
        for name, tensor in nn.GRU(features, hidden, bidirectional=True).named_parameters():
            self.register_parameter(name, tensor)

    def forward(
        self, x: Float[Tensor, "rows time features"], lengths: Int[Tensor, " rows"]
    ) -> Float[Tensor, "rows time hidden"]:
        """The states of rows of these lengths; 0 beyond them."""
        steps = torch.arange(x.shape[1], device=x.device)
        there = steps < lengths[:, None]
        turned = torch.where(there, lengths[:, None] - 1 - steps, steps)[..., None]
        back = torch.take_along_dim(self._states(torch.take_along_dim(x, turned, 1), "_reverse"), turned, 1)
        return hidden(torch.cat([self._states(x, ""), back], -1), there)

    def _states(self, x: Tensor, direction: str) -> Tensor:
        """Of one direction, from the left to the right."""
        parts = ("weight_ih_l0", "weight_hh_l0", "bias_ih_l0", "bias_hh_l0")
        weights = [getattr(self, part + direction) for part in parts]
        with no_autocast(x.device):
            x = x.to(weights[0].dtype)
            first = x.new_zeros(1, x.shape[0], weights[1].shape[1])
            return torch.gru(x, first, weights, True, 1, 0.0, False, False, True)[0]


def padded(documents: Sequence[Sequence[Sequence[int]]]) -> tuple[Tensor, Tensor, Tensor]:
    """Documents of sentences of word numbers as `HAN` takes them: padded with 0, and how many of each there are."""
    most_sentences = max((len(document) for document in documents), default=0)
    most_words = max((len(sentence) for document in documents for sentence in document), default=0)
    numbers = torch.zeros(len(documents), most_sentences, most_words, dtype=torch.long)
    words = torch.zeros(len(documents), most_sentences, dtype=torch.long)
    for i, document in enumerate(documents):
        for j, sentence in enumerate(document):
            numbers[i, j, : len(sentence)] = torch.tensor(sentence, dtype=torch.long)
            words[i, j] = len(sentence)
    return numbers, torch.tensor([len(document) for document in documents], dtype=torch.long), words
