"""Prepositional phrases and adverbs: in the garden, with Marie, after the concert, slowly, every morning."""

from regard.data.corpus import function_words as words
from regard.data.corpus import noun_phrases
from regard.data.corpus.choices import nouns_of
from regard.data.corpus.draft import Draft, French, Phrase
from regard.data.corpus.lexicon import NOUN, Noun

Preposition = tuple[str, tuple[str, ...]]

_SURFACES = tuple(NOUN[word] for word in words.SURFACES)
_CONTAINERS = tuple(NOUN[word] for word in words.CONTAINERS)
_TIMES = {mark: tuple(noun for noun in nouns_of("t") if mark in noun.marks) for mark in ("every", "last", "in", "on")}


def say_preposition(d: Draft, preposition: Preposition) -> French:
    """The words of a preposition, each French one linked to each English one."""
    english, french = preposition
    places = d.say_all(english.split())
    return [(word, places) for word in french]


def _object(d: Draft, kinds: str, size: int) -> Phrase:
    """A noun phrase of the given classes; of one word a name."""
    noun = d.pick(nouns_of("c" if kinds == "L" and size == 1 else "p" if size == 1 else kinds))
    return noun_phrases.noun_phrase(d, noun, size)


def place(d: Draft, size: int, thing: bool = False) -> French:
    """Where: "in Paris", "behind the old station"; of a ``thing`` also "on the table". ``size`` is at least 2."""
    if size == 2:
        in_city: Preposition = ("in", ("à",))
        french = say_preposition(d, in_city if d.chance(0.75) else ("near", ("près", "de")))
        return french + _object(d, "L", 1).french
    if size >= 6 and d.chance(0.15):
        return _between(d, size)
    if thing and d.chance(0.3):
        return _at_things(d, size)
    noun = d.pick(nouns_of("L"))
    if d.chance(0.6):
        preposition: Preposition = (noun.marks[0], (words.OWN_PLACE[noun.marks[0]],))
    else:
        preposition = d.pick(words.PLACE_PREPOSITIONS)
    return _with_noun(d, preposition, noun, size, "single")


def in_place(d: Draft, size: int) -> French:
    """In Paris, in the valley, at the old station: with the preposition that is the place's own."""
    if size == 2:
        return say_preposition(d, ("in", ("à",))) + _object(d, "L", 1).french
    noun = d.pick(nouns_of("L"))
    return _with_noun(d, (noun.marks[0], (words.OWN_PLACE[noun.marks[0]],)), noun, size, "single")


def _with_noun(d: Draft, preposition: Preposition, noun: Noun, size: int, role: str = "complement") -> French:
    """The preposition and its noun phrase; a one-word preposition if the other one leaves no room."""
    rest = size - len(preposition[0].split())
    if rest < 2:
        preposition, rest = ("near", ("près", "de")), size - 1
    return say_preposition(d, preposition) + noun_phrases.noun_phrase(d, noun, rest, role).french


def _at_things(d: Draft, size: int) -> French:
    """On the table, in the box."""
    if d.chance(0.55):
        preposition, nouns = d.pick(words.SURFACE_PREPOSITIONS), _SURFACES
    else:
        preposition, nouns = ("in", ("dans",)), _CONTAINERS
    return _with_noun(d, preposition, d.pick(nouns), size)


def _between(d: Draft, size: int) -> French:
    """Between the station and the museum."""
    d.tags.add("coordination")
    between = say_preposition(d, (words.BETWEEN[0], (words.BETWEEN[1],)))
    first = d.between(2, size - 4)
    one = noun_phrases.noun_phrase(d, d.pick(nouns_of("L")), first)
    conjunction = say_preposition(d, ("and", ("et",)))
    other = noun_phrases.noun_phrase(d, d.pick(nouns_of("L")), size - 2 - first)
    return between + one.french + conjunction + other.french


def company(d: Draft, size: int) -> French:
    """With, without or for somebody; ``size`` is at least 2, and 2 gives a name or a stressed pronoun."""
    preposition = say_preposition(d, d.pick(words.COMPANY_PREPOSITIONS))
    if size == 2 and d.chance(0.5):
        return preposition + stressed(d)
    return preposition + _object(d, "P", size - 1).french


def stressed(d: Draft, avoid: int = -1) -> French:
    """A pronoun after a preposition: with him, avec lui. ``avoid`` is a person it must not be."""
    rows = [row for row in words.OBJECT_PRONOUNS if row[4] != avoid]
    english, _, _, french, *_ = d.pick(rows)
    return [(french, (d.say(english),))]


def event(d: Draft, size: int) -> French:
    """After the lesson, during the old film; ``size`` is at least 3."""
    return _with_noun_or_near(d, d.pick(words.EVENT_PREPOSITIONS), "E", size)


def cause(d: Draft, size: int) -> French:
    """Despite the noise, thanks to her friend; ``size`` is at least 4."""
    return _with_noun_or_near(d, d.pick(words.CAUSE_PREPOSITIONS), d.pick("KEP"), size)


def _with_noun_or_near(d: Draft, preposition: Preposition, kinds: str, size: int) -> French:
    rest = size - len(preposition[0].split())
    return say_preposition(d, preposition) + _object(d, kinds, rest).french


def motion(d: Draft, size: int) -> French:
    """Toward the beach, through the forest; ``size`` is at least 3."""
    return _with_noun(d, d.pick(words.MOTION_PREPOSITIONS), d.pick(nouns_of("L")), size)


def circumstance(d: Draft, size: int, moving: bool, families: str = "pcex") -> French:
    """A phrase of ``size`` >= 2 words that says where, with whom, when or why."""
    possible = [family for family in families if size >= {"p": 2, "c": 2, "e": 3, "x": 4}[family]]
    family = d.pick(possible)
    if family == "p":
        return motion(d, size) if moving and size >= 3 and d.chance(0.5) else place(d, size)
    return {"c": company, "e": event, "x": cause}[family](d, size)


def time(d: Draft, size: int, tense: str, fronted: bool = False) -> French:
    """When, in one or two words: today, every Monday, last week, in winter."""
    if size == 1:
        adverbs = words.TIME_ADVERBS[tense]
        english, french = d.pick(adverbs[:2] if fronted else adverbs)
        return [(french, (d.say(english),))]
    chance = d.random()
    if (chance < 0.5 and tense != "present") or (chance < 0.2 and tense == "present"):
        if chance < 0.3 and tense != "present":
            adjective = "last" if tense == "past" else "next"
            place = d.say(adjective)
            noun = d.pick(_TIMES["last"])
            noun_place = d.say(noun.english)
            french = {"last": ("dernier", "dernière"), "next": ("prochain", "prochaine")}[adjective][noun.feminine]
            article: French = [("LA" if noun.feminine else "LE", (noun_place,))]
            return [*article, (noun.french, (noun_place,)), (french, (place,))]
        if tense != "present":
            noun = d.pick(_TIMES["on"])
            places = d.say("on"), d.say(noun.english)
            return [(noun.french, places)]
        noun = d.pick(_TIMES["in"])
        return [("en", (d.say("in"),)), (noun.french, (d.say(noun.english),))]
    place = d.say("every")
    noun = d.pick(_TIMES["every"])
    return [("chaque", (place,)), (noun.french, (d.say(noun.english),))]
