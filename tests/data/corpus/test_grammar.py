"""Sentences of our own, put together by the grammar's functions: one for each thing French does its own way."""

from collections.abc import Callable
from random import Random

import pytest

from regard.data.corpus import clauses, modifiers, noun_phrases, predicates, prepositions, questions, surface
from regard.data.corpus import function_words as words
from regard.data.corpus.draft import Draft, French, Phrase
from regard.data.corpus.finite import finite, infinitive, reflexive_clitic
from regard.data.corpus.generate import example
from regard.data.corpus.lexicon import ADJECTIVE, NOUN, VERBS, Verb

PRONOUNS = {english: (french, person, f, p) for english, french, person, f, p in words.SUBJECT_PRONOUNS}


def new_draft() -> Draft:
    return Draft(Random(0), fresh=True)


def verb(base: str, frame: str = "") -> Verb:
    return next(v for v in VERBS if " ".join((v.base, *v.particles)) == base and (not frame or v.frame == frame))


def group(
    d: Draft, determiner: str, noun: str, *adjectives: str, plural: bool = False, negated: bool = False
) -> Phrase:
    """A noun phrase with given words; "very old" is an adjective with its degree."""
    pairs = [("very", a.removeprefix("very ")) if a.startswith("very ") else ("", a) for a in adjectives]
    chosen = [(degree, ADJECTIVE[a]) for degree, a in pairs]
    french = noun_phrases.noun_group(d, NOUN[noun], plural, determiner, chosen, negated)
    person = 4 if plural else 2
    return Phrase(
        french, person=person, feminine=NOUN[noun].feminine, plural=plural, nouns=(NOUN[noun],), kind=NOUN[noun].kind
    )


def pronoun(d: Draft, english: str) -> Phrase:
    french, person, feminine, plural = PRONOUNS[english]
    return Phrase([(french, (d.say(english),))], person=person, feminine=feminine, plural=plural)


def name(d: Draft, english: str) -> Phrase:
    return noun_phrases.noun_phrase(d, NOUN[english], 1)


def written(d: Draft, french: French) -> tuple[str, str]:
    tokens, links = surface.write(french)
    assert all(0 <= i < len(d.english) and 0 <= j < len(tokens) for i, j in links)
    return surface.text(d.english), surface.text(tokens)


@pytest.mark.parametrize(
    ("determiner", "noun", "adjectives", "plural", "english", "french"),
    [
        ("the", "friend", (), False, "the friend", "l'ami"),
        ("the", "hero", (), False, "the hero", "le héros"),
        ("the", "book", (), True, "the books", "les livres"),
        ("a", "friend", ("beautiful",), False, "a beautiful friend", "un bel ami"),
        ("a", "hero", ("beautiful",), False, "a beautiful hero", "un beau héros"),
        ("the", "hotel", ("old",), False, "the old hotel", "le vieil hôtel"),
        ("the", "hotel", ("old",), True, "the old hotels", "les vieux hôtels"),
        ("a", "tree", ("very old",), False, "a very old tree", "un très vieil arbre"),
        ("a", "computer", ("new",), False, "a new computer", "un nouvel ordinateur"),
        ("a", "school", ("new",), False, "a new school", "une nouvelle école"),
        ("a", "car", ("red",), False, "a red car", "une voiture rouge"),
        ("a", "car", ("small", "comfortable", "red"), False, "a small comfortable red car",
         "une petite voiture rouge confortable"),
        ("a", "idea", ("interesting",), False, "an interesting idea", "une idée intéressante"),
        ("this", "tree", (), False, "this tree", "cet arbre"),
        ("this", "tree", ("big",), False, "this big tree", "ce grand arbre"),
        ("this", "school", (), True, "these schools", "ces écoles"),
        ("some", "bread", (), False, "some bread", "du pain"),
        ("some", "meat", (), False, "some meat", "de la viande"),
        ("some", "water", (), False, "some water", "de l'eau"),
        ("some", "book", (), True, "some books", "des livres"),
        ("some", "book", ("small",), True, "some small books", "de petits livres"),
        ("some", "car", ("red",), True, "some red cars", "des voitures rouges"),
        ("another", "school", (), False, "another school", "une autre école"),
        ("every", "horse", (), False, "every horse", "chaque cheval"),
        ("all", "horse", (), True, "all the horses", "tous les chevaux"),
        ("all", "girl", ("happy",), True, "all the happy girls", "toutes les filles heureuses"),
        ("", "learning", ("deep",), False, "deep learning", "l'apprentissage profond"),
        ("", "mouse", ("grey",), True, "grey mice", "les souris grises"),
    ],
)  # fmt: skip
def test_noun_groups(
    determiner: str, noun: str, adjectives: tuple[str, ...], plural: bool, english: str, french: str
) -> None:
    d = new_draft()
    assert written(d, group(d, determiner, noun, *adjectives, plural=plural).french) == (english, french)


