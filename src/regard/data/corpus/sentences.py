"""Clauses and sentences: statements, questions, and how clauses join into long sentences."""

from regard.data.corpus import function_words as words
from regard.data.corpus import noun_phrases, prepositions, verb_phrases
from regard.data.corpus.choices import nouns_of
from regard.data.corpus.draft import Draft, French, Phrase
from regard.data.corpus.lexicon import ETRE, FAIRE, WEATHER
from regard.data.corpus.morphology_en import BE_PAST, BE_PRESENT

_LONGEST = 13  # words of a clause before another clause is joined
_OPENINGS = {english: french for english, french, _ in words.SUBORDINATORS if english in ("when", "if", "because")}
_NOT_AFTER_QUESTION = frozenset(("since", "whereas", *(row[0] for row in words.COORDINATORS)))


def _following(tense: str, asked: bool) -> list[tuple[str, tuple[str, ...], tuple[str, ...]]]:
    """The conjunctions that can follow a clause, with the tenses of the next one; a question takes no coordinator."""
    allowed = []
    for english, french, pairs in words.SUBORDINATORS + words.COORDINATORS:
        following = tuple(pair.split()[1] for pair in pairs if pair.startswith(tense))
        if following and not (asked and english in _NOT_AFTER_QUESTION):
            allowed.append((english, french, following))
    return allowed


_JOINING = {
    (tense, asked): _following(tense, asked) for tense in ("present", "past", "future") for asked in (False, True)
}


def _subject(d: Draft, size: int) -> Phrase:
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


def _subject_size(d: Draft, size: int, most: int = 7) -> int:
    """How many of a clause's words its subject gets; enough are left for a verb phrase about a thing."""
    room = min(size - 3, most)
    if room < 2 or d.chance(0.42):
        return 1
    return min(d.between(2, room), d.between(2, room))


def statement(d: Draft, size: int, tense: str) -> French:
    """A clause of ``size`` >= 2 words that states something."""
    if tense == "future" and size < 3:
        tense = "present"
    chance = d.random()
    if chance < 0.035:
        weather = _weather(d, size, tense)
        if weather:
            return weather
    if chance > 0.965 and size >= 7 and tense != "future":
        return _existential(d, size, tense, -1)
    if size >= 6 and chance > 0.87:
        return _fronted(d, size, tense)
    if size >= 7 and chance > 0.8:
        return _two_verbs(d, size, tense)
    length = _subject_size(d, size)
    shortest = size == 2 or (size == 3 and tense == "future")
    subject = verb_phrases.person(d, 1) if shortest else _subject(d, length)
    return [*subject.french, *verb_phrases.verb_phrase(d, size - length, subject, tense, clauses=not d.in_relative)]


def _fronted(d: Draft, size: int, tense: str) -> French:
    """Tomorrow, Marie will sleep; in winter, ..."""
    length = d.between(1, 2)
    when = prepositions.time(d, length, tense, fronted=True)
    d.timed = True
    comma = (",", (d.say(","),))
    subject_size = _subject_size(d, size - length, 4)
    subject = _subject(d, subject_size)
    rest = verb_phrases.verb_phrase(d, size - length - subject_size, subject, tense)
    d.timed = False
    return [*when, comma, *subject.french, *rest]


def _two_verbs(d: Draft, size: int, tense: str) -> French:
    """Marie sings and dances."""
    d.tags.add("coordination")
    length = min(_subject_size(d, size - 3), size - 6)
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


def _existential(d: Draft, size: int, tense: str, slot: int) -> French:
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
    return [*start, *group, *prepositions.place(d, size - 2 - adjectives)]


def question(d: Draft, size: int, tense: str) -> French:
    """A question of ``size`` >= 3 words."""
    d.tags.add("question")
    chance = d.random()
    if size < 4 or chance < 0.45:
        return _yes_or_no(d, size, tense)
    d.tags.add("question word")
    if chance < 0.68:
        return _with_adverb(d, size, tense)
    if chance < 0.8:
        return _who(d, size, tense)
    return _about_object(d, size, tense)


def _est_ce_que(d: Draft, slot: int) -> French:
    """Est-ce que, linked to the do of a question and to nothing where English inverts."""
    places = (slot,) if d.english[slot] in ("do", "does", "did") else ()
    return [("est-ce", places), ("que", places)]


def _asked(d: Draft, size: int, tense: str) -> tuple[int, French]:
    """Auxiliary, subject and verb phrase in ``size`` words; the auxiliary's place and the French after est-ce que."""
    slot = d.say("")
    length = _subject_size(d, size - 1, 5)
    if size < 5 or (size == 5 and tense == "future"):
        length, subject = 1, verb_phrases.person(d, 1)
    else:
        subject = _subject(d, length)
    rest = verb_phrases.verb_phrase(d, size - 1 - length, subject, tense, slot)
    return slot, [*subject.french, *rest]


