"""What completes a verb, frame by frame: objects, clitics, recipients, infinitives, clauses, adverbials."""

from regard.data.corpus import clauses, noun_phrases, prepositions, verb_phrases, verbs
from regard.data.corpus import function_words as words
from regard.data.corpus.choices import GENERIC, nouns_of, objects_of
from regard.data.corpus.draft import Draft, French, Phrase, Token
from regard.data.corpus.finite import Head, reflexive_clitic
from regard.data.corpus.lexicon import MODALS, Noun, Verb

_MOVING = frozenset({"run", "walk", "swim", "travel", "stroll"})
_ACTIONS = frozenset(verbs.ACTIONS.split())
_SKILLS = frozenset(verbs.SKILLS.split())
_TAG = "new verb-object"


def least(d: Draft, usual: int, frame: str, verb: Verb | None, subject: Phrase) -> int:
    """How many words a frame needs after its verb, in this split and sentence."""
    if frame == "TRANSITIVE":
        assert verb is not None
        one_word = _clitic_possible(d) or verb.base in GENERIC or any(n.kind in "XY" for n in objects_of(verb).seen)
        return 1 if one_word else 2
    if frame == "DATIVE":
        return usual if _clitic_possible(d) else usual + 1
    if frame == "OBLIQUE":
        assert verb is not None
        return 1 if verb.objects & {"P", "X", "Y"} else 2
    return usual


def _clitic_possible(d: Draft) -> bool:
    """Train never asks a question with an object pronoun in it."""
    return d.fresh or not d.in_question


def complete(d: Draft, head: Head, verb: Verb, subject: Phrase, room: int, tense: str, negated: bool) -> French:
    """Say ``room`` English words after the verb, and return the French of the whole verb phrase."""
    agreement = (subject.feminine, subject.plural) if verb.conjugation.with_etre else (False, False)
    if verb.frame == "TRANSITIVE":
        return _transitive(d, head, verb, subject, room, tense, negated)
    if verb.frame == "DATIVE":
        return _dative(d, head, verb, subject, room, negated)
    if verb.frame == "INDIRECT":
        return _indirect(d, head, verb, subject, room, tense)
    if verb.frame == "OBLIQUE":
        return _oblique(d, head, verb, subject, room, agreement, tense)
    if verb.frame == "CONTROL":
        return _control(d, head, verb, subject, room, negated)
    if verb.frame == "CLAUSAL":
        that = ("que", (d.say("that"),))
        d.tags.add("clause as object")
        clause = clauses.statement(d, room - 1, d.pick(("present", "present", "past", "future")))
        return [*head.write([], agreement), that, *clause]
    clitics: French = []
    if verb.reflexive:
        d.tags.add("reflexive")
        clitics = reflexive_clitic(head, subject)
        if head.before:
            d.tags.add("negated reflexive")
    if verb.base in _SKILLS and not verb.reflexive and room == 1 and d.chance(0.35):
        english, french = d.pick(words.SHORT_MANNER)
        head.after.append((french, (d.say(english),)))
        return head.write(clitics, agreement)
    middle, end = adverbials(d, room, verb, subject, tense)
    return [*head.write(clitics, agreement), *middle, *end]


def _object_noun(d: Draft, verb: Verb, size: int) -> Noun | None:
    """An object of the verb that can be said in ``size`` words."""
    partners = objects_of(verb)
    for _ in range(12):
        held = d.fresh and bool(partners.held) and d.chance(0.3)
        noun = d.pick(partners.held if held else partners.seen)
        if size >= 2 or noun.kind in "XY" or (verb.base in GENERIC and not noun.mass):
            if held:
                d.tags.add(_TAG)
            return noun
    return None


def objects(d: Draft, verb: Verb, size: int, role: str, repeated: Token | None = None) -> Phrase:
    """One object or two joined ones in ``size`` words; French says à and de again before the second: ``repeated``."""
    if size >= 3 and d.chance(0.12 if size < 6 else 0.4):
        first = 1 if size == 3 else d.between(2, size - 3) if size >= 5 else 1
        one, other = _object_noun(d, verb, first), _object_noun(d, verb, size - 1 - first)
        if one is not None and other is not None and one is not other and (role != "negated" or first == 1):
            d.tags.add("coordination")
            generic = verb.base in GENERIC
            phrase = noun_phrases.noun_phrase(d, one, first, role, generic=first == 1 or generic)
            english, french = d.pick((("and", "et"), ("or", "ou"))) if role != "negated" else ("and", "et")
            conjunction = (french, (d.say(english),))
            second = noun_phrases.noun_phrase(d, other, size - 1 - first, role, generic=generic)
            again = [repeated] if repeated else []
            return Phrase([*phrase.french, conjunction, *again, *second.french], nouns=(one, other), plural=True)
    noun = _object_noun(d, verb, size)
    if noun is None:
        return Phrase([])
    generic = verb.base in GENERIC and (size == 1 or noun.mass or d.chance(0.5))
    return noun_phrases.noun_phrase(d, noun, size, role, generic=generic)


