"""French verb forms: present, future, imparfait and past participle, for je, vous, il, nous, ils in this order."""

import re
from dataclasses import dataclass

# infinitive: je, il, nous, ils, stem of the future, participle.
_MODELS = """
être suis est sommes sont ser été
avoir ai a avons ont aur eu
aller vais va allons vont ir allé
faire fais fait faisons font fer fait
venir viens vient venons viennent viendr venu
voir vois voit voyons voient verr vu
croire crois croit croyons croient croir cru
vouloir veux veut voulons veulent voudr voulu
pouvoir peux peut pouvons peuvent pourr pu
devoir dois doit devons doivent devr dû
recevoir reçois reçoit recevons reçoivent recevr reçu
lire lis lit lisons lisent lir lu
écrire écris écrit écrivons écrivent écrir écrit
dire dis dit disons disent dir dit
rire ris rit rions rient rir ri
boire bois boit buvons boivent boir bu
prendre prends prend prenons prennent prendr pris
mettre mets met mettons mettent mettr mis
connaître connais connaît connaissons connaissent connaîtr connu
disparaître disparais disparaît disparaissons disparaissent disparaîtr disparu
suivre suis suit suivons suivent suivr suivi
résoudre résous résout résolvons résolvent résoudr résolu
courir cours court courons courent courr couru
ouvrir ouvre ouvre ouvrons ouvrent ouvrir ouvert
offrir offre offre offrons offrent offrir offert
découvrir découvre découvre découvrons découvrent découvrir découvert
cueillir cueille cueille cueillons cueillent cueiller cueilli
envoyer envoie envoie envoyons envoient enverr envoyé
pleuvoir pleus pleut pleuvons pleuvent pleuvr plu
"""
_VOUS = {"être": "êtes", "faire": "faites", "dire": "dites"}
# Verbs made from a model by a prefix.
_PREFIXED = {
    "revenir": "venir",
    "comprendre": "prendre",
    "apprendre": "prendre",
    "surprendre": "prendre",
    "promettre": "mettre",
    "décrire": "écrire",
    "sourire": "rire",
}
_LIKE_DORMIR = {"dormir", "mentir", "partir", "endormir"}
_DOUBLING = {"appeler", "jeter"}
_WITH_ETRE = {"aller", "venir", "arriver", "partir", "entrer", "tomber", "rester", "revenir", "retourner"}

_FUTURE = ("ai", "ez", "a", "ons", "ont")
_IMPERFECT = ("ais", "iez", "ait", "ions", "aient")


@dataclass(frozen=True)
class Conjugation:
    """The forms of one verb; each tuple is je, vous, il, nous, ils."""

    infinitive: str
    present: tuple[str, ...]
    future: tuple[str, ...]
    imperfect: tuple[str, ...]
    participle: str
    with_etre: bool  # the auxiliary of the passé composé is être

    def forms(self) -> set[str]:
        """Every form, for the list of words that do not elide."""
        return {self.infinitive, *self.present, *self.future, *self.imperfect, self.participle}


def _read_models() -> dict[str, tuple[str, str, str, str, str, str]]:
    rows = [line.split() for line in _MODELS.strip().splitlines()]
    return {row[0]: (row[1], row[2], row[3], row[4], row[5], row[6]) for row in rows}


_TABLE = _read_models()


def _regular_er(verb: str) -> tuple[str, str, str, str, str, str]:
    """-er verbs with their spelling changes: je lève, je préfère, j'appelle, je nettoie, nous mangeons."""
    stem = verb[:-2]
    strong, future = stem, stem + "er"
    if verb in _DOUBLING:
        strong = stem + stem[-1]
        future = strong + "er"
    elif verb.endswith("yer"):
        strong = stem[:-1] + "i"
        future = strong + "er"
    elif re.search("e[bcdfglmnprstv]er$", verb):
        strong = stem[:-2] + "è" + stem[-1]
        future = strong + "er"
    elif match := re.search("é([bcdfglmnprstv]+)er$", verb):
        strong = stem[: match.start()] + "è" + match.group(1)
    soft = {"g": stem + "e", "c": stem[:-1] + "ç"}.get(stem[-1], stem)
    return strong + "e", strong + "e", soft + "ons", strong + "ent", future, stem + "é"


def _principal_parts(verb: str) -> tuple[str, str, str, str, str, str]:
    if verb in _TABLE:
        return _TABLE[verb]
    if verb in _PREFIXED:
        model = _PREFIXED[verb]
        prefix = verb[: -len(model)]
        je, il, nous, ils, future, participle = _TABLE[model]
        return prefix + je, prefix + il, prefix + nous, prefix + ils, prefix + future, prefix + participle
    if verb.endswith("er"):
        return _regular_er(verb)
    if verb in _LIKE_DORMIR:
        short, stem = verb[:-3], verb[:-2]
        return short + "s", short + "t", stem + "ons", stem + "ent", verb, stem + "i"
    if verb.endswith("uire"):
        stem = verb[:-2]
        return stem + "s", stem + "t", stem + "sons", stem + "sent", verb[:-1], stem + "t"
    if verb.endswith("indre"):
        stem = verb[:-3]
        soft = stem[:-1] + "gn"
        return stem + "s", stem + "t", soft + "ons", soft + "ent", verb[:-1], stem + "t"
    if verb.endswith("ir"):
        stem = verb[:-1]
        return stem + "s", stem + "t", stem + "ssons", stem + "ssent", verb, stem
    if verb.endswith("re"):
        stem = verb[:-2]
        return stem + "s", stem, stem + "ons", stem + "ent", verb[:-1], stem + "u"
    raise AssertionError(f"no conjugation for {verb}")


def conjugate(verb: str, reflexive: bool = False) -> Conjugation:
    """The forms of an infinitive, given without its reflexive pronoun."""
    je, il, nous, ils, future, participle = _principal_parts(verb)
    stem = "ét" if verb == "être" else nous[:-3]
    # Before e and i the soft g and c need no help: nous mangeons, vous mangez.
    front = stem[:-1] if stem.endswith("ge") else stem[:-1] + "c" if stem.endswith("ç") else stem
    vous = _VOUS.get(verb, front + "ez")
    imperfect = tuple((front if ending[0] == "i" else stem) + ending for ending in _IMPERFECT)
    return Conjugation(
        infinitive=verb,
        present=(je, vous, il, nous, ils),
        future=tuple(future + ending for ending in _FUTURE),
        imperfect=imperfect,
        participle=participle,
        with_etre=reflexive or verb in _WITH_ETRE,
    )
