"""English word forms: plurals, third person, past, a or an; the rules, while exceptions are in the tables."""

_VOWELS = "aeiou"
# Spelt with a vowel but said with a consonant, and the other way round.
_A_BEFORE = ("uni", "use", "one", "eu")
_AN_BEFORE = ("hour", "honest", "hono")


def sibilant_s(word: str) -> str:
    """The ending -s, -es or -ies: plural of a noun, third person of a verb."""
    if word.endswith(("s", "x", "z", "ch", "sh")):
        return word + "es"
    if word.endswith("y") and word[-2] not in _VOWELS:
        return word[:-1] + "ies"
    return word + "s"


def third_person(verb: str) -> str:
    """The form after he or she: sleeps, watches, carries, goes, has."""
    if verb == "have":
        return "has"
    if verb in ("go", "do"):
        return verb + "es"
    return sibilant_s(verb)


def regular_past(verb: str) -> str:
    """The regular past: walked, danced, carried."""
    if verb.endswith("e"):
        return verb + "d"
    if verb.endswith("y") and verb[-2] not in _VOWELS:
        return verb[:-1] + "ied"
    return verb + "ed"


def indefinite(following: str) -> str:
    """``a`` or ``an``, by the word that follows."""
    word = following.lower()
    if word.startswith(_AN_BEFORE):
        return "an"
    if word.startswith(_A_BEFORE):
        return "a"
    return "an" if word[0] in _VOWELS else "a"


# Copula forms by person: I, you, he or she, we, they.
BE_PRESENT = ("am", "are", "is", "are", "are")
BE_PAST = ("was", "were", "was", "were", "were")
