"""The verb with its auxiliaries, negation and clitics: "does not often sleep", ne dort pas souvent.

English words are said here; the French is kept in pieces, because clitics and participles depend on what comes later.
"""

from regard.data.corpus import function_words as words
from regard.data.corpus.conjugation import Conjugation
from regard.data.corpus.draft import Draft, French, Phrase, Token
from regard.data.corpus.lexicon import AVOIR, ETRE, MODALS, Verb
from regard.data.corpus.morphology_en import BE_PAST, BE_PRESENT
from regard.data.corpus.morphology_fr import agree

_AFTER = {"not": "pas", "never": "jamais", "no longer": "plus"}


class Head:
    """The verb of a phrase: its French pieces, and the English places that other French words link to."""

    __slots__ = ("after", "before", "main", "participle", "particles", "verb")

    def __init__(
        self,
        before: French,
        verb: Token,
        after: French,
        participle: tuple[Conjugation, tuple[int, ...]] | None,
        main: tuple[int, ...],
        particles: tuple[int, ...],
    ) -> None:
        self.before = before  # ne
        self.verb = verb
        self.after = after  # pas, and adverbs that follow the finite verb
        self.participle = participle
        self.main = main
        self.particles = particles

    def write(self, clitics: French, agreement: tuple[bool, bool]) -> French:
        """Ne + clitics + verb + pas + adverbs + participle; ``agreement`` is (feminine, plural)."""
        french = [*self.before, *clitics, self.verb, *self.after]
        if self.participle is not None:
            conjugation, places = self.participle
            french.append((agree(conjugation.participle, *agreement), places))
        return french


def head_words(verb: Verb | None, tense: str, polarity: str, asked: bool) -> int:
    """English words of the verb with auxiliaries, negation and particles, without the one moved in a question."""
    negation = len(polarity.split())
    if verb is None or verb.base in MODALS:
        if verb is not None and verb.base == "can" and tense == "present" and polarity == "not":
            negation = 0  # cannot
        return negation + (0 if asked else 1) + (1 if tense == "future" else 0)
    helper = tense == "future" or polarity == "not"
    return negation + (1 if helper and not asked else 0) + 1 + len(verb.particles)


def finite(
    d: Draft,
    verb: Verb | None,
    subject: Phrase,
    tense: str,
    polarity: str = "",
    slot: int = -1,
    adverb: tuple[str, str] | None = None,
    with_avoir: bool = False,
) -> Head:
    """Say the finite verb. ``verb`` None is the copula; ``slot`` is the place kept for an auxiliary in a question."""
    lead, main = _english(verb, subject.person, tense, polarity, slot >= 0)
    places: tuple[int, ...] = ()
    if lead:
        if slot >= 0:
            d.english[slot] = lead
            places = (slot,)
        else:
            places = (d.say(lead),)
    negation = places if lead == "cannot" else d.say_all(polarity.split())
    adverbs: French = [(adverb[1], (d.say(adverb[0]),))] if adverb else []
    main_places = (d.say(main),) if main else ()
    particles = d.say_all(verb.particles) if verb else ()
    _note(d, tense, polarity)

    conjugation = verb.conjugation if verb else AVOIR if with_avoir else ETRE
    before: French = [("ne", negation)] if polarity else []
    after: French = [(_AFTER[polarity], negation)] if polarity else []
    after += adverbs
    joined = particles if verb and not verb.preposition and verb.frame != "CONTROL" else ()
    person = subject.person
    if tense == "past" and verb is not None and not verb.state:
        auxiliary = ETRE if conjugation.with_etre else AVOIR
        linked = places or main_places
        participle = (conjugation, main_places + joined)
        return Head(before, (auxiliary.present[person], linked), after, participle, main_places, particles)
    forms = {"present": conjugation.present, "past": conjugation.imperfect, "future": conjugation.future}[tense]
    # "do" only carries the question or the negation; be, can and will are the verb or its tense.
    helper = () if lead in ("do", "does", "did") else places
    linked = helper + main_places + joined
    return Head(before, (forms[person], linked), after, None, main_places or places, particles)


def _english(verb: Verb | None, person: int, tense: str, polarity: str, asked: bool) -> tuple[str, str]:
    """The auxiliary that comes first, or "", and the main verb, or ""."""
    if tense == "future":
        return "will", "be" if verb is None else verb.base
    if verb is None:
        return (BE_PAST if tense == "past" else BE_PRESENT)[person], ""
    if verb.base in MODALS:
        if tense == "past":
            return verb.past, ""
        return ("cannot" if verb.base == "can" and polarity == "not" else verb.base), ""
    if asked or polarity == "not":
        return ("did" if tense == "past" else "does" if person == 2 else "do"), verb.base
    if tense == "past":
        return "", verb.past
    return "", verb.third if person == 2 else verb.base


def _note(d: Draft, tense: str, polarity: str) -> None:
    d.tags.add(tense)
    if polarity:
        d.tags.add("negation")
        if d.in_relative:
            d.tags.add("negation in a relative")


def infinitive(d: Draft, verb: Verb | None) -> Head:
    """Say an infinitive; ``verb`` None is the copula."""
    place = d.say(verb.base if verb else "be")
    particles = d.say_all(verb.particles) if verb else ()
    joined = particles if verb and not verb.preposition and verb.frame != "CONTROL" else ()
    conjugation = verb.conjugation if verb else ETRE
    return Head([], (conjugation.infinitive, (place, *joined)), [], None, (place,), particles)


def reflexive_clitic(head: Head, subject: Phrase) -> French:
    """Me, vous, se, nous: linked to the whole English verb."""
    return [(words.REFLEXIVE_CLITICS[subject.person], head.main + head.particles)]
