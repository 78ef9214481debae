"""Noun phrases: determiner, adjectives, noun and what follows it, in both orders, to an exact number of words."""

from collections.abc import Sequence

from regard.data.corpus import function_words as words
from regard.data.corpus import modifiers
from regard.data.corpus.choices import adjectives_for, nouns_of
from regard.data.corpus.draft import Draft, French, Phrase, Token
from regard.data.corpus.lexicon import Adjective, Noun
from regard.data.corpus.morphology_en import indefinite
from regard.data.corpus.morphology_fr import opens_with_vowel
from regard.data.corpus.nouns import EDIBLE_MASS, GENERIC_MASS

# Kinds whose things belong to somebody: "Marie's dog".
_OWNED = frozenset("AOTVCKPL")


def _owned(noun: Noun) -> bool:
    """Whether somebody can have it; of people only relations, for "the man's actress" is nobody."""
    return noun.kind != "P" or "related" in noun.marks


def determiner_words(name: str) -> int:
    """How many English words a determiner has."""
    return {"": 0, "all": 2}.get(name, 1)


def _choose_determiner(d: Draft, noun: Noun, plural: bool, role: str) -> str:
    """The name of a determiner that fits the noun's number and the phrase's role."""
    chance = d.random()
    if role == "compared":
        return "" if noun.kind in GENERIC_MASS else "the" if chance < 0.6 or noun.mass else "this"
    if noun.kind in EDIBLE_MASS:
        if role == "negated":
            return "any" if chance < 0.6 else "the"
        if role == "object" and chance < 0.55:
            return "some"
        return "the" if chance < 0.8 else "possessive"
    if noun.kind in GENERIC_MASS:
        return ""
    if plural:
        if role == "negated" and chance < 0.4:
            return "any"
        if chance < 0.32:
            return "the"
        if chance < 0.40:
            return "this"
        if chance < 0.58:
            return "possessive"
        if chance < 0.74:
            return "numeral"
        if chance < 0.86:
            return "quantifier"
        return "some" if role in ("object", "subject") else "the"
    if chance < 0.34:
        return "the"
    if chance < 0.60:
        return "a"
    if chance < 0.84:
        return "possessive"
    if chance < 0.92:
        return "this"
    if chance < 0.96 and role != "negated":
        return "another"
    return "every" if role == "subject" else "the"


def determiner(d: Draft, name: str, noun: Noun, plural: bool, negated: bool, following: tuple[str, str, int]) -> French:
    """Say the English determiner, and return the French one.

    ``following`` is the next English word, the next French word, and how many places after the determiner the
    English noun stands: an article without an English counterpart is linked to the noun.
    """
    next_english, next_french, distance = following
    feminine = noun.feminine
    article = "LES" if plural else "LA" if feminine else "LE"
    if name == "":
        return [(article, (len(d.english) + distance,))]
    if name == "the":
        return [(article, (d.say("the"),))]
    if name == "all":
        all_links = (d.say("all"),)
        return [("toutes" if feminine else "tous", all_links), (article, (d.say("the"),))]
    if name == "a":
        place = d.say(indefinite(next_english))
        if negated:
            return [("de", (place,))]
        return [("une" if feminine else "un", (place,))]
    if name == "any":
        return [("de", (d.say("any"),))]
    if name == "some":
        place = d.say("some")
        if not plural:
            d.tags.add("partitive")
            return [("de", (place,)), (article, (place,))]
        # A plural adjective before the noun turns des into de: de petits livres.
        return [("de" if next_french not in (noun.french_plural,) else "des", (place,))]
    if name == "this":
        place = d.say("these" if plural else "this")
        vowel = opens_with_vowel(next_french)
        return [("ces" if plural else "cette" if feminine else "cet" if vowel else "ce", (place,))]
    if name == "every":
        return [("chaque", (d.say("every"),))]
    if name == "another":
        place = d.say("another")
        return [("une" if feminine else "un", (place,)), ("autre", (place,))]
    if name == "numeral":
        english, french = d.pick(words.NUMERALS)
        return [(french, (d.say(english),))]
    if name == "quantifier":
        english, quantity = d.pick(words.QUANTIFIERS)
        place = d.say(english)
        return [(form, (place,)) for form in quantity]
    if name == "possessive":
        english, masculine, before_consonant, plural_form = d.pick(words.POSSESSIVES)
        singular = before_consonant if feminine and not opens_with_vowel(next_french) else masculine
        return [(plural_form if plural else singular, (d.say(english),))]
    raise AssertionError(name)


