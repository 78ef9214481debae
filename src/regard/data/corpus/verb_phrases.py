"""Verb phrases to an exact number of words: the verb, its complements and what else is said of it."""

from regard.data.corpus import complements, noun_phrases, predicates
from regard.data.corpus import function_words as words
from regard.data.corpus.choices import nouns_of, verbs_with_object, verbs_with_subject
from regard.data.corpus.draft import Draft, French, Phrase
from regard.data.corpus.finite import finite, head_words, infinitive
from regard.data.corpus.holdout import held_name
from regard.data.corpus.lexicon import MODALS, Verb

# How often each frame is tried for a person: name, share.
_FRAMES = (
    ("TRANSITIVE", 0.40),
    ("INTRANSITIVE", 0.53),
    ("REFLEXIVE", 0.60),
    ("DATIVE", 0.68),
    ("INDIRECT", 0.75),
    ("OBLIQUE", 0.84),
    ("COPULA", 0.93),
    ("CONTROL", 1.0),
)
# English words a frame needs after its verb.
_LEAST = {
    "TRANSITIVE": 1,
    "INTRANSITIVE": 0,
    "REFLEXIVE": 0,
    "DATIVE": 3,
    "INDIRECT": 1,
    "OBLIQUE": 1,
    "COPULA": 1,
    "CONTROL": 1,
    "CLAUSAL": 3,
}


def verb_phrase(d: Draft, size: int, subject: Phrase, tense: str, slot: int = -1, clauses: bool = False) -> French:
    """Say a verb phrase of ``size`` English words (without the auxiliary at ``slot``), and return its French."""
    asked = slot >= 0
    for attempt in range(200):
        frame = _frame(d, subject, size == 1 and not asked, clauses and tense == "present" and not asked)
        verb = _verb(d, frame, subject, attempt)
        if frame != "COPULA" and (verb is None or (tense == "past" and not verb.past)):
            continue
        if verb is not None and verb.base in MODALS and tense == "future":
            continue
        polarity = "" if asked or attempt > 20 else _polarity(d, frame, verb)
        adverb = None
        if verb is not None and frame != "CONTROL" and not asked and attempt <= 20:
            adverb = _frequency(d, polarity, tense == "present" or verb.state)
        room = size - head_words(verb, tense, polarity, asked) - (adverb is not None)
        if room < complements.least(d, _LEAST[frame], frame, verb, subject):
            continue
        if verb is not None:
            _note_name(d, verb, subject)
        if verb is None:
            return predicates.copula(d, room, subject, tense, polarity, slot)
        head = finite(d, verb, subject, tense, polarity, slot, adverb)
        return complements.complete(d, head, verb, subject, room, tense, bool(polarity))
    raise AssertionError(f"no verb phrase of {size} words for {subject.kind} in the {tense}")


def _frame(d: Draft, subject: Phrase, alone: bool, clauses: bool) -> str:
    if subject.kind in "PA":
        if alone:
            return "INTRANSITIVE" if d.chance(0.8) else "REFLEXIVE"
        if clauses and subject.kind == "P" and d.chance(0.12):
            return "CLAUSAL"
        chance = d.random()
        return next(frame for frame, share in _FRAMES if chance < share)
    chance = d.random()
    return "COPULA" if chance < 0.4 else "TRANSITIVE" if chance < 0.55 else "INTRANSITIVE"


def _verb(d: Draft, frame: str, subject: Phrase, attempt: int) -> Verb | None:
    """A verb of the frame that all heads of the subject can take."""
    if frame == "COPULA":
        return None
    first = subject.nouns[0] if subject.nouns else None
    possible = verbs_with_subject(frame, subject.kind, first)
    if not possible:
        return None
    verb = d.pick(possible)
    for noun in subject.nouns[1:]:
        if not (verb.takes_subject(noun) or (noun.kind == "p" and "P" in verb.subjects)):
            return None
    if not allowed(d, verb, subject):
        return None
    return verb


def allowed(d: Draft, verb: Verb, subject: Phrase) -> bool:
    """Whether the split may say this verb of these names."""
    return d.fresh or not any(noun.kind == "p" and held_name(verb, noun) for noun in subject.nouns)


def _note_name(d: Draft, verb: Verb, subject: Phrase) -> None:
    if any(noun.kind == "p" and held_name(verb, noun) for noun in subject.nouns):
        d.tags.add("new name-verb")