def test_possessives_before_a_vowel() -> None:
    d = new_draft()
    d.random = lambda: 0.0  # the first possessive, "my"
    phrases = [("idea", ()), ("idea", ("new",)), ("school", ("old",)), ("friend", ()), ("harp", ())]
    french = [written(d, group(d, "possessive", noun, *adjectives).french)[1] for noun, adjectives in phrases]
    assert french == ["mon idée", "ma nouvelle idée", "ma vieille école", "mon ami", "ma harpe"]


@pytest.mark.parametrize(
    ("preposition", "determiner", "noun", "plural", "english", "french"),
    [
        (("near", ("près", "de")), "the", "garden", False, "near the garden", "près du jardin"),
        (("near", ("près", "de")), "the", "hotel", False, "near the hotel", "près de l'hôtel"),
        (("near", ("près", "de")), "the", "hero", False, "near the hero", "près du héros"),
        (("near", ("près", "de")), "the", "school", False, "near the school", "près de l'école"),
        (("near", ("près", "de")), "the", "city", False, "near the city", "près de la ville"),
        (("near", ("près", "de")), "the", "tree", True, "near the trees", "près des arbres"),
        (("near", ("près", "de")), "a", "tree", False, "near a tree", "près d'un arbre"),
        (("near", ("près", "de")), "all", "tree", True, "near all the trees", "près de tous les arbres"),
        (("at", ("à",)), "the", "market", False, "at the market", "au marché"),
        (("at", ("à",)), "the", "airport", False, "at the airport", "à l'aéroport"),
        (("at", ("à",)), "the", "station", False, "at the station", "à la gare"),
        (("to", ("à",)), "the", "child", True, "to the children", "aux enfants"),
        (("in front of", ("devant",)), "this", "hotel", False, "in front of this hotel", "devant cet hôtel"),
    ],
)
def test_contractions(
    preposition: tuple[str, tuple[str, ...]], determiner: str, noun: str, plural: bool, english: str, french: str
) -> None:
    d = new_draft()
    tokens = prepositions.say_preposition(d, preposition)
    assert written(d, tokens + group(d, determiner, noun, plural=plural).french) == (english, french)


def plain(
    subject: str, base: str, tense: str, polarity: str = "", adverb: tuple[str, str] | None = None
) -> tuple[str, str]:
    """Subject and verb."""
    d = new_draft()
    phrase = pronoun(d, subject) if subject in PRONOUNS else name(d, subject)
    word = verb(base)
    head = finite(d, word, phrase, tense, polarity, adverb=adverb)
    agreement = (phrase.feminine, phrase.plural) if word.conjugation.with_etre else (False, False)
    clitics = reflexive_clitic(head, phrase) if word.reflexive else []
    return written(d, [*phrase.french, *head.write(clitics, agreement)])


@pytest.mark.parametrize(
    ("made", "english", "french"),
    [
        (plain("I", "sleep", "present"), "I sleep", "je dors"),
        (plain("I", "hesitate", "present"), "I hesitate", "j'hésite"),
        (plain("I", "shout", "present"), "I shout", "je hurle"),
        (plain("she", "sleep", "present", "not"), "she does not sleep", "elle ne dort pas"),
        (plain("they", "hesitate", "present", "not"), "they do not hesitate", "ils n'hésitent pas"),
        (plain("he", "sleep", "past", "not"), "he did not sleep", "il n'a pas dormi"),
        (plain("Marie", "arrive", "past"), "Marie arrived", "Marie est arrivée"),
        (plain("they", "leave", "past", "never"), "they never left", "ils ne sont jamais partis"),
        (plain("we", "swim", "future"), "we will swim", "nous nagerons"),
        (plain("you", "work", "present", "no longer"), "you no longer work", "vous ne travaillez plus"),
        (plain("she", "get up", "past"), "she got up", "elle s'est levée"),
        (plain("I", "have fun", "present"), "I have fun", "je m'amuse"),
        (plain("we", "hurry", "future", "not"), "we will not hurry", "nous ne nous dépêcherons pas"),
        (plain("Paul", "sing", "past", "", ("often", "souvent")), "Paul often sang", "Paul a souvent chanté"),
        (plain("he", "work", "present", "not", ("always", "toujours")), "he does not always work",
         "il ne travaille pas toujours"),
        (plain("they", "wake up", "past"), "they woke up", "ils se sont réveillés"),
    ],
)  # fmt: skip
def test_verbs(made: tuple[str, str], english: str, french: str) -> None:
    assert made == (english, french)