def choose_adjectives(d: Draft, noun: Noun, count: int) -> list[tuple[str, Adjective]]:
    """Adjectives worth ``count`` English words, in English order, each with its adverb of degree or ""."""
    if count == 0:
        return []
    if count == 1:
        return [("", d.partner(adjectives_for(noun, "any"), _TAG))]
    slots = [slot for slot in ("before", "after", "colour") if adjectives_for(noun, slot).seen]
    if count == 2 and (len(slots) == 1 or d.chance(0.25)):
        adjective = d.partner(adjectives_for(noun, "graded"), _TAG)
        # Only "très" stands well before an adjective before the noun.
        return [("very" if adjective.slot == "before" else d.pick(words.DEGREE)[0], adjective)]
    while len(slots) > count:
        slots.pop(d.between(0, len(slots) - 1))
    return [("", d.partner(adjectives_for(noun, slot), _TAG)) for slot in slots]


_TAG = "new adjective-noun"
_DEGREE = dict(words.DEGREE)


def adjective_words(noun: Noun) -> int:
    """How many words of adjectives a noun can surely take."""
    return sum(bool(adjectives_for(noun, slot).seen) for slot in ("before", "after", "colour"))


def noun_group(
    d: Draft, noun: Noun, plural: bool, name: str, chosen: Sequence[tuple[str, Adjective]], negated: bool = False
) -> French:
    """Determiner, adjectives and noun: "a small red car", une petite voiture rouge.

    ``name`` is the determiner's; ``chosen`` are the adjectives in English order, each with its adverb of degree or "".
    """
    feminine = noun.feminine
    english_noun = noun.english_plural if plural else noun.english
    french_noun = noun.french_plural if plural else noun.french
    english = [word for degree, adjective in chosen for word in (degree, adjective.english) if word]
    leading = [pair for pair in chosen if pair[1].slot == "before"]
    # The French words before the noun, last first, for their form depends on the word that follows (bel, vieil).
    forms: list[str] = []
    following = french_noun
    for degree, adjective in reversed(leading):
        masculine_vowel = not plural and not feminine and opens_with_vowel(following)
        form = adjective.before_vowel if masculine_vowel else adjective.form(feminine, plural)
        forms.append(form)
        following = _DEGREE[degree] if degree else form
    french = determiner(
        d, name, noun, plural, negated, (english[0] if english else english_noun, following, len(english))
    )
    places: list[tuple[int, Adjective, int]] = []
    for degree, adjective in chosen:
        degree_place = d.say(degree) if degree else -1
        places.append((degree_place, adjective, d.say(adjective.english)))
    noun_token = (french_noun, (d.say(english_noun),))
    heads: French = []
    tails: list[French] = []
    for (degree_place, adjective, place), (degree, _) in zip(places, chosen, strict=True):
        degree_token: French = [(_DEGREE[degree], (degree_place,))] if degree else []
        if adjective.slot == "before":
            form = forms.pop() if len(forms) > 0 else adjective.form(feminine, plural)
            heads += [*degree_token, (form, (place,))]
            d.tags.add("adjective before the noun")
        else:
            tails.append([*degree_token, (adjective.form(feminine, plural), (place,))])
            d.tags.add("adjective after the noun")
    # English "comfortable red", French rouge confortable.
    return [*french, *heads, noun_token, *(token for tail in reversed(tails) for token in tail)]


