"""Sentences of an exact length: clauses joined by conjunctions until the words are used up."""

from regard.data.corpus import clauses, questions
from regard.data.corpus import function_words as words
from regard.data.corpus.draft import Draft, French

_LONGEST = 13  # words of a clause before another clause is joined
_OPENINGS = {english: french for english, french, _ in words.SUBORDINATORS if english in ("when", "if", "because")}
_NOT_AFTER_QUESTION = frozenset(("since", "whereas", *(row[0] for row in words.COORDINATORS)))


def _following(tense: str, asked: bool) -> list[tuple[str, tuple[str, ...], tuple[str, ...]]]:
    """The conjunctions that can follow a clause, with the tenses of the next one; a question takes no coordinator."""
    allowed: list[tuple[str, tuple[str, ...], tuple[str, ...]]] = []
    for english, french, pairs in words.SUBORDINATORS + words.COORDINATORS:
        following = tuple(pair.split()[1] for pair in pairs if pair.startswith(tense))
        if following and not (asked and english in _NOT_AFTER_QUESTION):
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
    clause = questions.question if asks else clauses.statement
    opening = "" if asks or size < 8 or tense == "future" or not d.chance(0.22) else d.pick(("when", "if", "because"))
    if opening == "if" and tense == "past":
        opening = "when"
    if opening:
        length = d.between(3, min(size - 4, 10))
        french += _joined(d, opening, _OPENINGS[opening])
        french += clauses.statement(d, length - 1, tense)
        french.append((",", (d.say(","),)))
        size -= length
        d.tags.add("subordinate")
    used: set[str] = {opening}
    while size > _LONGEST or (size >= 8 and d.chance(0.35)):
        english, conjunction, following = _conjunction(d, tense, used, clause is questions.question)
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
        tense, clause = following, clauses.statement
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
