"""French word forms of nouns and adjectives, and which words elide the word before them."""

ASPIRATED = {"huit", "onze"}  # filled by the lexicon with every form of the starred words
_VOWELS = frozenset("aàâeéèêëiîïoôuùûœ")
_opens: dict[str, bool] = {}


def opens_with_vowel(word: str) -> bool:
    """Whether ``word`` elides the word before it: a vowel or a mute h (l'ami, l'homme; but le héros, le onze)."""
    known = _opens.get(word)
    if known is None:
        lower = word.lower()
        known = _opens[word] = lower not in ASPIRATED and (lower[0] in _VOWELS or lower[0] == "h")
    return known


def noun_plural(word: str) -> str:
    """The regular plural: livres, journaux, bateaux, jeux, souris."""
    if word.endswith(("s", "x", "z")):
        return word
    if word.endswith("al"):
        return word[:-2] + "aux"
    if word.endswith(("eau", "eu", "au")):
        return word + "x"
    return word + "s"


def adjective_feminine(word: str) -> str:
    """The regular feminine: petite, heureuse, active, légère, ancienne, éternelle."""
    if word.endswith("e"):
        return word
    for ending, feminine in (("eux", "euse"), ("f", "ve"), ("er", "ère"), ("en", "enne"), ("el", "elle")):
        if word.endswith(ending):
            return word[: -len(ending)] + feminine
    return word + "e"


def adjective_plural(word: str) -> str:
    """The masculine plural: petits, heureux, beaux, loyaux, bleus."""
    if word.endswith("al"):
        return word[:-2] + "aux"
    if word.endswith("eau"):
        return word + "x"
    if word.endswith(("s", "x")):
        return word
    return word + "s"


def agree(participle: str, feminine: bool, plural: bool) -> str:
    """The participle made feminine and plural: vu, vue, vus, vues; pris, prise, pris, prises."""
    # dû loses its accent in the other forms.
    if participle == "dû" and (feminine or plural):
        participle = "du"
    if feminine:
        participle += "e"
    if plural and not participle.endswith("s"):
        participle += "s"
    return participle
