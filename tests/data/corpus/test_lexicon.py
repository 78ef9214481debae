"""The tables: enough lemmas, one French word for one English word, partners for everybody."""

from collections import defaultdict

from regard.data.corpus.choices import adjectives_for, objects_of, verbs_with_object
from regard.data.corpus.lexicon import ADJECTIVES, NOUN, NOUNS, VERBS, lemmas


def test_at_least_600_lemmas() -> None:
    entries = lemmas()
    assert len(entries) == len(set(entries)) >= 600
    assert sum(entry.category in ("noun", "verb", "adjective", "adverb") for entry in entries) >= 500


def test_one_english_word_has_one_french_rendering() -> None:
    """In nouns, adjectives and verbs (a particle makes another verb), so that a translation is the only one."""
    french = defaultdict(set)
    for noun in NOUNS:
        french["noun", noun.english].add(noun.french)
        french["noun", noun.english_plural].add(noun.french_plural)
    for adjective in ADJECTIVES:
        french["adjective", adjective.english].add(adjective.forms)
    for verb in VERBS:
        particles = tuple(word for word in verb.particles if word != "to")
        for form in {verb.base, verb.third, verb.past} - {""}:
            french["verb", form, particles].add((verb.conjugation.infinitive, verb.reflexive, form == verb.past))
    assert {word: readings for word, readings in french.items() if len(readings) > 1} == {}


def test_present_and_past_differ() -> None:
    assert [verb.base for verb in VERBS if verb.past in (verb.base, verb.third)] == []


def test_every_word_in_a_table_column_exists() -> None:
    named = {kind for adjective in ADJECTIVES for kind in adjective.kinds if len(kind) > 1}
    named |= {kind for verb in VERBS for kind in verb.objects | verb.subjects if len(kind) > 1}
    assert named - set(NOUN) == set()


def test_every_noun_has_partners_in_train() -> None:
    described = [noun for noun in NOUNS if noun.kind not in "tpc"]
    assert [noun.english for noun in described if not adjectives_for(noun, "graded").seen] == []
    assert [noun.english for noun in described if len(adjectives_for(noun, "any").seen) < 4] == []
    assert [noun.english for noun in described if not verbs_with_object(noun).seen] == []
    assert [verb.base for verb in VERBS if verb.frame == "TRANSITIVE" and not objects_of(verb).seen] == []