def _yes_or_no(d: Draft, size: int, tense: str) -> French:
    if size >= 7 and d.fresh and d.chance(0.12):
        slot = d.say("")
        rest = _existential(d, size - 1, "present", slot)
        d.tags.add("existential question")
    else:
        slot, rest = _asked(d, size, tense)
    return [*_est_ce_que(d, slot), *rest]


def _with_adverb(d: Draft, size: int, tense: str) -> French:
    english, french = d.pick(words.QUESTION_ADVERBS)
    word = (french, (d.say(english),))
    slot, rest = _asked(d, size - 1, tense)
    return [word, *_est_ce_que(d, slot), *rest]


def _who(d: Draft, size: int, tense: str) -> French:
    """Who sleeps?"""
    subject = Phrase([("qui", (d.say("who"),))])
    return [*subject.french, *verb_phrases.verb_phrase(d, size - 1, subject, tense)]


def _about_object(d: Draft, size: int, tense: str) -> French:
    """What does Marie see? Whom, which book, how many books?"""
    if tense == "future":
        tense = "present"
    start = len(d.english)
    chance = d.random()
    noun = d.pick(nouns_of("P" if chance < 0.2 else "AOTCVLF"))
    if chance < 0.2:
        asked: French = [("qui", (d.say("whom"),))]
        head = Phrase([], nouns=(noun,))
    elif chance < 0.45 or size < 5:
        asked = [("que", (d.say("what"),))]
        head = Phrase([], nouns=(noun,))
    elif chance < 0.75 or size < 6:
        plural = d.chance(0.4)
        place = d.say("which")
        form = ("quelle" if noun.feminine else "quel") + ("s" if plural else "")
        noun_place = d.say(noun.english_plural if plural else noun.english)
        asked = [(form, (place,)), (noun.french_plural if plural else noun.french, (noun_place,))]
        head = Phrase([], nouns=(noun,), feminine=noun.feminine, plural=plural)
    else:
        places = d.say_all(("how", "many"))
        asked = [("combien", places), ("de", places), (noun.french_plural, (d.say(noun.english_plural),))]
        head = Phrase([], nouns=(noun,), feminine=noun.feminine, plural=True)
    slot = d.say("")
    hidden = len(asked) == 1  # what and whom do not name the object
    rest = verb_phrases.with_gap(d, size - (len(d.english) - start), head, tense, slot, hidden)
    return [*asked, *_est_ce_que(d, slot), *rest]


def sentence(d: Draft, size: int) -> tuple[French, bool]:
    """A sentence of exactly ``size`` words, and whether it asks."""
    chance = d.random()
    tense = "present" if chance < 0.5 else "past" if chance < 0.82 else "future"
    if size == 3 and tense == "future":
        tense = "present"
    asks = size >= 3 and d.chance(0.2)
    d.in_question = asks
    french: French = []
    clause = question if asks else statement
    opening = "" if asks or size < 8 or tense == "future" or not d.chance(0.22) else d.pick(("when", "if", "because"))
    if opening == "if" and tense == "past":
        opening = "when"
    if opening:
        length = d.between(3, min(size - 4, 10))
        french += _joined(d, opening, _OPENINGS[opening])
        french += statement(d, length - 1, tense)
        french.append((",", (d.say(","),)))
        size -= length
        d.tags.add("subordinate")
    used: set[str] = {opening}
    while size > _LONGEST or (size >= 8 and d.chance(0.35)):
        english, conjunction, following = _conjunction(d, tense, used, clause is question)
        taken = len(english.split())
        if size < taken + 7:
            break
        length = d.between(4, min(size - taken - 3, _LONGEST - 1))
        french += clause(d, length, tense)
        if english in ("but", "so", "whereas", "since"):
            french.append((",", (d.say(","),)))
        french += _joined(d, english, conjunction)
        d.tags.add("coordination" if english in ("and", "or", "but", "so") else "subordinate")
        size -= length + taken
        tense, clause = following, statement
    return french + clause(d, size, tense), asks


def _joined(d: Draft, english: str, french: tuple[str, ...]) -> French:
    places = d.say_all(english.split())
    return [(word, places) for word in french]


def _conjunction(d: Draft, tense: str, used: set[str], asked: bool) -> tuple[str, tuple[str, ...], str]:
    """A conjunction not yet used in the sentence, while there is one, and the tense that follows it."""
    rows = _JOINING[tense, asked]
    for _ in range(30):
        english, french, following = d.pick(rows)
        if english not in used:
            break
    used.add(english)
    return english, french, d.pick(following)
