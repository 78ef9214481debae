"""The tables of words, read into entries with all their forms."""

from dataclasses import dataclass
from typing import NamedTuple

from regard.data.corpus import adjectives, function_words, morphology_en, morphology_fr, nouns, verbs
from regard.data.corpus.conjugation import Conjugation, conjugate


@dataclass(frozen=True, eq=False, slots=True)
class Noun:
    """A noun, a first name or a city, in both languages and both numbers."""

    number: int  # place in NOUNS: what the hold-out rule reads
    kind: str
    english: str
    english_plural: str
    french: str
    french_plural: str
    feminine: bool
    marks: tuple[str, ...]

    @property
    def mass(self) -> bool:
        """Without plural: bread, music."""
        return self.kind in nouns.MASS


@dataclass(frozen=True, eq=False, slots=True)
class Adjective:
    """An adjective with its four French forms and, before the noun, the one for vowels (bel)."""

    number: int
    english: str
    comparative: str  # "smaller"; "" when it takes "more" or nothing
    forms: tuple[str, str, str, str]  # masculine, feminine, masculine plural, feminine plural
    before_vowel: str
    kinds: frozenset[str]
    slot: str  # "before", "after" or "colour"
    graded: bool  # takes very and more

    def form(self, feminine: bool, plural: bool) -> str:
        """The form that agrees."""
        return self.forms[2 * plural + feminine]

    def describes(self, noun: Noun) -> bool:
        """Whether the pair makes sense."""
        return noun.kind in self.kinds or noun.english in self.kinds


@dataclass(frozen=True, eq=False, slots=True)
class Verb:
    """A verb with one way of being completed (its frame)."""

    number: int  # the lemma's: the same for all frames of one English and French verb
    frame: str
    base: str
    third: str
    past: str  # "" when the past is not used
    particles: tuple[str, ...]  # "at" of "look at"
    conjugation: Conjugation
    reflexive: bool
    preposition: str  # the French one: "à", "de", ...
    state: bool  # past is the imparfait
    subjects: frozenset[str]
    objects: frozenset[str]

    def takes_subject(self, noun: Noun) -> bool:
        """Whether the noun can be the subject."""
        return noun.kind in self.subjects or noun.english in self.subjects

    def takes_object(self, noun: Noun) -> bool:
        """Whether the noun can be the complement."""
        return noun.kind in self.objects or noun.english in self.objects


class Lemma(NamedTuple):
    """One English–French entry."""

    category: str
    english: str
    french: str


def _split(cell: str) -> tuple[str, str]:
    first, _, second = cell.partition("/")
    return first, second


def _plain(word: str, forms: list[str]) -> None:
    """Remember the forms of a starred word as ones that do not elide."""
    if word.startswith("*"):
        morphology_fr.ASPIRATED.update(form.lstrip("*") for form in forms)


def _read_nouns() -> list[Noun]:
    read: list[Noun] = []
    for kind, table in nouns.TABLES.items():
        for line in table.strip().splitlines():
            english_cell, french_cell, gender, *marks = line.split()
            english, plural = _split(english_cell)
            french, french_plural = _split(french_cell)
            french_plural = french_plural or morphology_fr.noun_plural(french)
            _plain(french, [french, french_plural])
            plural = plural or morphology_en.sibilant_s(english)
            names = english, plural, french.lstrip("*"), french_plural.lstrip("*")
            read.append(Noun(len(read), kind, *names, gender == "f", tuple(marks)))
    return read


def _read_adjectives() -> list[Adjective]:
    read: list[Adjective] = []
    for line in adjectives.ADJECTIVES.strip().splitlines():
        english_cell, french_cell, kinds, *rest = line.split()
        marks = rest[0].split(",") if rest else []
        english, comparative = _split(english_cell)
        masculine, feminine = _split(french_cell)
        _plain(masculine, [masculine])
        starred, masculine = masculine, masculine.lstrip("*")
        feminine = feminine or morphology_fr.adjective_feminine(masculine)
        forms = masculine, feminine, morphology_fr.adjective_plural(masculine), feminine + "s"
        _plain(starred, list(forms))
        slot, vowel = "after", masculine
        for mark in marks:
            if mark.startswith("before"):
                slot, vowel = "before", mark.partition("=")[2] or masculine
            elif mark == "colour":
                slot = "colour"
        graded = "fixed" not in marks
        read.append(
            Adjective(
                len(read),
                english,
                comparative if comparative != "-" else "",
                forms,
                vowel,
                frozenset(kinds.split(",")),
                slot,
                graded and comparative != "-",
            )
        )
    return read


