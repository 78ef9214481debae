"""Questions, all with est-ce que in French: yes or no, why and where, who, what, which book, how many books."""

from regard.data.corpus import clauses, verb_phrases
from regard.data.corpus import function_words as words
from regard.data.corpus.choices import nouns_of
from regard.data.corpus.draft import Draft, French, Phrase


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
    length = clauses.subject_size(d, size - 1, 5)
    if size < 5 or (size == 5 and tense == "future"):
        length, subject = 1, verb_phrases.person(d, 1)
    else:
        subject = clauses.subject_phrase(d, length)
    rest = verb_phrases.verb_phrase(d, size - 1 - length, subject, tense, slot)
    return slot, [*subject.french, *rest]


def _yes_or_no(d: Draft, size: int, tense: str) -> French:
    if size >= 7 and d.fresh and d.chance(0.12):
        slot = d.say("")
        rest = clauses.existential(d, size - 1, "present", slot)
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
