"""What is said with "be": is red, is very old and strong, is taller than Marie, is hungry, is in the garden."""

from regard.data.corpus import function_words as words
from regard.data.corpus import noun_phrases, prepositions
from regard.data.corpus.choices import adjectives_for, adjectives_of, nouns_of
from regard.data.corpus.draft import Draft, French, Phrase
from regard.data.corpus.finite import finite
from regard.data.corpus.holdout import held_adjective
from regard.data.corpus.lexicon import Adjective

_TAG = "new adjective-noun"
_PLACED = frozenset("PAOFCVT")  # what can be in a place
_WITHOUT_COMPARATIVE = frozenset({"good", "bad"})  # better and worse would need words of their own
_AGREES = (False, False)


def _adjective(d: Draft, subject: Phrase, compared: bool = False, short: bool = False) -> Adjective:
    """An adjective that suits every head of the subject; ``compared``: it has degrees; ``short``: and a comparative."""
    nouns = [noun for noun in subject.nouns if noun.kind != "p"]
    for _ in range(200):
        adjective = d.pick(adjectives_of("P"))
        if nouns:
            partners = adjectives_for(nouns[0], "graded" if compared else "any")
            adjective = d.pick(partners.held if d.fresh and partners.held and d.chance(0.3) else partners.seen)
        if compared and (not adjective.graded or adjective.english in _WITHOUT_COMPARATIVE):
            continue
        if short and not adjective.comparative:
            continue
        if adjective.slot == "colour" and subject.kind == "X":
            continue  # "French poetry", but not "poetry is French"
        if not all(adjective.describes(noun) for noun in nouns[1:]):
            continue
        held = any(held_adjective(adjective, noun) for noun in nouns)
        if held and not d.fresh:
            continue
        if held:
            d.tags.add(_TAG)
        return adjective
    # Two heads with nothing in common: say something of the first that the split may say of both.
    return next(
        a
        for a in adjectives_for(nouns[0], "graded" if compared else "any").seen
        if not any(held_adjective(a, noun) for noun in nouns) and a.english not in _WITHOUT_COMPARATIVE
    )


def copula(d: Draft, room: int, subject: Phrase, tense: str, polarity: str, slot: int) -> French:
    """Say "be" and ``room`` >= 1 words after it."""
    chance = d.random()
    if subject.kind == "P" and room == 1 and chance < 0.35:
        head = finite(d, None, subject, tense, polarity, slot, with_avoir=True)
        english, noun = d.pick(words.AVOIR_PREDICATES)
        d.tags.add("avoir predicate")
        return [*head.write([], _AGREES), (noun, (d.say(english),))]
    head = finite(d, None, subject, tense, polarity, slot)
    verb = head.write([], _AGREES)
    person = subject.kind == "P"
    equal = polarity == "no longer"  # "n'est plus plus grand" is right, and nobody says it
    if subject.kind in _PLACED and room >= 3 and chance < 0.3:
        return verb + prepositions.place(d, room, thing=subject.kind in "OTFC")
    if (room >= 4 and (chance < 0.75 or not person)) or (room == 3 and person and not equal and chance < 0.5):
        return verb + _comparison(d, room, subject, equal)
    if room <= 2:
        return verb + _degree(d, room, subject)
    if room == 3:
        return verb + _two(d, subject)
    size = d.pick((1, 2))
    french = verb + _degree(d, size, subject)
    rest = room - size
    return french + prepositions.circumstance(d, rest, moving=False, families="p" if rest == 2 else "ex")


def _form(adjective: Adjective, subject: Phrase) -> str:
    return adjective.form(subject.feminine, subject.plural)


def _degree(d: Draft, size: int, subject: Phrase) -> French:
    """An adjective, with an adverb of degree if there are two words."""
    adjective = _adjective(d, subject, compared=size == 2)
    french: French = []
    if size == 2:
        english, form = d.pick(words.PREDICATE_DEGREE)
        french.append((form, (d.say(english),)))
    return [*french, (_form(adjective, subject), (d.say(adjective.english),))]


def _two(d: Draft, subject: Phrase) -> French:
    """Two adjectives: old and strong."""
    d.tags.add("coordination")
    first = _adjective(d, subject)
    french: French = [(_form(first, subject), (d.say(first.english),)), ("et", (d.say("and"),))]
    for _ in range(20):
        second = _adjective(d, subject)
        if second is not first:
            break
    return [*french, (_form(second, subject), (d.say(second.english),))]


def _comparison(d: Draft, size: int, subject: Phrase, equal: bool) -> French:
    """Taller than Marie, more patient than my sister, as old as the tower; with ``equal`` only the last."""
    d.tags.add("comparison")
    adjective = _adjective(d, subject, compared=True, short=size == 3)
    form = _form(adjective, subject)
    kind = subject.kind
    if size == 3 or (adjective.comparative and not equal and d.chance(0.7)):
        place = d.say(adjective.comparative)
        tokens: French = [("plus", (place,)), (form, (place,)), ("que", (d.say("than"),))]
        rest = size - 2
    else:
        english, word, than = d.pick((("more", "plus", "than"), ("as", "aussi", "as")))
        if adjective.comparative or equal:
            english, word, than = "as", "aussi", "as"
        tokens = [(word, (d.say(english),)), (form, (d.say(adjective.english),)), ("que", (d.say(than),))]
        rest = size - 3
    nouns = nouns_of("p" if rest == 1 and kind == "P" else kind)
    noun = d.pick(nouns)
    while noun in subject.nouns:
        noun = d.pick(nouns)
    return tokens + noun_phrases.noun_phrase(d, noun, rest, "compared").french
