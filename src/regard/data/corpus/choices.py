"""Which words go with which: for each word its partners, those of every split and those held out for test."""

from dataclasses import dataclass
from functools import cache
from typing import Generic, TypeVar

from regard.data.corpus.holdout import held_adjective, held_object
from regard.data.corpus.lexicon import ADJECTIVES, NOUNS, VERBS, Adjective, Noun, Verb
from regard.data.corpus.nouns import GENERIC_MASS

Word = TypeVar("Word")

# Verbs whose object may be a whole kind: "I love cats", j'adore les chats. They say most about music and freedom.
GENERIC = frozenset({"love", "like", "hate", "prefer"})
_COMMON = {"love": 4, "like": 2}  # verbs that people use oftener than the others


@dataclass(frozen=True, slots=True)
class Partners(Generic[Word]):
    """The partners of a word: seen in every split, and held out for the test split."""

    seen: tuple[Word, ...]
    held: tuple[Word, ...]


@cache
def nouns_of(kinds: str) -> tuple[Noun, ...]:
    """The nouns of some classes."""
    return tuple(noun for noun in NOUNS if noun.kind in kinds)


@cache
def adjectives_for(noun: Noun, slot: str) -> Partners[Adjective]:
    """The adjectives that describe a noun, by place ("before", "after", "colour"), "graded" or "any"."""
    fitting = [a for a in ADJECTIVES if a.describes(noun)]
    if slot == "graded":
        fitting = [a for a in fitting if a.graded]
    elif slot != "any":
        fitting = [a for a in fitting if a.slot == slot]
    return Partners(
        tuple(a for a in fitting if not held_adjective(a, noun)), tuple(a for a in fitting if held_adjective(a, noun))
    )


@cache
def adjectives_of(kind: str) -> tuple[Adjective, ...]:
    """The adjectives that describe a whole class, for pronouns and names."""
    return tuple(a for a in ADJECTIVES if kind in a.kinds)


@cache
def objects_of(verb: Verb) -> Partners[Noun]:
    """The nouns that can be the object of a verb."""
    fitting = [noun for noun in NOUNS if verb.takes_object(noun)]
    if verb.base in GENERIC:
        fitting += [noun for noun in fitting if noun.kind in GENERIC_MASS] * 2
    return Partners(
        tuple(n for n in fitting if not held_object(verb, n)), tuple(n for n in fitting if held_object(verb, n))
    )


@cache
def verbs_with_object(noun: Noun) -> Partners[Verb]:
    """The transitive verbs with a human subject that take a noun as their object: "the book that Marie reads"."""
    fitting = [v for v in VERBS if v.frame == "TRANSITIVE" and "P" in v.subjects and v.takes_object(noun)]
    return Partners(
        tuple(v for v in fitting if not held_object(v, noun)), tuple(v for v in fitting if held_object(v, noun))
    )


@cache
def verbs_with_subject(frame: str, kind: str, noun: Noun | None) -> tuple[Verb, ...]:
    """The verbs of a frame that a noun, or a name or pronoun of class ``kind``, can be the subject of."""
    if noun is None or noun.kind == "p":
        fitting = [v for v in VERBS if v.frame == frame and kind in v.subjects]
    else:
        fitting = [v for v in VERBS if v.frame == frame and v.takes_subject(noun)]
    return tuple(v for v in fitting for _ in range(_COMMON.get(v.base, 1)))