def _pronoun(d: Draft, verb_objects: frozenset[str], subject: Phrase) -> tuple[str, str, str, int, bool, bool] | None:
    """An object pronoun the verb can take and that is not the subject itself."""
    people = "P" in verb_objects
    english, direct, indirect, _, person, feminine, plural = d.pick(
        (*words.OBJECT_PRONOUNS, words.IT) if people else (words.IT, words.OBJECT_PRONOUNS[5])
    )
    if (person == subject.person and person in (0, 1, 3)) or {person, subject.person} == {0, 3}:
        return None
    if english == "it" and verb_objects == {"P"}:
        return None
    return english, direct, indirect, person, feminine, plural


def _clitic(d: Draft, verb_objects: frozenset[str], subject: Phrase) -> tuple[str, str, str, int, bool, bool]:
    while True:
        pronoun = _pronoun(d, verb_objects, subject)
        if pronoun is not None:
            d.tags.add("clitic")
            if d.in_question:
                d.tags.add("clitic in a question")
            return pronoun


def _transitive(d: Draft, head: Head, verb: Verb, subject: Phrase, room: int, tense: str, negated: bool) -> French:
    if _clitic_possible(d) and d.chance(0.6 if room == 1 else 0.18):
        return _with_clitic(d, head, verb, subject, room, tense)
    if room == 1:
        phrase = objects(d, verb, 1, "object")
        if phrase.french:
            return [*head.write([], (False, False)), *phrase.french]
        if not _clitic_possible(d):
            noun = next(n for n in objects_of(verb).seen if n.kind in "XY" or not n.mass)
            phrase = noun_phrases.noun_phrase(d, noun, 1, generic=True)
            return [*head.write([], (False, False)), *phrase.french]
        return _with_clitic(d, head, verb, subject, room, tense)
    size = room if room <= 3 or d.chance(0.35) else d.between(2, min(room, 8))
    phrase = objects(d, verb, size, "negated" if negated else "object")
    middle, end = adverbials(d, room - size, verb, subject, tense, with_object=True)
    return [*head.write([], (False, False)), *middle, *phrase.french, *end]


def _with_clitic(d: Draft, head: Head, verb: Verb, subject: Phrase, room: int, tense: str) -> French:
    english, direct, _, _, feminine, plural = _clitic(d, verb.objects, subject)
    clitic = (direct, (d.say(english),))
    middle, end = adverbials(d, room - 1, verb, subject, tense, with_object=True)
    return [*head.write([clitic], (feminine, plural)), *middle, *end]


def _dative(d: Draft, head: Head, verb: Verb, subject: Phrase, room: int, negated: bool) -> French:
    """Gives him the book; gives it to Marie; gives the book to the old teacher."""
    role = "negated" if negated else "object"
    d.tags.add("recipient")
    if _clitic_possible(d) and d.chance(0.35):
        english, _, indirect, *_ = _clitic(d, frozenset("P"), subject)
        clitic = (indirect, (d.say(english),))
        phrase = objects(d, verb, room - 1, role)
        return [*head.write([clitic], (False, False)), *phrase.french]
    if room == 3 or (_clitic_possible(d) and d.chance(0.2)):
        english, direct, _, _, feminine, plural = _clitic(d, frozenset("O"), subject)
        clitic = (direct, (d.say(english),))
        return [*head.write([clitic], (feminine, plural)), *_recipient(d, room - 1)]
    size = d.between(2, min(room - 2, 7))
    phrase = objects(d, verb, size, role)
    recipient = _recipient(d, room - size)
    return [*head.write([], (False, False)), *phrase.french, *recipient]


def _recipient(d: Draft, size: int) -> French:
    to = ("à", (d.say("to"),))
    noun = d.pick(nouns_of("p" if size == 2 else "P"))
    return [to, *noun_phrases.noun_phrase(d, noun, size - 1).french]


