"""The splits: exact lengths, the same pairs for the same numbers, true spelling, and nothing of test in train."""

import os
import re
import subprocess
import sys
from collections import Counter, defaultdict
from itertools import pairwise

import pytest

from regard.data.corpus import Pair, example, generate
from regard.data.corpus.holdout import (
    HELD_COMBINATIONS,
    HELD_CONSTRUCTIONS,
    held_adjective,
    held_name,
    held_object,
)
from regard.data.corpus.lexicon import ADJECTIVES, NOUNS, VERBS, Noun, Verb
from regard.data.corpus.morphology_fr import opens_with_vowel
from regard.errors import UserError

HELD = HELD_COMBINATIONS | HELD_CONSTRUCTIONS
MARKS = frozenset(".,?")


@pytest.fixture(scope="module")
def train() -> list[Pair]:
    return [*generate(2500), *generate(3500, words=(2, 14))]


@pytest.fixture(scope="module")
def valid() -> list[Pair]:
    return [*generate(120, split="valid"), *generate(500, split="valid", words=(2, 10))]


@pytest.fixture(scope="module")
def test() -> list[Pair]:
    return [*generate(700, split="test"), *generate(900, split="test", words=(2, 12))]


def count(pair: Pair) -> int:
    return sum(word not in MARKS for word in pair.source_words)


# Lengths and numbers


@pytest.mark.parametrize("split", ["train", "test"])
@pytest.mark.parametrize("size", [*range(2, 20), 30, 45, 60, 90])
def test_length_is_exact(split: str, size: int) -> None:
    for pair in generate(12, seed=3, split=split, words=(size, size)):  # type: ignore[arg-type]
        assert count(pair) == len(pair.source.split()) == size


def test_lengths_are_uniform() -> None:
    sizes = Counter(count(pair) for pair in generate(3000, seed=1, words=(2, 11)))
    assert sorted(sizes) == list(range(2, 12))
    assert min(sizes.values()) > 240
    assert max(sizes.values()) < 360


def test_a_pair_depends_on_its_number_alone() -> None:
    long, short = list(generate(60, seed=5)), list(generate(20, seed=5))
    assert long[:20] == short
    assert long[:20] != list(generate(20, seed=6))
    assert short != list(generate(20, seed=5, split="valid"))


def test_the_same_in_every_process() -> None:
    code = (
        "from regard.data.corpus import generate\n"
        "for split in ('train', 'valid', 'test'):\n"
        "    for pair in generate(15, 2, split):\n"
        "        print(pair.source, pair.target, pair.links, sorted(pair.constructions))"
    )
    runs = [
        subprocess.run(
            [sys.executable, "-c", code],
            env={**os.environ, "PYTHONHASHSEED": number, "PYTHONIOENCODING": "utf-8"},
            capture_output=True,
            check=True,
        ).stdout
        for number in ("1", "77")
    ]
    assert runs[0] == runs[1] != b""


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"split": "dev"}, "expected one of train, valid, test"),
        ({"count": -1}, "count is -1"),
        ({"words": (1, 5)}, r"words is \(1, 5\)"),
        ({"words": (9, 5)}, r"words is \(9, 5\)"),
        ({"words": (2, 500)}, "<= 200"),
    ],
)
def test_wrong_arguments(arguments: dict, message: str) -> None:
    with pytest.raises(UserError, match=message):
        generate(**{"count": 1, **arguments})


# The text


def test_words_make_the_text(train: list[Pair]) -> None:
    for pair in train:
        for text, words in ((pair.source, pair.source_words), (pair.target, pair.target_words)):
            assert text[0].isupper()
            assert "".join(words) == text.replace(" ", "")
            assert "  " not in text
            assert not re.search(r" [.,?]|' ", text)


def test_end_marks(train: list[Pair]) -> None:
    statements = [pair for pair in train if "question" not in pair.constructions]
    assert all(pair.source[-1] == pair.target[-1] == "?" for pair in train if "question" in pair.constructions)
    bare = [pair for pair in statements if pair.source[-1] not in MARKS]
    assert all(pair.target[-1] not in MARKS for pair in bare)
    assert 0.28 < len(bare) / len(statements) < 0.39


def test_elision_is_made_and_only_before_vowels(train: list[Pair]) -> None:
    eliding = {"je", "le", "la", "me", "se", "de", "ne", "que", "puisque"}
    for pair in train:
        words = [word.lower() for word in pair.target_words]
        for word, following in pairwise(words):
            if word in eliding:
                # Clitics and articles alike; "la" is also the adverb "là" only with its accent.
                assert not opens_with_vowel(following), pair.target
            if word.endswith("'"):
                assert opens_with_vowel(following) or (word, following) in (("s'", "il"), ("s'", "ils")), pair.target
            assert not (word == "si" and following in ("il", "ils")), pair.target


