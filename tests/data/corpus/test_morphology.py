"""Word forms: those that textbooks list as traps."""

import pytest

from regard.data.corpus import morphology_en as en
from regard.data.corpus import morphology_fr as fr
from regard.data.corpus.conjugation import conjugate
from regard.data.corpus.lexicon import ADJECTIVE, NOUN


@pytest.mark.parametrize(
    ("infinitive", "present"),
    [
        ("adorer", "adore adorez adore adorons adorent"),
        ("manger", "mange mangez mange mangeons mangent"),
        ("commencer", "commence commencez commence commençons commencent"),
        ("acheter", "achète achetez achète achetons achètent"),
        ("appeler", "appelle appelez appelle appelons appellent"),
        ("préférer", "préfère préférez préfère préférons préfèrent"),
        ("dépêcher", "dépêche dépêchez dépêche dépêchons dépêchent"),
        ("nettoyer", "nettoie nettoyez nettoie nettoyons nettoient"),
        ("finir", "finis finissez finit finissons finissent"),
        ("dormir", "dors dormez dort dormons dorment"),
        ("ouvrir", "ouvre ouvrez ouvre ouvrons ouvrent"),
        ("vendre", "vends vendez vend vendons vendent"),
        ("apprendre", "apprends apprenez apprend apprenons apprennent"),
        ("peindre", "peins peignez peint peignons peignent"),
        ("construire", "construis construisez construit construisons construisent"),
        ("être", "suis êtes est sommes sont"),
        ("avoir", "ai avez a avons ont"),
        ("aller", "vais allez va allons vont"),
        ("faire", "fais faites fait faisons font"),
        ("dire", "dis dites dit disons disent"),
        ("vouloir", "veux voulez veut voulons veulent"),
        ("pouvoir", "peux pouvez peut pouvons peuvent"),
        ("devoir", "dois devez doit devons doivent"),
        ("voir", "vois voyez voit voyons voient"),
        ("lire", "lis lisez lit lisons lisent"),
        ("boire", "bois buvez boit buvons boivent"),
        ("résoudre", "résous résolvez résout résolvons résolvent"),
    ],
)
def test_present(infinitive: str, present: str) -> None:
    assert conjugate(infinitive).present == tuple(present.split())


@pytest.mark.parametrize(
    ("infinitive", "future", "imperfect", "participle"),
    [
        ("aller", "ira", "allait", "allé"),
        ("venir", "viendra", "venait", "venu"),
        ("envoyer", "enverra", "envoyait", "envoyé"),
        ("courir", "courra", "courait", "couru"),
        ("cueillir", "cueillera", "cueillait", "cueilli"),
        ("être", "sera", "était", "été"),
        ("voir", "verra", "voyait", "vu"),
        ("appeler", "appellera", "appelait", "appelé"),
        ("acheter", "achètera", "achetait", "acheté"),
        ("promettre", "promettra", "promettait", "promis"),
        ("décrire", "décrira", "décrivait", "décrit"),
        ("offrir", "offrira", "offrait", "offert"),
        ("protéger", "protégera", "protégeait", "protégé"),
        ("traduire", "traduira", "traduisait", "traduit"),
    ],
)
def test_other_tenses(infinitive: str, future: str, imperfect: str, participle: str) -> None:
    forms = conjugate(infinitive)
    assert (forms.future[2], forms.imperfect[2], forms.participle) == (future, imperfect, participle)


def test_nous_of_the_imperfect_drops_the_helping_letter() -> None:
    assert conjugate("manger").imperfect[3] == "mangions"
    assert conjugate("commencer").imperfect[3] == "commencions"


def test_auxiliary() -> None:
    assert conjugate("partir").with_etre
    assert conjugate("laver", reflexive=True).with_etre
    assert not conjugate("laver").with_etre


def test_participles_agree() -> None:
    assert [fr.agree("vu", f, p) for f in (False, True) for p in (False, True)] == ["vu", "vus", "vue", "vues"]
    assert [fr.agree("pris", f, p) for f in (False, True) for p in (False, True)] == ["pris", "pris", "prise", "prises"]


@pytest.mark.parametrize(
    ("english", "forms", "before_vowel"),
    [
        ("beautiful", "beau belle beaux belles", "bel"),
        ("new", "nouveau nouvelle nouveaux nouvelles", "nouvel"),
        ("old", "vieux vieille vieux vieilles", "vieil"),
        ("happy", "heureux heureuse heureux heureuses", "heureux"),
        ("white", "blanc blanche blancs blanches", "blanc"),
        ("proud", "fier fière fiers fières", "fier"),
        ("kind", "gentil gentille gentils gentilles", "gentil"),
        ("loyal", "loyal loyale loyaux loyales", "loyal"),
        ("blue", "bleu bleue bleus bleues", "bleu"),
        ("public", "public publique publics publiques", "public"),
        ("Italian", "italien italienne italiens italiennes", "italien"),
        ("active", "actif active actifs actives", "actif"),
        ("red", "rouge rouge rouges rouges", "rouge"),
    ],
)
def test_adjectives(english: str, forms: str, before_vowel: str) -> None:
    adjective = ADJECTIVE[english]
    assert adjective.forms == tuple(forms.split())
    assert adjective.before_vowel == before_vowel


@pytest.mark.parametrize(
    ("english", "plural", "french_plural"),
    [
        ("horse", "horses", "chevaux"),
        ("newspaper", "newspapers", "journaux"),
        ("castle", "castles", "châteaux"),
        ("game", "games", "jeux"),
        ("mouse", "mice", "souris"),
        ("owl", "owls", "hiboux"),
        ("knife", "knives", "couteaux"),
        ("child", "children", "enfants"),
        ("city", "cities", "villes"),
        ("grandmother", "grandmothers", "grands-mères"),
        ("bus", "buses", "bus"),
    ],
)
def test_plurals(english: str, plural: str, french_plural: str) -> None:
    assert (NOUN[english].english_plural, NOUN[english].french_plural) == (plural, french_plural)


def test_elision_knows_the_aspirated_h() -> None:
    eliding = ["ami", "homme", "histoire", "hôtel", "heureux", "hésite", "école", "œuf", "île", "apprentissage"]
    keeping = ["héros", "haricot", "hibou", "hérisson", "harpe", "haute", "hurle", "huit", "onze", "livre"]
    assert [word for word in eliding if not fr.opens_with_vowel(word)] == []
    assert [word for word in keeping if fr.opens_with_vowel(word)] == []


@pytest.mark.parametrize(
    ("verb", "third", "past"),
    [("wash", "washes", "washed"), ("carry", "carries", "carried"), ("play", "plays", "played"),
     ("dance", "dances", "danced")],
)  # fmt: skip
def test_english_verbs(verb: str, third: str, past: str) -> None:
    assert (en.third_person(verb), en.regular_past(verb)) == (third, past)
    assert (en.third_person("have"), en.third_person("go")) == ("has", "goes")


def test_a_and_an() -> None:
    assert {en.indefinite(word) for word in ("apple", "honest", "old")} == {"an"}
    assert {en.indefinite(word) for word in ("useful", "university", "red")} == {"a"}
