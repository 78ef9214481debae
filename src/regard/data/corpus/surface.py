"""From tokens to written French: elision, contraction, spaces, and the links as pairs of places.

The grammar writes articles as LE, LA, LES, so that "de LE livre" contracts to "du livre" while the pronoun of
"essayer de le voir" stays as it is.
"""

from collections.abc import Sequence

from regard.data.corpus.draft import French
from regard.data.corpus.morphology_fr import opens_with_vowel

_ELIDED = {
    "LE": "l'",
    "LA": "l'",
    "le": "l'",
    "la": "l'",
    "je": "j'",
    "me": "m'",
    "se": "s'",
    "de": "d'",
    "ne": "n'",
    "que": "qu'",
    "puisque": "puisqu'",
}
_ARTICLES = {"LE": "le", "LA": "la", "LES": "les"}
_CONTRACTED = {("de", "LE"): "du", ("de", "LES"): "des", ("à", "LE"): "au", ("à", "LES"): "aux"}
_CHANGING = frozenset((*_ELIDED, *_ARTICLES, "à", "si"))


def write(tokens: French) -> tuple[list[str], list[tuple[int, int]]]:
    """French words with elisions and contractions made, and links as (English place, French place)."""
    words: list[str] = []
    links: list[tuple[int, int]] = []
    last = len(tokens) - 1
    contracted = False
    for place, (form, sources) in enumerate(tokens):
        if contracted:
            contracted = False
            continue
        if form in _CHANGING:
            following = tokens[place + 1][0] if place < last else "."
            if (form, following) in _CONTRACTED and not _elides(tokens, place + 1):
                form = _CONTRACTED[form, following]
                sources = (*sources, *tokens[place + 1][1])
                contracted = True
            elif form == "si":
                form = "s'" if following in ("il", "ils") else form
            elif form in _ELIDED and opens_with_vowel(following):
                form = _ELIDED[form]
            else:
                form = _ARTICLES.get(form, form)
        here = len(words)
        words.append(form)
        for source in sources:
            links.append((source, here))
    return words, links


def _elides(tokens: French, place: int) -> bool:
    """Whether the article at ``place`` elides, so that nothing contracts with it: de l'ami."""
    return tokens[place][0] == "LE" and opens_with_vowel(tokens[place + 1][0])


def text(words: Sequence[str]) -> str:
    """The words as running text: no space after an apostrophe that elides, nor before punctuation."""
    spaced = " ".join(words)
    return spaced.replace("' ", "'").replace(" ,", ",").replace(" .", ".").replace(" ?", "?")


def capitalised(word: str) -> str:
    """The word as a sentence opens with it."""
    return word[0].upper() + word[1:]