def test_contractions_are_made(train: list[Pair]) -> None:
    infinitives = {verb.conjugation.infinitive for verb in VERBS}
    for pair in train:
        words = [word.lower() for word in pair.target_words]
        for first, second, third in zip(words, words[1:], words[2:], strict=False):
            if first in ("de", "à") and second in ("le", "les"):
                assert third in infinitives, pair.target  # a clitic: essaie de le voir


def test_forms_before_vowels(train: list[Pair]) -> None:
    nouns = {form for noun in NOUNS for form in (noun.french, noun.french_plural)}
    before = {a.forms[0]: a.before_vowel for a in ADJECTIVES if a.before_vowel != a.forms[0]}
    for pair in train:
        words = [word.lower() for word in pair.target_words]
        for word, following in pairwise(words):
            if word in ("ce", "ma", "sa", "beau", "nouveau") and following in nouns:
                assert not opens_with_vowel(following), pair.target
            if word in ("cet", *before.values()):
                assert opens_with_vowel(following), pair.target


def test_english_articles(train: list[Pair]) -> None:
    for pair in train:
        assert not re.search(r"\b[Aa] (?:[aeio]|hon|hour)", pair.source.replace("a one", "")), pair.source
        assert not re.search(r"\b[Aa]n (?:[^aeiouhAEIOU]|use|uni)", pair.source), pair.source


# The alignment


def test_links_are_places_and_every_content_word_has_one(train: list[Pair], test: list[Pair]) -> None:
    free = {"do", "does", "did", "Do", "Does", "Did"}  # only carry a question or a negation
    for pair in (*train, *test, example()):
        sources, targets = {i for i, _ in pair.links}, {j for _, j in pair.links}
        assert sources <= set(range(len(pair.source_words)))
        assert targets <= set(range(len(pair.target_words)))
        assert len(set(pair.links)) == len(pair.links)
        unlinked = [word for i, word in enumerate(pair.source_words) if i not in sources]
        assert set(unlinked) <= free, (pair.source, unlinked)
        left = [word for j, word in enumerate(pair.target_words) if j not in targets]
        assert {word.lower() for word in left} <= {"est-ce", "que", "qu'"}, (pair.target, left)


def test_names_and_marks_link_to_themselves(train: list[Pair]) -> None:
    names = {noun.english for noun in NOUNS if noun.kind == "p"}
    for pair in train:
        for i, j in pair.links:
            if pair.source_words[i] in names | MARKS:
                assert pair.target_words[j] == pair.source_words[i]


def test_alignment_is_not_the_diagonal(train: list[Pair]) -> None:
    crossing = total = 0
    for pair in train:
        for i, j in pair.links:
            total += 1
            crossing += any((a - i) * (b - j) < 0 for a, b in pair.links)
    assert crossing / total > 0.15


# The splits


def test_tags_of_train_and_test(train: list[Pair], valid: list[Pair], test: list[Pair]) -> None:
    assert all(not pair.constructions & HELD for pair in (*train, *valid))
    assert all(pair.constructions & HELD for pair in test)
    seen = {tag for pair in test for tag in pair.constructions & HELD}
    assert seen == HELD


def test_constructions_of_train_cover_those_of_test(train: list[Pair], test: list[Pair]) -> None:
    known = {tag for pair in train for tag in pair.constructions}
    assert {tag for pair in test for tag in pair.constructions} - HELD <= known


def test_held_out_constructions_by_the_words(train: list[Pair], valid: list[Pair], test: list[Pair]) -> None:
    """What the tags say, read off the sentences."""
    negated_relative = re.compile(r" who (?:(?:do|does|did|will|is|are|was|were|must|could) )?(?:not|never|no longer) ")
    negated_reflexive = re.compile(r"\bne (?:se |s')|[Jj]e ne (?:me |m')")
    existential_question = re.compile(r"\b[Ee]st-ce qu'il y a\b")
    clitic_in_question = re.compile(r"(?:ils?|elle|nous|vous|je|j') (?:ne |n')?(?:les |leur |lui |l'|la |le )")
    for held in (negated_relative, negated_reflexive, existential_question):
        texts = [f"{pair.source} | {pair.target}" for pair in (*train, *valid)]
        assert [text for text in texts if held.search(text)] == []
        assert any(held.search(f"{pair.source} | {pair.target}") for pair in test)
    asked = [pair.target for pair in (*train, *valid) if pair.target.endswith("?")]
    assert [text for text in asked if clitic_in_question.search(text)] == []
    assert any(clitic_in_question.search(pair.target) for pair in test)


def forms_of_nouns() -> dict[str, Noun]:
    return {form: noun for noun in NOUNS if noun.kind not in "tpc" for form in (noun.english, noun.english_plural)}


