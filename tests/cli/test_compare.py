"""`regard compare`: two models or files of translations, with significance, by length, and where they differ."""

import json

import pytest

sacrebleu = pytest.importorskip("sacrebleu")

SOURCE = ["the cat sleeps", "", "it rains on the small house", "a dog runs here now", "she reads"]
TARGET = ["THE CAT SLEEPS", "X", "IT SNOWS ON THE SMALL HOUSE", "A DOG RUNS HERE NOW", "SHE READS"]
OTHER = ["the cat eats", "anything", "IT SNOWS ON THE SMALL HOUSE", "A DOG RUNS HERE NOW", "SHE READS"]


@pytest.fixture
def files(tmp_path):
    (tmp_path / "test.tsv").write_text("".join(f"{s}\t{t}\n" for s, t in zip(SOURCE, TARGET, strict=True)))
    (tmp_path / "other.out").write_text("".join(f"{line}\n" for line in OTHER))
    (tmp_path / "model").mkdir()
    return tmp_path


def test_a_model_and_another_systems_file(regard, translator, files):
    outcome = regard(
        "compare", files / "model", files / "other.out", files / "test.tsv", "--json", files / "c.json",
        "--edges", "3,9", "--samples", 50, "--beam", 2, "--show", 1,
    )  # fmt: skip
    assert outcome.code == 0, outcome.err
    kept = [0, 2, 3, 4]
    model, other, gold = [SOURCE[i].upper() for i in kept], [OTHER[i] for i in kept], [TARGET[i] for i in kept]
    written = json.loads((files / "c.json").read_text(encoding="utf-8"))
    assert written["scores"]["BLEU"]["A"]["value"] == sacrebleu.corpus_bleu(model, [gold]).score
    assert written["scores"]["BLEU"]["B"]["value"] == sacrebleu.corpus_bleu(other, [gold]).score
    assert written["scores"]["chrF2"]["B"]["value"] == sacrebleu.corpus_chrf(other, [gold]).score
    assert 0 < written["scores"]["BLEU"]["p"] <= 1
    assert "bs:50|seed:12345" in written["scores"]["BLEU"]["signature"]
    assert (written["sentences"], written["left_out"], written["different"]) == (4, [2], 2)
    assert [(part["words"], part["sentences"]) for part in written["by_length"]] == [("≤ 3", 2), ("4–9", 2)]
    assert [part["line"] for part in written["most_different"]] == [1]
    assert "left out of 5 pairs, a side being blank: 1 (line 2)" in outcome.err
    assert "B − A " in outcome.out
    assert "p = " in outcome.out
    assert "  source     the cat sleeps\n  reference  THE CAT SLEEPS\n" in outcome.out
    assert translator.asked == [([SOURCE[i] for i in kept], 2, False)]


def test_a_system_beside_itself_may_be_chance(regard, files):
    outcome = regard("compare", files / "other.out", files / "other.out", files / "test.tsv")
    assert outcome.code == 0, outcome.err
    assert "4 sentences, 0 translated differently" in outcome.out
    assert outcome.out.count("+0.00, p = 1.0000, may be chance at 0.05") == 2
    assert "line 1" not in outcome.out


def test_two_files_of_a_public_sets_test_split(regard, files):
    (files / "tatoeba_en_fr").mkdir()
    (files / "tatoeba_en_fr" / "test.tsv").write_text(
        "".join(f"{s}\t{t}\n" for s, t in zip("abcde", TARGET, strict=True))
    )
    outcome = regard("compare", files / "other.out", files / "other.out", "--data", "tatoeba", "--data-dir", files)
    assert outcome.code == 0, outcome.err
    assert outcome.out.startswith("tatoeba, test split, en-fr: 5 sentences")


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--tokenize", "14a"], "13a"),
        (["--edges", "20,10"], "grow"),
        (["--json", "absent/c.json"], "there is no folder"),
        (["--json", "model"], "is a folder"),
        (["--samples", "0"], "--samples"),
        (["--source", "x"], "either one tab-separated file"),
    ],
)
def test_mistakes_are_one_line(regard, files, monkeypatch, arguments, says):
    monkeypatch.chdir(files)
    outcome = regard("compare", "other.out", "other.out", "test.tsv", *arguments)
    assert outcome.code == 2
    assert outcome.err.splitlines()[-1].startswith("regard: ")
    assert says in outcome.err


def test_a_file_that_is_not_the_test_sets_is_refused(regard, files):
    (files / "short.out").write_text("one\n")
    outcome = regard("compare", files / "short.out", files / "other.out", files / "test.tsv")
    assert outcome.code == 2
    assert "short.out has 1 lines and there are 5 pairs" in outcome.err
    assert regard("compare", files / "absent.out", files / "other.out", files / "test.tsv").code == 2


def test_nothing_is_translated_before_both_systems_are_there(regard, translator, files):
    outcome = regard("compare", files / "model", files / "absent", files / "test.tsv")
    assert outcome.code == 2
    assert "no model" in outcome.err
    assert translator.asked == []
