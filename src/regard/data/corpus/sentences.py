"""Sentences of an exact length: clauses joined by conjunctions until the words are used up."""

from regard.data.corpus import clauses, questions
from regard.data.corpus import function_words as words
from regard.data.corpus.draft import Draft, French

_LONGEST = 13  # words of a clause before another clause is joined
_OPENINGS = {english: french for english, french, _ in words.SUBORDINATORS if english in ("when", "if", "because")}
_COORDINATORS = frozenset(row[0] for row in words.COORDINATORS)
_NOT_IN_QUESTION = _COORDINATORS | {"since", "whereas"}


def _following(tense: str, asked: bool) -> list[tuple[str, tuple[str, ...], tuple[str, ...]]]:
    """The conjunctions that can follow a clause, with the tenses of the next one; a question takes fewer."""
    allowed: list[tuple[str, tuple[str, ...], tuple[str, ...]]] = []
    for english, french, pairs in words.SUBORDINATORS + words.COORDINATORS:
        following = tuple(pair.split()[1] for pair in pairs if pair.startswith(tense))
        if following and not (asked and english in _NOT_IN_QUESTION):
            allowed.append((english, french, following))
    return allowed


_JOINING = {
    (tense, asked): _following(tense, asked) for tense in ("present", "past", "future") for asked in (False, True)
}


def sentence(d: Draft, size: int) -> tuple[French, bool]:
    """A sentence of exactly ``size`` words, and whether it asks."""
    chance = d.random()
    tense = "present" if chance < 0.5 else "past" if chance < 0.82 else "future"
    if size == 3 and tense == "future":
        tense = "present"
    asks = size >= 3 and d.chance(0.2)
    d.in_question = asks
    french: French = []
    used: set[str] = set()
    if not asks and size >= 8 and tense != "future" and d.chance(0.22):
        opening = "when" if tense == "past" else d.pick(("when", "if", "because"))
        length = d.between(3, min(size - 4, 10))
        french += _joined(d, opening, _OPENINGS[opening])
        french += [*clauses.statement(d, length - 1, tense), (",", (d.say(","),))]
        size -= length
        used.add(opening)
        d.tags.add("subordinate")
    opens = not used
    first = True
    while size > _LONGEST or (size >= 8 and d.chance(0.35)):
        english, conjunction, following = _conjunction(d, tense, used, asks)
        taken = len(english.split())
        if size < taken + 7:
            break
        length = d.between(4, min(size - taken - 3, _LONGEST - 1))
        french += _clause(d, length, tense, asks and first, opens)
        if english in ("but", "so", "whereas", "since"):
            french.append((",", (d.say(","),)))
        french += _joined(d, english, conjunction)
        opens = english in _COORDINATORS
        d.tags.add("coordination" if opens else "subordinate")
        size -= length + taken
        tense, first = following, False
    return french + _clause(d, size, tense, asks and first, opens), asks


def _clause(d: Draft, size: int, tense: str, asked: bool, opens: bool) -> French:
    return questions.question(d, size, tense) if asked else clauses.statement(d, size, tense, opens)


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
