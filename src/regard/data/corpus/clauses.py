"""Statements of one clause: who does what, there is, it rains; with a time put in front, or with two verbs."""

from regard.data.corpus import function_words as words
from regard.data.corpus import noun_phrases, prepositions, verb_phrases
from regard.data.corpus.choices import nouns_of
from regard.data.corpus.draft import Draft, French, Phrase
from regard.data.corpus.lexicon import ETRE, FAIRE, WEATHER
from regard.data.corpus.morphology_en import BE_PAST, BE_PRESENT


def subject_phrase(d: Draft, size: int) -> Phrase:
    """A subject of ``size`` words."""
    if size == 1:
        if d.chance(0.93):
            return verb_phrases.person(d, 1)
        return noun_phrases.noun_phrase(d, d.pick(nouns_of("XY")), 1, "subject")
    if size >= 3 and d.chance(0.16):
        return _joined_subject(d, size)
    chance = d.random()
    kinds = "P" if chance < 0.58 else "A" if chance < 0.72 else "OTFCVLNKE" if chance < 0.92 else "XYMD"
    return noun_phrases.noun_phrase(d, d.pick(nouns_of(kinds)), size, "subject")


def _joined_subject(d: Draft, size: int) -> Phrase:
    """Marie and the old doctor; masculine plural unless both are feminine."""
    d.tags.add("coordination")
    first = 1 if size <= 4 else d.pick((1, d.between(2, size - 3)))
    one = noun_phrases.noun_phrase(d, d.pick(nouns_of("p" if first == 1 else "P")), first, "subject")
    conjunction = ("et", (d.say("and"),))
    rest = size - 1 - first
    for _ in range(20):
        noun = d.pick(nouns_of("p" if rest == 1 else "P"))
        if noun not in one.nouns:
            break
    other = noun_phrases.noun_phrase(d, noun, rest, "subject")
    return Phrase(
        [*one.french, conjunction, *other.french],
        person=4,
        feminine=one.feminine and other.feminine,
        plural=True,
        nouns=one.nouns + other.nouns,
    )


def subject_size(d: Draft, size: int, most: int = 7) -> int:
    """How many of a clause's words its subject gets; enough are left for a verb phrase about a thing."""
    room = min(size - 3, most)
    if room < 2 or d.chance(0.42):
        return 1
    return min(d.between(2, room), d.between(2, room))


def statement(d: Draft, size: int, tense: str, opens: bool = False) -> French:
    """A clause of ``size`` >= 2 words that states something; where it ``opens`` the sentence a time may come first."""
    if tense == "future" and size < 3:
        tense = "present"
    chance = d.random()
    if chance < 0.035:
        weather = _weather(d, size, tense)
        if weather:
            return weather
    if chance > 0.965 and size >= 7 and tense != "future":
        return existential(d, size, tense, -1)
    if opens and size >= 6 and chance > 0.84:
        return _fronted(d, size, tense)
    if size >= 7 and chance > 0.8:
        return _two_verbs(d, size, tense)
    length = subject_size(d, size)
    shortest = size == 2 or (size == 3 and tense == "future")
    subject = verb_phrases.person(d, 1) if shortest else subject_phrase(d, length)
    return [*subject.french, *verb_phrases.verb_phrase(d, size - length, subject, tense, clauses=not d.in_relative)]


def _fronted(d: Draft, size: int, tense: str) -> French:
    """Tomorrow, Marie will sleep; in winter, ..."""
    length = d.between(1, 2)
    when = prepositions.time(d, length, tense, fronted=True)
    d.timed = True
    comma = (",", (d.say(","),))
    taken = subject_size(d, size - length, 4)
    subject = subject_phrase(d, taken)
    rest = verb_phrases.verb_phrase(d, size - length - taken, subject, tense)
    d.timed = False
    return [*when, comma, *subject.french, *rest]


def _two_verbs(d: Draft, size: int, tense: str) -> French:
    """Marie sings and dances."""
    d.tags.add("coordination")
    length = min(subject_size(d, size - 3), size - 6)
    subject = verb_phrases.person(d, length)
    rest = size - length - 1
    first = d.between(2, rest - 2)
    one = verb_phrases.verb_phrase(d, first, subject, tense)
    english, french = d.pick((("and", "et"), ("but", "mais")))
    conjunction = (french, (d.say(english),))
    two = verb_phrases.verb_phrase(d, rest - first, subject, tense)
    return [*subject.french, *one, conjunction, *two]


def _weather(d: Draft, size: int, tense: str) -> French | None:
    """It rains; it was cold in Paris; it is late."""
    adjective = size >= 3 and d.chance(0.5)
    least = (3 if adjective else 2) + (tense == "future")
    rest = size - least
    if rest < 0 or rest > 5:
        return None
    d.tags.add("impersonal")
    it = d.say("it")
    form = {"present": "present", "past": "imperfect", "future": "future"}[tense]
    if adjective:
        cold = d.chance(0.6)
        english, french = d.pick(words.WEATHER_ADJECTIVES if cold else words.CLOCK_ADJECTIVES)
        places = d.say_all(("will", "be") if tense == "future" else ("was" if tense == "past" else "is",))
        verb = getattr(FAIRE if cold else ETRE, form)[2]
        tokens: French = [("il", (it,)), (verb, places), (french, (d.say(english),))]
    else:
        present, past, base, _ = d.pick(words.WEATHER_VERBS)
        conjugation = WEATHER[base]
        places = d.say_all(("will", base) if tense == "future" else (past if tense == "past" else present,))
        tokens = [("il", (it,))]
        if tense == "past":
            tokens += [("a", places), (conjugation.participle, places)]
        else:
            tokens.append((getattr(conjugation, form)[2], places))
    if rest >= 2:
        tokens += prepositions.in_place(d, rest)
    elif rest == 1:
        tokens += prepositions.time(d, 1, tense)
    return tokens


def existential(d: Draft, size: int, tense: str, slot: int) -> French:
    """There is a cat in the garden; ``size`` counts "there" and, without a slot, "is"."""
    d.tags.add("existential")
    asked = slot >= 0
    there = d.say("there")
    noun = d.pick(nouns_of("PAOVTC"))
    plural = d.chance(0.5)
    form = (BE_PAST if tense == "past" else BE_PRESENT)[4 if plural else 2]
    if asked:
        d.english[slot] = form
        place = slot
    else:
        place = d.say(form)
    d.tags.add(tense)
    size -= 1 if asked else 2
    name = d.pick(("some", "numeral", "quantifier")) if plural else "a"
    adjectives = d.between(0, 1)
    chosen = noun_phrases.choose_adjectives(d, noun, adjectives)
    group = noun_phrases.noun_group(d, noun, plural, name, chosen)
    verb = "avait" if tense == "past" else "a"
    start: French = [("il", (there,)), ("y", (there,)), (verb, (place,))]
    return [*start, *group, *prepositions.place(d, size - 2 - adjectives, thing=noun.kind in "OTC")]
