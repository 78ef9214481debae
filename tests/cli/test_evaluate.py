"""`regard evaluate`: sacreBLEU's scores with signatures, by length, and as JSON."""

import json

import pytest

sacrebleu = pytest.importorskip("sacrebleu")

SOURCE = ["the black cat sleeps here", "it rains", " ".join(["a very long sentence"] * 4)]
TARGET = ["THE BLACK CAT SLEEPS HERE", "IT SNOWS", " ".join(["A VERY LONG SENTENCE"] * 3)]


@pytest.fixture
def test_set(tmp_path):
    path = tmp_path / "test.tsv"
    path.write_text("".join(f"{s}\t{t}\n" for s, t in zip(SOURCE, TARGET, strict=True)), encoding="utf-8")
    return path


def test_scores_are_sacrebleus_with_signatures(regard, translator, tmp_path, test_set):
    outcome = regard("evaluate", test_set, "--model", tmp_path, "--json", tmp_path / "s.json", "--edges", "5,10")
    assert outcome.code == 0, outcome.err
    texts = [source.upper() for source in SOURCE]
    expected = sacrebleu.corpus_bleu(texts, [TARGET])
    assert f"BLEU {expected.score:.2f}  nrefs:1|case:mixed|eff:no|tok:13a" in outcome.out
    assert f"chrF2 {sacrebleu.corpus_chrf(texts, [TARGET]).score:.2f}  nrefs:1" in outcome.out
    written = json.loads((tmp_path / "s.json").read_text(encoding="utf-8"))
    assert written["scores"]["BLEU"]["value"] == expected.score
    assert [(part["words"], part["sentences"]) for part in written["by_length"]] == [
        ("≤ 5", 2),
        ("6–10", 0),
        ("> 10", 1),
    ]
    assert written["by_length"][1]["value"] is None
    assert written["by_length"][0]["value"] == sacrebleu.corpus_bleu(texts[:2], [TARGET[:2]]).score
    assert "none" in next(line for line in outcome.out.splitlines() if line.startswith("6–10"))
    assert translator.asked == [(SOURCE, 5, False)]


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--tokenize", "14a"], "13a"),
        (["--edges", "ten"], "such as 10,20,30"),
        (["--edges", "20,10"], "grow"),
        (["--json", "absent/s.json"], "there is no folder"),
        (["--source", "x"], "either one tab-separated file"),
    ],
)
def test_mistakes_are_one_line(regard, translator, tmp_path, test_set, monkeypatch, arguments, says):
    monkeypatch.chdir(tmp_path)
    outcome = regard("evaluate", test_set, "--model", tmp_path, *arguments)
    assert outcome.code == 2
    assert outcome.err.count("\n") == 1
    assert says in outcome.err


def test_a_public_sets_test_split_by_name(regard, translator, tmp_path, test_set):
    folder = tmp_path / "data" / "tatoeba_en_fr"
    folder.mkdir(parents=True)
    (folder / "test.tsv").write_text("A CAT\ta cat\nHI\thi\n")
    given = ["--data", "tatoeba", "--languages", "fr-en", "--data-dir", tmp_path / "data"]
    outcome = regard("evaluate", *given, "--model", tmp_path)
    assert outcome.code == 0, outcome.err
    assert outcome.out.startswith("tatoeba, test split, fr-en: 2 sentences")
    assert translator.asked[0][0] == ["a cat", "hi"]
    outcome = regard("evaluate", test_set, *given, "--model", tmp_path)
    assert (outcome.code, outcome.err.count("\n")) == (2, 1)
    assert "both --data tatoeba and" in outcome.err