def _polarity(d: Draft, frame: str, verb: Verb | None) -> str:
    if frame in ("CLAUSAL", "REFLEXIVE", "CONTROL") and not (d.fresh or frame == "CONTROL"):
        return ""
    if frame == "CLAUSAL" or (d.in_relative and not d.fresh):
        return ""
    chance = d.random()
    if chance > (0.35 if d.fresh and (d.in_relative or frame == "REFLEXIVE") else 0.2):
        return ""
    if verb is not None and verb.base in MODALS:
        return "not"
    return "not" if chance < 0.12 else "never" if chance < 0.16 else "no longer"


def _frequency(d: Draft, polarity: str, lasting: bool) -> tuple[str, str] | None:
    if polarity == "not":
        return d.pick(words.FREQUENCY[: words.NEGATABLE_FREQUENCY]) if d.chance(0.1) else None
    return d.pick(words.FREQUENCY if lasting else words.FREQUENCY[:-1]) if polarity == "" and d.chance(0.1) else None


def infinitive_phrase(d: Draft, size: int, subject: Phrase, negated: bool) -> French:
    """Say an infinitive with its complements in ``size`` words."""
    for attempt in range(200):
        frame = _frame(d, subject, size == 1, False)
        if frame in ("COPULA", "CONTROL") or (frame == "REFLEXIVE" and negated and not d.fresh):
            continue
        verb = _verb(d, frame, subject, attempt)
        if verb is None or (verb.frame == "TRANSITIVE" and verb.state):
            continue
        room = size - 1 - len(verb.particles)
        if room < complements.least(d, _LEAST[frame], frame, verb, subject):
            continue
        _note_name(d, verb, subject)
        if frame == "REFLEXIVE" and negated:
            d.tags.add("negated reflexive")
        return complements.complete(d, infinitive(d, verb), verb, subject, room, "present", negated)
    raise AssertionError(f"no infinitive phrase of {size} words")


def intransitive(d: Draft, size: int, subject: Phrase, tense: str, slot: int = -1) -> French:
    """A verb phrase without complement."""
    while True:
        verb = d.pick(verbs_with_subject("INTRANSITIVE", "P", None))
        room = size - head_words(verb, tense, "", slot >= 0)
        if room >= 0 and allowed(d, verb, subject):
            break
        if room < 0:
            tense = "present"
    _note_name(d, verb, subject)
    head = finite(d, verb, subject, tense, "", slot)
    return complements.complete(d, head, verb, subject, room, tense, False)


def short_subject(d: Draft, room: int) -> tuple[Phrase, int]:
    """A personal subject of one to three words that leaves at least one of ``room``; with its length."""
    size = 1 if room < 5 else d.pick((1, 1, 2, 3))
    return person(d, size), size


def person(d: Draft, size: int) -> Phrase:
    """A pronoun or name, or a noun phrase for somebody."""
    if size == 1:
        if d.chance(0.55):
            english, french, number, feminine, plural = d.pick(words.SUBJECT_PRONOUNS)
            return Phrase([(french, (d.say(english),))], person=number, feminine=feminine, plural=plural)
        return noun_phrases.noun_phrase(d, d.pick(nouns_of("p")), 1)
    return noun_phrases.noun_phrase(d, d.pick(nouns_of("P")), size, "subject")


def with_gap(d: Draft, size: int, head: Phrase, tense: str, slot: int = -1, hidden: bool = False) -> French:
    """Subject and verb whose object ``head`` stands before: "(that) Marie reads", "(what) did you see"."""
    asked = slot >= 0
    noun = head.nouns[0]
    for _ in range(200):
        verb = d.pick(verbs_with_object(noun).seen)
        if tense == "past" and not verb.past:
            continue
        if size - 1 - head_words(verb, tense, "", asked) >= 0:
            break
    else:
        tense = "present"
        verb = next(v for v in verbs_with_object(noun).seen if len(v.particles) == 0)
    if d.fresh and not hidden and verbs_with_object(noun).held and d.chance(0.3):
        other = d.pick(verbs_with_object(noun).held)
        if (tense != "past" or other.past) and size - 1 >= head_words(other, tense, "", asked):
            verb = other
            d.tags.add("new verb-object")
    least = head_words(verb, tense, "", asked)
    length = 1 if size - least < 5 else d.pick((1, 1, 2, 3))
    while True:
        mark = len(d.english)
        subject = person(d, length)
        if allowed(d, verb, subject):
            break
        del d.english[mark:]
    _note_name(d, verb, subject)
    finite_verb = finite(d, verb, subject, tense, "", slot)
    middle, end = complements.adverbials(d, size - length - least, verb, subject, tense, with_object=True)
    agreement = (head.feminine, head.plural)
    return [*subject.french, *finite_verb.write([], agreement), *middle, *end]