def _genitive(d: Draft, noun: Noun, plural: bool, budget: int) -> French | None:
    """Marie's red car, la voiture rouge de Marie: ``budget`` words in all."""
    by_name = budget == 2 or d.chance(0.6)
    owner_words = 1 if by_name else 2
    adjectives = budget - owner_words - 1
    if not 0 <= adjectives <= 1:
        return None
    if by_name:
        owner = d.pick(nouns_of("p"))
        place = d.say(owner.english + "'s")
        tail: French = [("de", (place,)), (owner.french, (place,))]
    else:
        owner = d.pick(nouns_of("P"))
        article = d.say("the")
        place = d.say(owner.english + "'s")
        tail = [("de", (place,)), ("LA" if owner.feminine else "LE", (article,)), (owner.french, (place,))]
    group = noun_group(d, noun, plural, "", choose_adjectives(d, noun, adjectives))
    d.tags.add("genitive")
    return group + tail


def _one_word(d: Draft, noun: Noun) -> Phrase:
    """A name, a discipline or value, or a generic plural: Marie, music, cats."""
    if noun.kind in "pc":
        token: Token = (noun.french, (d.say(noun.english),))
        return Phrase([token], feminine=noun.feminine, nouns=(noun,), kind="P" if noun.kind == "p" else "L")
    plural = not noun.mass
    return _phrase(noun_group(d, noun, plural, "", []), noun, plural)


def _phrase(french: French, noun: Noun, plural: bool) -> Phrase:
    person = 4 if plural else 2
    return Phrase(french, person=person, feminine=noun.feminine, plural=plural, nouns=(noun,), kind=noun.kind)


def noun_phrase(d: Draft, noun: Noun, size: int, role: str = "complement", generic: bool = False) -> Phrase:
    """A phrase of exactly ``size`` English words around ``noun``.

    ``role``: "subject", "object", "negated" (object under negation: pas de), "complement" (after a preposition),
    "single" (the same, never plural), or "compared" (after than).
    ``generic``: a plural without article means the kind ("I love old books").
    """
    if size == 1 or noun.kind in "pc":
        assert size == 1
        return _one_word(d, noun)
    plural = not noun.mass and role != "single" and d.chance(0.36)
    if not generic and noun.kind in _OWNED and _owned(noun) and size <= 4 and d.chance(0.14):
        plural = plural and noun.kind != "L"
        french = _genitive(d, noun, plural, size)
        if french is not None:
            return _phrase(french, noun, plural)
    if generic:
        plural, name = not noun.mass, ""
    else:
        name = _choose_determiner(d, noun, plural, role)
    if name == "the" and plural and size >= 3 and d.chance(0.25):
        name = "all"
    room = size - 1 - determiner_words(name)
    if name == "possessive" and (room >= 4 or not _owned(noun)):
        name = "the"  # something else says which one: "the book that", not "my book that"
    if noun.kind in GENERIC_MASS and room >= 3 and d.chance(0.5):
        name, room = "the", room - 1
    adjectives = _share_of_adjectives(d, noun, room)
    french = noun_group(d, noun, plural, name, choose_adjectives(d, noun, adjectives), role == "negated")
    phrase = _phrase(french, noun, plural)
    if room > adjectives:
        tail = modifiers.after_noun(d, phrase, room - adjectives, name)
        phrase.french = french + tail
    return phrase


def _share_of_adjectives(d: Draft, noun: Noun, room: int) -> int:
    """How many of ``room`` words go before the noun; what is left is 0 or at least 2."""
    if room <= 1:
        return room
    most = min(adjective_words(noun), 3)
    if room == 2:
        return 2 if most >= 2 and d.chance(0.6) else 0
    if room == 3:
        return 3 if most == 3 and d.chance(0.25) else d.between(0, 1)
    chance = d.random()
    return 0 if chance < 0.4 else 1 if chance < 0.85 else min(2, most)
