"""A picture of a document: its sentences as columns, its words as rows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from regard.guide.page import Picture, array

if TYPE_CHECKING:
    from torch import Tensor


def document_picture(document: Sequence[Sequence[str]], of_sentences: Tensor, of_words: Tensor) -> Picture:
    """The weights of sentences (sentences,) and of words in their sentence (sentences, words), one document's."""
    rows = [word for sentence in document for word in sentence]
    weights, first = np.zeros((len(document), len(rows))), 0
    for i, sentence in enumerate(document):
        weights[i, first : first + len(sentence)] = array(of_words[i, : len(sentence)])
        first += len(sentence)
    return Picture(
        weights,
        rows,
        [f"sentence {i + 1}: {weight:.2f}" for i, weight in enumerate(array(of_sentences))],
        "Columns: the sentences, each with its own weight in the document. Rows: the words. Each column sums to 1.",
    )
