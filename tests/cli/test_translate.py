"""`regard translate`: arguments, files and standard input; a line out for every line in."""

import io
import sys
from types import SimpleNamespace

import pytest

from regard.cli import options
from regard.decoding.options import Decoding


@pytest.fixture
def standard_input(monkeypatch):
    def give(data, terminal=False):
        stream = SimpleNamespace(buffer=io.BytesIO(data), isatty=lambda: terminal)
        monkeypatch.setattr(sys, "stdin", stream)

    return give


def test_arguments(regard, translator, tmp_path):
    outcome = regard("translate", "one two", "three", "--model", tmp_path, "--beam", 2)
    assert (outcome.code, outcome.out) == (0, "ONE TWO\nTHREE\n")
    assert translator.asked == [(["one two"], 2, False), (["three"], 2, False)]


def test_standard_input_keeps_blank_lines_and_order(regard, translator, tmp_path, standard_input):
    standard_input("un\n\n  \ndéjà\r\ntrois".encode())
    assert regard("translate", "--model", tmp_path).out == "UN\n\n\nDÉJÀ\nTROIS\n"


def test_typed_sentences_are_answered_one_by_one(regard, translator, tmp_path, standard_input):
    standard_input(b"a\nb\n", terminal=True)
    outcome = regard("translate", "--model", tmp_path)
    assert translator.streamed.at_once == 1
    assert "Ctrl-D" in outcome.err


def test_bad_bytes_on_standard_input_are_named(regard, translator, tmp_path, standard_input):
    standard_input(b"good\nab\xff\n")
    outcome = regard("translate", "--model", tmp_path)
    assert (outcome.code, outcome.err) == (
        2,
        "regard: standard input: line 2, byte 3 is not UTF-8; convert the text to UTF-8\n",
    )


def test_files(regard, translator, tmp_path):
    (tmp_path / "a.en").write_text("one\n\ntwo\n", encoding="utf-8")
    outcome = regard("translate", "--model", tmp_path, "--input", tmp_path / "a.en", "--output", tmp_path / "a.fr")
    assert (outcome.code, outcome.out) == (0, "")
    assert (tmp_path / "a.fr").read_text(encoding="utf-8") == "ONE\n\nTWO\n"


def test_show_and_save(regard, translator, tmp_path):
    outcome = regard("translate", "hi you", "--model", tmp_path, "--show", "--save", tmp_path / "p.png")
    assert outcome.out == "HI YOU\n<matrix of hi you>\n"
    assert translator.asked[0][2] is True
    assert translator.saved == [tmp_path / "p.png"]


def test_several_pictures_are_numbered(regard, translator, tmp_path):
    assert regard("translate", "a", "b", "--model", tmp_path, "--save", tmp_path / "p.svg").code == 0
    assert translator.saved == [tmp_path / "p-1.svg", tmp_path / "p-2.svg"]


def test_report(regard, translator, tmp_path):
    assert regard("translate", "hi you", "--model", tmp_path, "--report", tmp_path / "r.html").code == 0
    assert translator.saved == [tmp_path / "r.html"]


def test_a_model_without_attention_has_nothing_to_show(regard, translator, tmp_path):
    translator.has_attention = False
    outcome = regard("translate", "a", "--model", tmp_path, "--show")
    assert outcome.code == 2
    assert "no attention" in outcome.err


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["a", "--input", "x"], "leave one out"),
        (["a", "--save", "p.gif"], ".png or .svg"),
        (["a", "--report", "p.txt"], "pages end in .html"),
        (["a", "--save", "absent/p.png"], "there is no folder"),
        (["a", "--report", "absent/p.html"], "there is no folder"),
        (["--input", "absent.txt"], "absent.txt"),
        (["a", "--output", "absent/there.txt"], "absent/there.txt"),
    ],
)
def test_mistakes_are_one_line(regard, translator, tmp_path, monkeypatch, arguments, says):
    monkeypatch.chdir(tmp_path)
    outcome = regard("translate", "--model", tmp_path, *arguments)
    assert outcome.code == 2
    assert outcome.err.count("\n") == 1
    assert says in outcome.err


def test_nothing_is_lost_when_input_and_output_are_one_file_or_the_input_is_missing(regard, translator, tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("one\n", encoding="utf-8")
    assert regard("translate", "--model", tmp_path, "-i", tmp_path / "absent", "-o", path).code == 2
    assert path.read_text(encoding="utf-8") == "one\n"
    outcome = regard("translate", "--model", tmp_path, "-i", path, "-o", tmp_path / "." / path.name)
    assert outcome.code == 2
    assert "the file to translate" in outcome.err
    assert path.read_text(encoding="utf-8") == "one\n"


def test_every_option_reaches_the_decoder(regard, translator, tmp_path):
    outcome = regard(
        "translate", "a", "--model", tmp_path, "--beam", 7, "--length-penalty", 0.5, "--coverage-penalty", 0.2,
        "--no-repeat", 3, "--max-length", 9, "--replace-unknown", "--sample", "--temperature", 0.7, "--top-k", 4,
        "--top-p", 0.9, "--seed", 5, "--prefix", "bon", "--workers", 2,
    )  # fmt: skip
    assert outcome.code == 0, outcome.err
    asked = translator.streamed
    assert asked.decoding == Decoding(7, 0.5, 0.2, 3, 9, True, 0.7, 4, 0.9, 5, True)
    assert (asked.n, asked.prefix, asked.workers, asked.attention) == (1, "bon", 2, False)


def test_n_best_lists_are_written_as_moses_writes_them(regard, translator, tmp_path):
    outcome = regard("translate", "one two", "three", "--model", tmp_path, "--n-best", 2)
    one, three = "0 ||| ONE TWO ||| logprob= -1.25 ||| -0.5\n", "1 ||| THREE ||| logprob= -1.25 ||| -0.5\n"
    assert outcome.out == one * 2 + three * 2


def test_several_models_are_one_ensemble(regard, translator, tmp_path):
    for name in "ab":
        (tmp_path / name).mkdir()
    assert regard("translate", "x", "-m", tmp_path / "a", "-m", tmp_path / "b").code == 0
    assert translator.loaded == [str(tmp_path / "a"), str(tmp_path / "b")]


@pytest.mark.parametrize(
    ("own", "shipped", "loaded", "says"),
    [
        (True, [], "regard-model", ""),
        (True, ["en-fr"], "regard-model", "Using the model in regard-model"),
        (False, ["en-fr"], "en-fr", ""),
        (False, [], "regard-model", "no model"),
    ],
)
def test_without_a_model_ones_own_goes_before_the_one_that_came_along(
    regard, translator, tmp_path, monkeypatch, own, shipped, loaded, says
):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(options, "names", lambda: shipped)
    if own:
        (tmp_path / "regard-model").mkdir()
    outcome = regard("translate", "x")
    assert translator.loaded == [loaded]
    assert says in outcome.err


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--top-p", "2"], "--top-p: expected a probability above 0, at most 1, got 2.0"),
        (["--temperature", "0.5"], "--temperature: it shapes how words are drawn, and nothing is drawn without sample"),
        (["--length-penalty", "-1"], "--length-penalty: expected a number, 0 or more"),
        (["--precision", "half"], "float32"),
        (["--workers", "0"], "--workers"),
    ],
)
def test_an_option_that_is_not_valid_is_named_as_it_is_typed(regard, translator, tmp_path, arguments, says):
    outcome = regard("translate", "a", "--model", tmp_path, *arguments)
    assert outcome.code == 2
    assert says in outcome.err
    assert outcome.err.count("\n") == 1
