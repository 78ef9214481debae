"""What follows a noun: relative clauses (who sleeps, that Marie reads, where we live) and prepositional phrases."""

from regard.data.corpus import function_words as words
from regard.data.corpus import noun_phrases, prepositions, verb_phrases
from regard.data.corpus.choices import nouns_of, verbs_with_object
from regard.data.corpus.draft import Draft, French, Phrase


def after_noun(d: Draft, head: Phrase, size: int, determiner: str) -> French:
    """Say ``size`` >= 2 English words after the noun of ``head``, and return their French."""
    kind = head.kind
    if d.in_relative or size > 9:
        return _prepositional(d, head, size, determiner)
    chance = d.random()
    if size == 2 and kind not in "PA":
        return _prepositional(d, head, size, determiner)
    if kind in "XYMD" and determiner == "":
        return subject_relative(d, head, size)
    if kind == "L" and size >= 3 and chance < 0.3:
        return where_relative(d, head, size)
    if size >= 3 and chance < 0.45 and verbs_with_object(head.nouns[0]).seen:
        return object_relative(d, head, size)
    if chance < (0.75 if kind in "PA" else 0.6):
        return subject_relative(d, head, size)
    return _prepositional(d, head, size, determiner)


def _prepositional(d: Draft, head: Phrase, size: int, determiner: str) -> French:
    """Of the king, about music, with Marie, in the garden."""
    kind = head.kind
    if size >= 3 and kind in "XY" and determiner == "the":
        noun = d.pick(nouns_of("P" if kind == "Y" else "PL"))
        return prepositions.say_preposition(d, ("of", ("de",))) + noun_phrases.noun_phrase(d, noun, size - 1).french
    if (kind == "T" or "about" in head.nouns[0].marks) and d.chance(0.5):
        about = prepositions.say_preposition(d, (words.ABOUT[0], (words.ABOUT[1],)))
        noun = d.pick(nouns_of("X" if size == 2 else "XPALN"))
        return about + noun_phrases.noun_phrase(d, noun, size - 1).french
    if kind == "P" and size == 2 and d.chance(0.4):
        return prepositions.company(d, size)
    return prepositions.place(d, size, thing=kind in "OTFCMD")


class _Relative:
    """Marks the inside of a relative clause, so that relatives do not nest."""

    def __init__(self, d: Draft) -> None:
        self.d = d

    def __enter__(self) -> None:
        self.d.in_relative = True

    def __exit__(self, *_: object) -> None:
        self.d.in_relative = False


def _tense(d: Draft, size: int) -> str:
    """A relative clause has a tense of its own; the future needs a word more."""
    chance = d.random()
    return "future" if chance < 0.1 and size >= 4 else "past" if chance < 0.4 else "present"


def subject_relative(d: Draft, head: Phrase, size: int) -> French:
    """The man who sleeps, the car that is red."""
    d.tags.add("relative")
    place = d.say("who" if head.kind == "P" else "that")
    with _Relative(d):
        rest = verb_phrases.verb_phrase(d, size - 1, head, _tense(d, size))
    return [("qui", (place,)), *rest]


def object_relative(d: Draft, head: Phrase, size: int) -> French:
    """The book that Marie reads, the pears that we have eaten; the participle agrees with the noun."""
    d.tags.add("relative")
    d.tags.add("object relative")
    place = d.say("whom" if head.kind == "P" else "that")
    with _Relative(d):
        rest = verb_phrases.with_gap(d, size - 1, head, _tense(d, size))
    return [("que", (place,)), *rest]


def where_relative(d: Draft, head: Phrase, size: int) -> French:
    """The city where Marie works."""
    d.tags.add("relative")
    place = d.say("where")
    with _Relative(d):
        subject = verb_phrases.short_subject(d, size - 1)
        rest = verb_phrases.intransitive(d, size - 1 - subject[1], subject[0], _tense(d, size - 1))
    return [("où", (place,)), *subject[0].french, *rest]
