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
_PUNCTUATION = frozenset(".,?")


def write(tokens: French) -> tuple[list[str], list[tuple[int, int]]]:
    """French words with elisions and contractions made, and links as (English place, French place)."""
    words: list[str] = []
    links: list[tuple[int, int]] = []
    last = len(tokens) - 1
    skip = False
    for place, (form, sources) in enumerate(tokens):
        if skip:
            skip = False
            continue
        if place < last:
            following = tokens[place + 1][0]
            if form in _ELIDED and opens_with_vowel(following):
                form = _ELIDED[form]
            elif form == "si" and following in ("il", "ils"):
                form = "s'"
            elif form in ("de", "à") and following in ("LE", "LES"):
                # "de l'ami": the article elides first, and then nothing contracts.
                elides = following == "LE" and place + 1 < last and opens_with_vowel(tokens[place + 2][0])
                if not elides:
                    form = _CONTRACTED[form, following]
                    sources = (*sources, *tokens[place + 1][1])
                    skip = True
        form = _ARTICLES.get(form, form)
        here = len(words)
        words.append(form)
        links += [(source, here) for source in sources]
    return words, links


def text(words: Sequence[str]) -> str:
    """The words as running text: no space after an apostrophe that elides, nor before punctuation."""
    pieces: list[str] = []
    glued = True
    for word in words:
        if not glued and word not in _PUNCTUATION:
            pieces.append(" ")
        pieces.append(word)
        glued = word[-1] == "'"
    return "".join(pieces)


def capitalised(word: str) -> str:
    """The word as a sentence opens with it."""
    return word[0].upper() + word[1:]
