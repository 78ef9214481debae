"""The end-to-end memory network: a question reads a story of sentences several times, and is answered by one word.

A sentence of the words x_1 … x_J, each a vector of d features, becomes Σ_j l_j ⊙ x_j. With position encoding

    l_kj = (1 − j/J) − (k/d)(1 − 2j/J)        j = 1 … J, k = 1 … d;        without: l = 1, a bag of words

With B, A and C tables of word vectors, T_A and T_C of a sentence's age, hop k = 1 … K is

    u^1 = enc(B, question),   m_i = enc(A^k, x_i) + T_A^k(i),   c_i = enc(C^k, x_i) + T_C^k(i)
    α_i = softmax_i(u^kᵀ m_i),   o = Σ_i α_i c_i
    u^{k+1} = u^k + o       adjacent:     A^{k+1} = C^k, B = A^1, W = C^K
    u^{k+1} = H u^k + o     layer-wise:   A^k = A, C^k = C, and B, W, H apart
    answer = softmax(W u^{K+1})

Source: Sukhbaatar 2015 (arXiv 1503.08895).
"""

from typing import Literal, NamedTuple

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor, nn

from regard.attend import attend_with_weights
from regard.data.tokenizer import PAD
from regard.equation.masks import padding
from regard.equation.normalisers.normaliser import logarithm
from regard.equation.precision import full
from regard.equation.scores import Dot

SPREAD = 0.1  # of the weights at the start: N(0, 0.1²)


class Linear:
    """weights_i = e_i: no softmax, as a memory network starts its training."""

    name = "linear"

    def weights(self, e: Tensor) -> Tensor:
        """The scores, 0 where a key is hidden."""
        return full(e).masked_fill(e == -torch.inf, 0.0)

    def log_prob(self, e: Tensor) -> Tensor:
        """Weights that may be negative are no probabilities; log of those above 0."""
        return logarithm(self.weights(e).clamp(min=0.0))


class Answer(NamedTuple):
    """What the network answers, and what each hop read."""

    logits: Float[Tensor, "batch vocabulary"]
    weights: Float[Tensor, "batch hops sentences"]
    """α of each hop; in the linear start, its scores."""


