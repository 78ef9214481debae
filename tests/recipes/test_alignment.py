"""The alignment recipe on a model that knows nothing: what it chooses, compares and writes; and IBM model 1's links."""

import json
import sys

import pytest

from regard.data.corpus import Pair
from regard.errors import UserError
from regard.evaluation.alignment import Gold, alignment_error
from regard.recipes import alignment
from regard.recipes.alignment import Sentence, ibm1, judge, read_debates
from regard.recipes.builtin import written

pytest.importorskip("nltk")
pytest.importorskip("sacrebleu")


@pytest.fixture
def small(monkeypatch):
    monkeypatch.setattr(alignment, "VALID", 8)
    monkeypatch.setattr(alignment, "TEST", 12)
    monkeypatch.setattr(alignment, "ITERATIONS", 2)
    monkeypatch.setattr(alignment, "training_pairs", lambda seed: written("train", 60, seed))


def test_everything_is_judged_and_written(small, tiny_translator, tmp_path, monkeypatch, capsys):
    folder = tmp_path / "word_alignment"
    folder.mkdir()
    (folder / "enfr.src-tgt").write_text("the Cat  ||| le chat \noh , oh ! ||| oh , oh !  \n", encoding="utf-8")
    (folder / "enfr.gold").write_text("1-1 2-2\n1-1 2-2 3p1\n", encoding="utf-8")
    out = tmp_path / "out.json"
    monkeypatch.setattr(
        sys, "argv", ["alignment", "--model", str(tiny_translator), "--data-dir", str(tmp_path), "--json", str(out)]
    )
    alignment.main()
    results = json.loads(out.read_text(encoding="utf-8"))
    builtin, debates = results["built-in corpus, test"], results["debates, en-fr"]
    assert set(builtin) == {"attention", "diagonal", "IBM model 1"}
    assert set(debates) == {"attention", "diagonal"}
    assert results["IBM model 1, iterations"] in (1, 2)
    assert all(0 <= builtin[system]["aer"] <= 1 for system in builtin)
    assert 0 < builtin["diagonal"]["attention against it"]["p"] <= 1
    assert debates["diagonal"]["aer"] == pytest.approx(1 - (4 + 4) / (6 + 4))
    shown = capsys.readouterr().out
    assert f"link rule, chosen on 8 validation sentences: {results['rule']}" in shown
    assert "IBM model 1   AER" in shown


def test_ibm_model_1_learns_what_stands_together():
    def pair(english, french):
        links = tuple((i, i) for i in range(len(english.split())))
        return Pair(english, french, tuple(english.split()), tuple(french.split()), links, frozenset())

    train = [pair("The house", "la maison"), pair("the book", "le livre"), pair("a book", "un livre")] * 2
    train += [pair("a house", "une maison")]
    sentences = [Sentence.of(pair("a book", "un livre"))]
    iterations, found = ibm1(train, sentences, sentences)
    assert 1 <= iterations <= alignment.ITERATIONS
    assert (1, 1) in found[0]


def test_a_missing_nltk_says_what_to_do(monkeypatch):
    monkeypatch.setitem(sys.modules, "nltk.translate", None)
    with pytest.raises(UserError, match=r"pip install nltk.*--without-ibm"):
        ibm1([], [], [])


def test_debates_that_do_not_fit_are_named(tmp_path):
    (tmp_path / "enfr.src-tgt").write_text("A ||| B\n")
    (tmp_path / "enfr.gold").write_text("1-1\n1-1\n")
    with pytest.raises(UserError, match=r"1 lines and enfr\.gold 2"):
        read_debates(tmp_path)
    (tmp_path / "enfr.gold").write_text("1-1\n")
    (sentence,) = read_debates(tmp_path)
    assert (sentence.source, sentence.target_words, sentence.gold) == ("A", ("B",), Gold.of({(0, 0)}))
    assert read_debates(tmp_path, lowercase=True) == [sentence.lowercased()]
    assert sentence.lowercased() == Sentence("a", "b", ("a",), ("b",), sentence.gold)


def test_judging_compares_attention_with_each_baseline(capsys):
    sentences = [Sentence.of(pair) for pair in written("valid", 10, 1)]
    gold = [frozenset(s.gold.sure) for s in sentences]
    plain = judge("name", {"attention": gold, "diagonal": alignment.by_diagonal(sentences)}, sentences)
    assert plain["attention"]["aer"] == 0
    expected = alignment_error(alignment.by_diagonal(sentences), [s.gold for s in sentences]).aer
    assert plain["diagonal"]["aer"] == expected
    assert plain["diagonal"]["attention against it"]["p"] < 0.05
    assert "significant" in capsys.readouterr().out