MODALS = ("can", "must")
_FRAMES = ("INTRANSITIVE", "REFLEXIVE", "TRANSITIVE", "DATIVE", "INDIRECT", "OBLIQUE", "CLAUSAL", "CONTROL")


def _read_verbs() -> list[Verb]:
    read: list[Verb] = []
    numbers: dict[tuple[str, str], int] = {}
    for frame in _FRAMES:
        for line in getattr(verbs, frame).strip().splitlines():
            english_cell, french_cell, subjects, objects = ([c.strip() for c in line.split("|")] + [""])[:4]
            state = english_cell.endswith("*")
            words, past = _split(english_cell.rstrip("*"))
            base, *particles = words.split()
            infinitive, _, preposition = french_cell.partition(" ")
            reflexive = infinitive == "se" or infinitive.startswith("s'")
            if infinitive == "se":
                infinitive, preposition = preposition, ""
            infinitive = infinitive.removeprefix("s'")
            starred, infinitive = infinitive, infinitive.lstrip("*")
            conjugation = conjugate(infinitive, reflexive)
            _plain(starred, list(conjugation.forms()))
            lemma = (base, conjugation.infinitive)
            read.append(
                Verb(
                    numbers.setdefault(lemma, len(numbers)),
                    frame,
                    base,
                    base if base in MODALS else morphology_en.third_person(base),
                    "" if past == "-" else past or morphology_en.regular_past(base),
                    tuple(particles),
                    conjugation,
                    reflexive,
                    preposition,
                    state,
                    frozenset(subjects.split()),
                    frozenset(objects.split()),
                )
            )
    return read


NOUNS = _read_nouns()
ADJECTIVES = _read_adjectives()
VERBS = _read_verbs()
NOUN = {noun.english: noun for noun in NOUNS}
ADJECTIVE = {adjective.english: adjective for adjective in ADJECTIVES}

ETRE = conjugate("être")
AVOIR = conjugate("avoir")
FAIRE = conjugate("faire")
WEATHER = {english: conjugate(french) for *_, english, french in function_words.WEATHER_VERBS}


def lemmas() -> list[Lemma]:
    """Every English–French entry of the corpus, each once."""
    found = [Lemma("noun" if n.kind not in "pc" else "name", n.english, n.french) for n in NOUNS]
    found += [Lemma("adjective", a.english, a.forms[0]) for a in ADJECTIVES]
    for verb in {verb.number: verb for verb in reversed(VERBS)}.values():
        english = " ".join((verb.base, *verb.particles))
        found.append(Lemma("verb", english, ("se " if verb.reflexive else "") + verb.conjugation.infinitive))
    f = function_words
    for category, rows in (
        ("pronoun", f.SUBJECT_PRONOUNS + f.OBJECT_PRONOUNS + (f.IT,)),
        ("determiner", f.POSSESSIVES + f.NUMERALS + f.QUANTIFIERS + f.OTHER_DETERMINERS),
        ("adverb", f.FREQUENCY + f.SHORT_MANNER + f.MANNER + f.PLACE_ADVERBS + f.PREDICATE_DEGREE),
        ("adverb", sum(f.TIME_ADVERBS.values(), ())),
        ("predicate", f.AVOIR_PREDICATES + f.WEATHER_ADJECTIVES + f.CLOCK_ADJECTIVES),
        ("weather", tuple((row[2], row[3]) for row in f.WEATHER_VERBS)),
        ("preposition", f.PLACE_PREPOSITIONS + f.MOTION_PREPOSITIONS + f.COMPANY_PREPOSITIONS),
        ("preposition", f.EVENT_PREPOSITIONS + f.CAUSE_PREPOSITIONS + f.SURFACE_PREPOSITIONS),
        ("preposition", (f.BETWEEN, f.OF, f.ABOUT, *f.OWN_PLACE.items())),
        ("conjunction", f.COORDINATORS + f.SUBORDINATORS),
        ("question", f.QUESTION_ADVERBS + f.QUESTION_PRONOUNS),
        ("relative", f.RELATIVES),
        ("negation", f.NEGATIONS),
        ("other", f.OTHER_WORDS),
    ):
        for row in rows:
            french = row[1] if isinstance(row[1], str) else " ".join(row[1])
            found.append(Lemma(category, str(row[0]), french))
    return list(dict.fromkeys(found))