def _indirect(d: Draft, head: Head, verb: Verb, subject: Phrase, room: int, tense: str) -> French:
    """Obeys her, lui obéit; speaks to Paul, parle à Paul."""
    if _clitic_possible(d) and (d.chance(0.4)):
        english, _, indirect, *_ = _clitic(d, frozenset("P"), subject)
        clitic = (indirect, (d.say(english), *head.particles))
        middle, end = adverbials(d, room - 1, verb, subject, tense)
        return [*head.write([clitic], (False, False)), *middle, *end]
    size = room if room <= 3 else d.between(2, min(room, 7))
    noun = d.pick(nouns_of("p" if size == 1 else "P"))
    preposition = (verb.preposition, head.particles or head.main)
    phrase = noun_phrases.noun_phrase(d, noun, size)
    middle, end = adverbials(d, room - size, verb, subject, tense, with_object=True)
    return [*head.write([], (False, False)), *middle, preposition, *phrase.french, *end]


def _oblique(
    d: Draft, head: Head, verb: Verb, subject: Phrase, room: int, agreement: tuple[bool, bool], tense: str
) -> French:
    """Thinks about him, pense à lui; goes to the market, va au marché."""
    preposition = (verb.preposition, head.particles or head.main)
    size = room if room <= 3 else d.between(2, min(room, 8))
    if size == 1:
        single = [noun for noun in objects_of(verb).seen if noun.kind in "XY"]
        if "P" in verb.objects and (not single or d.chance(0.6)):
            if d.chance(0.5):
                phrase = Phrase(prepositions.stressed(d, subject.person))
            else:
                phrase = noun_phrases.noun_phrase(d, d.pick(nouns_of("p")), 1)
        else:
            phrase = noun_phrases.noun_phrase(d, d.pick(single), 1)
    else:
        repeated = preposition if verb.preposition in ("à", "de") else None
        phrase = objects(d, verb, size, "complement", repeated)
    middle, end = adverbials(d, room - size, verb, subject, tense, with_object=True, place=verb.objects != {"L"})
    return [*head.write([], agreement), *middle, preposition, *phrase.french, *end]


def _control(d: Draft, head: Head, verb: Verb, subject: Phrase, room: int, negated: bool) -> French:
    """Can swim, peut nager; tries to see it, essaie de le voir."""
    d.tags.add("infinitive")
    preposition: French = [(verb.preposition, head.particles)] if verb.preposition else []
    rest = verb_phrases.infinitive_phrase(d, room, subject, bool(head.before))
    if head.particles and not verb.preposition:
        rest = _link_to_infinitive(rest, head.particles)
    assert verb.base in MODALS or head.particles
    return [*head.write([], (False, False)), *preposition, *rest]


def _link_to_infinitive(rest: French, particles: tuple[int, ...]) -> French:
    """Link "to" to the infinitive, the first token that is not a clitic."""
    place = 1 if len(rest) > 1 and rest[0][0] in _CLITICS else 0
    form, places = rest[place]
    return [*rest[:place], (form, (*particles, *places)), *rest[place + 1 :]]


_CLITICS = frozenset(["me", "se", "le", "la", "les", "lui", "leur", "nous", "vous"])


def adverbials(
    d: Draft,
    room: int,
    verb: Verb,
    subject: Phrase,
    tense: str,
    with_object: bool = False,
    place: bool = True,
) -> tuple[French, French]:
    """Say exactly ``room`` words about how, where and when; French that follows the verb, and French at the end."""
    middle: French = []
    end: French = []
    if room == 0:
        return middle, end
    if verb.base in _ACTIONS and subject.kind in "PA" and d.chance(0.35):
        english, french = d.pick(words.MANNER)
        degree = room >= 2 and room != 3 and d.chance(0.2)
        if degree:
            middle.append(("très", (d.say("very"),)))
        middle.append((french, (d.say(english),)))
        room -= 1 + degree
    later = 0
    place = place and verb.base != "leave"
    if room == 1:
        later = 1 if not place or (not d.timed and d.chance(0.6)) else 0
    elif room >= 2 and not d.timed and d.chance(0.3):
        later = d.between(1, 2)
        if room - later == 1 and not place:
            later = room if room <= 2 else later - 1
    room -= later
    families = "pcex" if place else "cex"
    if room == 1:
        english, french = d.pick(words.PLACE_ADVERBS)
        end.append((french, (d.say(english),)))
    elif room >= 2:
        moving = verb.base in _MOVING
        if room >= 6 and d.chance(0.6):
            first = d.between(3, room - 3)
            order = [("p", "ce"), ("c", "ex"), ("p", "ex")] if place else [("c", "ex")]
            one, two = d.pick(order)
            end += prepositions.circumstance(d, first, moving, one)
            end += prepositions.circumstance(d, room - first, moving, two)
        else:
            end += prepositions.circumstance(d, room, moving, families)
    if later:
        end += prepositions.time(d, later, tense)
    return middle, end