@pytest.mark.parametrize(
    ("base", "tense", "polarity", "clitic", "english", "french"),
    [
        ("see", "present", "", ("her", "la", True, False), "I see her", "je la vois"),
        ("see", "past", "", ("her", "la", True, False), "I saw her", "je l'ai vue"),
        ("invite", "past", "not", ("them", "les", False, True), "I did not invite them", "je ne les ai pas invités"),
        ("love", "present", "", ("it", "le", False, False), "I love it", "je l'adore"),
        ("look at", "present", "", ("you", "vous", False, False), "I look at you", "je vous regarde"),
        ("phone", "past", "", ("her", "lui", False, False), "I phoned her", "je lui ai téléphoné"),
    ],
)
def test_clitics(
    base: str, tense: str, polarity: str, clitic: tuple[str, str, bool, bool], english: str, french: str
) -> None:
    d = new_draft()
    subject = pronoun(d, "I")
    head = finite(d, verb(base), subject, tense, polarity)
    said, form, feminine, plural = clitic
    token = (form, (d.say(said),))
    assert written(d, [*subject.french, *head.write([token], (feminine, plural))]) == (english, french)


def test_clitic_before_the_infinitive_does_not_contract() -> None:
    d = new_draft()
    subject = name(d, "Marie")
    head = finite(d, verb("try to"), subject, "present")
    rest = infinitive(d, verb("see"))
    it = ("le", (d.say("it"),))
    french = [
        *subject.french,
        *head.write([], (False, False)),
        ("de", head.particles),
        *rest.write([it], (False, False)),
    ]
    assert written(d, french) == ("Marie tries to see it", "Marie essaie de le voir")


def test_no_article_under_negation() -> None:
    d = new_draft()
    subject = pronoun(d, "I")
    head = finite(d, verb("have"), subject, "present", "not")
    thing = group(d, "a", "computer", negated=True)
    assert written(d, [*subject.french, *head.write([], (False, False)), *thing.french]) == (
        "I do not have a computer",
        "je n'ai pas d'ordinateur",
    )


def search(build: Callable[[Draft], French], wanted: str) -> str:
    """The French of ``wanted``, found by running a function of the grammar on stream after stream."""
    for seed in range(20000):
        d = Draft(Random(seed), fresh=True)
        french = build(d)
        if surface.text(d.english) == wanted:
            return surface.text(surface.write(french)[0])
    raise AssertionError(f"the grammar does not say {wanted!r}")


@pytest.mark.parametrize(
    ("build", "english", "french"),
    [
        (lambda d: clauses.statement(d, 2, "present"), "it rains", "il pleut"),
        (lambda d: clauses.statement(d, 3, "past"), "it was cold", "il faisait froid"),
        (lambda d: questions.question(d, 3, "present"), "does Marie sleep", "est-ce que Marie dort"),
        (lambda d: questions.question(d, 3, "present"), "is she hungry", "est-ce qu'elle a faim"),
        (lambda d: questions.question(d, 4, "present"), "why do you cry", "pourquoi est-ce que vous pleurez"),
        (lambda d: predicates.copula(d, 1, Phrase([], feminine=True), "present", "", -1), "is happy", "est heureuse"),
        (lambda d: predicates.copula(d, 3, Phrase([], feminine=True), "past", "", -1), "was older than Paul",
         "était plus vieille que Paul"),
        (lambda d: modifiers.subject_relative(d, Phrase([], nouns=(NOUN["man"],)), 2), "who sleeps", "qui dort"),
        (lambda d: modifiers.object_relative(
            d, Phrase([], nouns=(NOUN["apple"],), kind="F", feminine=True, plural=True), 3), "that I ate",
         "que j'ai mangées"),
        (lambda d: modifiers.where_relative(d, Phrase([], nouns=(NOUN["city"],), kind="L"), 3), "where he works",
         "où il travaille"),
        (lambda d: prepositions.time(d, 2, "past"), "last week", "la semaine dernière"),
    ],
)  # fmt: skip
def test_constructions(build: Callable[[Draft], French], english: str, french: str) -> None:
    assert search(build, english) == french


def test_the_example_and_its_links() -> None:
    pair = example()
    assert (pair.source, pair.target) == ("I love deep learning", "J'adore l'apprentissage profond")
    assert pair.target_words == ("J'", "adore", "l'", "apprentissage", "profond")
    assert pair.links == ((0, 0), (1, 1), (2, 4), (3, 2), (3, 3))