class MemoryNetwork(nn.Module):
    """Answers a question about a story by a word; see the file's first paragraph for the equations.

        net = MemoryNetwork(vocabulary=40, features=20, hops=3, sentences=10)
        logits = net(story, question, lengths)         # (batch, vocabulary)
        net.answer(story, question, lengths).weights   # where each hop looked

    vocabulary: words of stories, questions and answers alike, `PAD` (0) included, which is no word.
    features: d, of a word's vector and of a memory.
    hops: K, how many times the story is read.
    sentences: the most that a story may have, for the tables of age.
    tying: "adjacent", or "layer-wise", which is a recurrent network over hops.
    positions: whether l encodes a word's place in its sentence.
    linear: the linear start: as long as it is True no softmax stands between hops. Train so at first, and set it to
        False when the validation loss falls no more.
    """

    def __init__(
        self,
        vocabulary: int,
        features: int,
        *,
        hops: int = 3,
        sentences: int = 50,
        tying: Literal["adjacent", "layer-wise"] = "adjacent",
        positions: bool = True,
        linear: bool = False,
    ):
        super().__init__()
        if tying not in ("adjacent", "layer-wise"):
            raise ValueError(f"tying: expected 'adjacent' or 'layer-wise', got {tying!r}")
        for name, value in (("vocabulary", vocabulary), ("features", features), ("hops", hops)):
            if value < 1:
                raise ValueError(f"{name}: expected 1 or more, got {value}")
        self.hops, self.sentences, self.positions, self.linear = hops, sentences, positions, linear
        self.adjacent = tying == "adjacent"
        memories = hops + 1 if self.adjacent else 2  # A^1, C^1 = A^2, C^2 = A^3, ...; or A, C
        self.words = nn.ModuleList(nn.Embedding(vocabulary, features, padding_idx=PAD) for _ in range(memories))
        self.ages = nn.ModuleList(nn.Embedding(sentences, features) for _ in range(memories))
        if not self.adjacent:
            self.question = nn.Embedding(vocabulary, features, padding_idx=PAD)
            self.between = nn.Linear(features, features, bias=False)
            self.output = nn.Linear(features, vocabulary, bias=False)
        for weight in self.parameters():
            nn.init.normal_(weight, std=SPREAD)
        with torch.no_grad():
            for table in self.modules():
                if isinstance(table, nn.Embedding) and table.padding_idx is not None:
                    table.weight[PAD].zero_()

    def forward(
        self,
        story: Int[Tensor, "batch sentences words"],
        question: Int[Tensor, "batch question"],
        lengths: Int[Tensor, " batch"] | None = None,
    ) -> Float[Tensor, "batch vocabulary"]:
        """The answer's logits. `lengths` says how many sentences each story has; default: all.

        The last sentence is the newest. Sentences and questions are filled up with `PAD`. Raises ValueError for a story
        of more sentences than there is room for: cut it to its last ones.
        """
        return self.answer(story, question, lengths).logits

    def answer(
        self,
        story: Int[Tensor, "batch sentences words"],
        question: Int[Tensor, "batch question"],
        lengths: Int[Tensor, " batch"] | None = None,
    ) -> Answer:
        """The answer's logits with the weights of each hop, differentiable; arguments as for calling the network."""
        lengths = self._checked(story, question, lengths)
        age = (lengths[:, None] - 1 - torch.arange(story.shape[1], device=story.device)).clamp(min=0)  # 0: the newest
        memories = [
            encode(words, story, self.positions) + at(age) for words, at in zip(self.words, self.ages, strict=True)
        ]
        asked = self.words[0] if self.adjacent else self.question
        u = encode(asked, question, self.positions)
        normalise = Linear() if self.linear else "softmax"
        looks = []
        for hop in range(self.hops):
            m, c = memories[hop : hop + 2] if self.adjacent else memories
            found = attend_with_weights(
                u[:, None, None], m[:, None], c[:, None], score=Dot(1.0), mask=padding(lengths), normalise=normalise
            )
            u = (u if self.adjacent else self.between(u)) + found.context[:, 0, 0]
            looks.append(found.weights[:, 0, 0])
        logits = F.linear(u, self.words[-1].weight) if self.adjacent else self.output(u)  # type: ignore[arg-type]
        return Answer(logits, torch.stack(looks, 1))

    def _checked(self, story: Tensor, question: Tensor, lengths: Tensor | None) -> Tensor:
        for name, given, axes in (("story", story, "sentences, words"), ("question", question, "words")):
            if given.dim() != len(axes.split()) + 1 or given.is_floating_point():
                raise ValueError(
                    f"{name}: expected whole numbers (batch, {axes}), got {given.dtype} of shape {tuple(given.shape)}"
                )
        batch, width, _ = story.shape
        if question.shape[0] != batch:
            raise ValueError(f"question: expected one for each of {batch} stories, got {question.shape[0]}")
        if width > self.sentences:
            raise ValueError(f"story: {width} sentences, and room for {self.sentences}: cut it to its last ones")
        if lengths is None:
            return torch.full((batch,), width, device=story.device)
        if lengths.shape != (batch,) or lengths.is_floating_point():
            raise ValueError(
                f"lengths: expected {batch} whole numbers, one a story, got {lengths.dtype} of shape "
                f"{tuple(lengths.shape)}"
            )
        return lengths.to(story.device)


def encode(
    table: nn.Module, sentences: Int[Tensor, "*batch words"], positions: bool
) -> Float[Tensor, "*batch features"]:
    """Σ_j l_j ⊙ x_j over the words that are not `PAD`.

    l_kj is (1 − k/d) + (2k/d − 1) j/J, so the vectors are added up once as they are and once by j/J.
    """
    is_word = sentences != PAD
    x = table(sentences).masked_fill(~is_word[..., None], 0.0)  # as an answer, PAD learns a vector too
    total = x.sum(-2)
    if not positions:
        return total
    share = is_word.cumsum(-1).to(x) / is_word.sum(-1, keepdim=True).clamp(min=1)  # j/J
    feature = torch.arange(1, x.shape[-1] + 1, device=x.device, dtype=x.dtype) / x.shape[-1]  # k/d
    return (1 - feature) * total + (2 * feature - 1) * (share[..., None] * x).sum(-2)