READINGS: defaultdict[str, list[Verb]] = defaultdict(list)
for verb in VERBS:
    for form in {verb.base, verb.third, verb.past} - {""}:
        READINGS[form].append(verb)


def verb_at(words: tuple[str, ...], place: int) -> list[Verb]:
    """The readings of the verb form at a place, by the particles that follow: look at, look for, fall asleep."""
    fitting = [v for v in READINGS[words[place]] if words[place + 1 : place + 1 + len(v.particles)] == v.particles]
    longest = max((len(v.particles) for v in fitting), default=0)
    return [v for v in fitting if len(v.particles) == longest]


OPENING = frozenset(
    ("", ",", "because", "when", "if", "that", "whom", "while", "since", "whereas", "so", "but", "and", "or")
)
DETERMINERS = frozenset(
    ("the", "a", "an", "this", "these", "some", "any", "my", "your", "our", "their", "every", "another")
)


def combinations(pair: Pair) -> list[str]:
    """Held-out combinations in the plainest places: adjective next to noun, verb before object, name before verb."""
    nouns, adjectives = forms_of_nouns(), {a.english: a for a in ADJECTIVES}
    names = {noun.english: noun for noun in NOUNS if noun.kind == "p"}
    words = (*pair.source_words, "", "", "")
    words = (words[0] if words[0] in names else words[0].lower(), *words[1:])
    found = []
    for i, (first, second, third) in enumerate(zip(words, words[1:], words[2:], strict=False)):
        if first in adjectives and second in nouns and held_adjective(adjectives[first], nouns[second]):
            found.append(f"{first} {second}")
        is_said_of = first in nouns and second in ("is", "are", "was", "were") and third in adjectives
        if is_said_of and held_adjective(adjectives[third], nouns[first]) and "of" not in words[:i]:
            found.append(f"{first} is {third}")
        subject = first in names and words[i - 1] in OPENING  # not "the poet who resembles Anne prepares"
        if subject and any(held_name(verb, names[first]) for verb in verb_at(words, i + 1)):
            found.append(f"{first} {second}")
        for verb in verb_at(words, i):
            j = i + 1 + len(verb.particles)
            if words[j] in DETERMINERS and verb.frame in ("TRANSITIVE", "DATIVE", "OBLIQUE"):
                j += 1
                while words[j] in adjectives:
                    j += 1
                if words[j] in nouns and held_object(verb, nouns[words[j]]):
                    found.append(f"{first} {words[j]}")
    return found


def test_held_out_combinations_by_the_words(train: list[Pair], valid: list[Pair], test: list[Pair]) -> None:
    assert [found for pair in (*train, *valid) for found in combinations(pair)] == []
    # The reader of combinations is not blind: it finds most of what test holds out.
    assert sum(bool(combinations(pair)) for pair in test) > len(test) / 2


def test_deep_learning_is_new_and_its_parts_are_known(train: list[Pair], valid: list[Pair]) -> None:
    sources = [pair.source.lower() for pair in (*train, *valid)]
    assert not any(re.search(r"deep(?:er)? learning|learning (?:is|was) deep", source) for source in sources)
    targets = " ".join(pair.target.lower() for pair in train)
    assert len(re.findall(r"\bprofonde?s?\b", targets)) > 40
    assert len(re.findall(r"l'apprentissage", targets)) > 20
    assert sum("i love " in source for source in sources) > 10


def test_no_string_is_shared(train: list[Pair], valid: list[Pair], test: list[Pair]) -> None:
    def strings(pairs: list[Pair]) -> set[str]:
        return {pair.source.rstrip(".?") for pair in pairs}

    assert not strings(train) & strings(valid)
    assert not (strings(train) | strings(valid)) & strings(test)


def test_one_source_has_one_target(train: list[Pair], valid: list[Pair], test: list[Pair]) -> None:
    targets: dict[str, str] = {}
    for pair in (*train, *valid, *test):
        assert targets.setdefault(pair.source, pair.target) == pair.target


def test_test_says_nothing_with_unknown_words(train: list[Pair], test: list[Pair]) -> None:
    lemma = {noun.english_plural: noun.english for noun in NOUNS}
    for adjective in ADJECTIVES:
        lemma[adjective.comparative] = adjective.english
    for verb in VERBS:
        lemma[verb.third] = lemma[verb.past] = verb.base

    def lemmas(pairs: list[Pair]) -> set[str]:
        words = {word.removesuffix("'s") for pair in pairs for word in pair.source_words}
        words |= {pair.source_words[0].removesuffix("'s").lower() for pair in pairs}
        return {lemma.get(word, word) for word in words}

    starts = {pair.source_words[0].removesuffix("'s") for pair in test}
    assert lemmas(test) - lemmas(train) - starts == set()
