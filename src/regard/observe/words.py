"""From pieces to words: attention over subword pieces becomes attention over words, and words become safe to show.

A word is read through its pieces, so the weights of a source word's pieces add up. A word is written piece by piece,
each with an α of its own, so a target word gets the mean of its pieces' rows; a row that summed to 1 still does.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence

import numpy as np


def merge_pieces(
    weights: np.ndarray,
    target_groups: Sequence[Sequence[int]],
    source_groups: Sequence[Sequence[int]],
) -> np.ndarray:
    """Weights between words: `A[i, j] = mean over t in target_groups[i] of Σ over s in source_groups[j] of α_t(s)`.

    weights: (target pieces, source pieces), each row one α_t.
    target_groups, source_groups: for each word, the indices of its pieces. A piece in no group (an end mark, say) is
        left out; a source piece left out takes its weight with it.
    Returns (target words, source words).
    Raises ValueError for a group without pieces or with an index outside the weights.
    """
    weights = np.asarray(weights)
    if weights.ndim != 2:
        raise ValueError(f"weights must be (target pieces, source pieces), got shape {weights.shape}")
    _check_groups("target", target_groups, weights.shape[0])
    _check_groups("source", source_groups, weights.shape[1])
    by_word = np.zeros((weights.shape[0], len(source_groups)), dtype=weights.dtype)
    for j, group in enumerate(source_groups):
        by_word[:, j] = weights[:, list(group)].sum(axis=1)
    merged = np.zeros((len(target_groups), len(source_groups)), dtype=weights.dtype)
    for i, group in enumerate(target_groups):
        merged[i] = by_word[list(group)].mean(axis=0)
    return merged


CONTINUED = ("##",)  # before a piece that goes on with a word (WordPiece)
BEGUN = ("▁", "Ġ")  # before a piece that begins a word (SentencePiece, byte-level BPE)
UNFINISHED = ("@@",)  # after a piece that the word goes on from (subword-nmt)
SPECIAL = re.compile(r"<[^<>\s]+>|\[[A-Z]+\]")


def word_groups(tokens: Sequence[str]) -> list[list[int]] | None:
    """The indices of each word's pieces, as the marks of the usual tokenisers tell; None where no mark is seen.

    Special tokens such as `<s>` and `[CLS]` are words of their own.
    """
    joined = _joined_to_the_piece_before(tokens)
    if joined is None:
        return None
    groups: list[list[int]] = []
    for index, token in enumerate(tokens):
        alone = SPECIAL.fullmatch(token) or (index and SPECIAL.fullmatch(tokens[index - 1]))
        if joined[index] and groups and not alone:
            groups[-1].append(index)
        else:
            groups.append([index])
    return groups


def _joined_to_the_piece_before(tokens: Sequence[str]) -> list[bool] | None:
    if any(token.startswith(CONTINUED) and len(token) > 2 for token in tokens):
        return [token.startswith(CONTINUED) for token in tokens]
    if any(token.startswith(BEGUN) for token in tokens):
        return [not token.startswith((*BEGUN, "Ċ", "\n")) for token in tokens]
    if any(token.endswith(UNFINISHED) and len(token) > 2 for token in tokens):
        return [False, *(token.endswith(UNFINISHED) for token in tokens[:-1])]
    return None


def _check_groups(name: str, groups: Sequence[Sequence[int]], size: int) -> None:
    for word, group in enumerate(groups):
        if not len(group) or min(group) < 0 or max(group) >= size:
            raise ValueError(f"{name} word {word} has pieces {list(group)}: expected one or more of 0..{size - 1}")


def check(weights: np.ndarray, source_words: Sequence[str], target_words: Sequence[str]) -> np.ndarray:
    """The weights as a float array, after making sure that they are finite and (target words, source words)."""
    weights = np.asarray(weights, dtype=np.float64)
    expected = (len(target_words), len(source_words))
    if weights.shape != expected:
        raise ValueError(
            f"weights have shape {weights.shape} but there are {expected[0]} target and {expected[1]} source words: "
            "expected (target words, source words), each row one α_t"
        )
    if not np.isfinite(weights).all():
        raise ValueError("weights hold NaN or infinity: nothing can be drawn from them")
    return weights


def shown(word: str) -> str:
    """The word as one line of visible characters: what would steer the terminal or the page is written out.

    Control characters, escapes, line ends and direction marks become `\\n`, `\\x1b`, `\\u202e`; the joiners some
    scripts write within words have no width of their own and are dropped; an empty or blank word is put in quotes.
    """
    visible = "".join(_visible(character) for character in word if character not in "\u200c\u200d")
    return visible if visible.strip() else f"'{visible}'"


def _visible(character: str) -> str:
    if unicodedata.category(character) in ("Cc", "Cf", "Cs", "Cn", "Zl", "Zp"):
        return character.encode("unicode_escape").decode("ascii")
    return character
