"""BLEU and chrF are sacreBLEU's, carry their signatures, and refuse what cannot be scored."""

import sys

import pytest
import sacrebleu

from regard.errors import UserError
from regard.evaluation.scores import bleu, chrf

HYPOTHESES = ["Le chat noir dort.", "J'adore l'apprentissage profond", "Elle ne mange pas la pomme rouge ."]
REFERENCES = ["Le chat noir dort ici.", "J'adore l'apprentissage profond", "Elle ne mange pas les pommes rouges ."]


@pytest.mark.parametrize("tokenize", ["13a", "none", "char", "intl"])
def test_bleu_is_sacrebleus(tokenize):
    score = bleu(HYPOTHESES, REFERENCES, tokenize=tokenize)
    assert score.value == sacrebleu.corpus_bleu(HYPOTHESES, [REFERENCES], tokenize=tokenize).score
    assert 0 < score.value < 100
    assert f"tok:{tokenize}" in score.signature
    assert f"version:{sacrebleu.__version__}" in score.signature


def test_chrf_is_sacrebleus():
    score = chrf(HYPOTHESES, REFERENCES)
    assert score.value == sacrebleu.corpus_chrf(HYPOTHESES, [REFERENCES]).score
    assert "nc:6" in score.signature


def test_signature_is_printed_beside_the_score():
    score = bleu(REFERENCES, REFERENCES)
    assert str(score) == f"BLEU 100.00  {score.signature}"


@pytest.mark.parametrize(
    ("hypotheses", "references", "says"),
    [
        (["a"], ["a", "b"], "1 hypotheses but 2 references"),
        ([], [], "no sentences"),
        ("a", ["a"], "not one string"),
    ],
)
@pytest.mark.parametrize("score", [bleu, chrf])
def test_refuses_what_cannot_be_scored(score, hypotheses, references, says):
    with pytest.raises(UserError, match=says):
        score(hypotheses, references)


def test_unknown_tokeniser_names_the_known():
    with pytest.raises(UserError, match=r"'13b'.*13a"):
        bleu(["a"], ["a"], tokenize="13b")


def test_tokenised_text_scored_with_none_brings_no_warning(caplog):
    text = ["un chien court ."] * 200
    bleu(text, text, tokenize="none")
    assert not caplog.records


def test_missing_extra_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "sacrebleu", None)
    with pytest.raises(UserError, match=r'pip install "regard\[train\]"'):
        bleu(["a"], ["a"])
