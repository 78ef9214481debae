"""What only the test split says: pairs of words and pairs of constructions that train and valid never combine.

The rule for words is arithmetic on their places in the tables, so it needs no list and no seed. A word with few
partners keeps them all, so that every word is learnt from the train split.
"""

from regard.data.corpus.lexicon import ADJECTIVE, ADJECTIVES, NOUN, NOUNS, VERBS, Adjective, Noun, Verb

HELD_CONSTRUCTIONS = frozenset(
    {"negation in a relative", "clitic in a question", "negated reflexive", "existential question"}
)
HELD_COMBINATIONS = frozenset({"new adjective-noun", "new verb-object", "new name-verb"})
_FEWEST = 6  # a word with fewer partners than this keeps them all


def _held_adjectives() -> frozenset[tuple[int, int]]:
    held = {(ADJECTIVE["deep"].number, NOUN["learning"].number)}
    for adjective in ADJECTIVES:
        partners = [noun for noun in NOUNS if adjective.describes(noun)]
        if len(partners) >= _FEWEST:
            held |= {
                (adjective.number, noun.number)
                for noun in partners
                if (31 * adjective.number + 17 * noun.number) % 13 == 0
            }
    return frozenset(held)


def _held_objects() -> frozenset[tuple[int, int]]:
    held = set()
    for verb in VERBS:
        partners = [noun for noun in NOUNS if verb.takes_object(noun)]
        if len(partners) >= _FEWEST:
            held |= {(verb.number, noun.number) for noun in partners if (29 * verb.number + 19 * noun.number) % 13 == 0}
    return frozenset(held)


_ADJECTIVES = _held_adjectives()
_OBJECTS = _held_objects()


def held_adjective(adjective: Adjective, noun: Noun) -> bool:
    """Whether "adjective noun" (also "noun is adjective") belongs to the test split alone."""
    return (adjective.number, noun.number) in _ADJECTIVES


def held_object(verb: Verb, noun: Noun) -> bool:
    """Whether the noun as this verb's object belongs to the test split alone."""
    return (verb.number, noun.number) in _OBJECTS


def held_name(verb: Verb, name: Noun) -> bool:
    """Whether this first name as this verb's subject belongs to the test split alone."""
    return (verb.number + 3 * name.number) % 8 == 0
