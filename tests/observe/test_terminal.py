"""The matrix in the terminal: what is written is what was given, on every kind of terminal."""

import io
import re
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.cells import cell_len
from rich.console import Console

from regard.observe.terminal import CAPTION, SCALE, colour, matrix

SOURCE = ["I", "love", "deep", "learning"]
TARGET = ["J'", "adore", "l'", "apprentissage", "profond"]
WEIGHTS = np.array(
    [
        [0.82, 0.1, 0.04, 0.04],
        [0.1, 0.8, 0.05, 0.05],
        [0.0, 0.0, 0.2, 0.8],
        [0.05, 0.05, 0.4, 0.5],
        [0.0, 0.0, 1.0, 0.0],
    ]
)


class _Encoded(io.StringIO):
    """A text stream that says which encoding it writes."""

    def __init__(self, encoding):
        super().__init__()
        self._encoding = encoding

    @property
    def encoding(self):
        return self._encoding


def drawn(*args, columns=80, colour_system=None, encoding="utf-8", no_color=False, **kwargs):
    stream = _Encoded(encoding)
    console = Console(
        file=stream, width=columns, color_system=colour_system, force_terminal=colour_system is not None,
        no_color=no_color, legacy_windows=False,
    )  # fmt: skip
    console.print(matrix(*args, **kwargs))
    return stream.getvalue()


def without_escapes(text):
    return re.sub(r"\x1b\[[0-9;]*m", "", text)


@pytest.mark.parametrize("colour_system", [None, "256", "truecolor"])
def test_rows_are_source_words_and_columns_target_words(colour_system):
    lines = without_escapes(drawn(WEIGHTS, SOURCE, TARGET, colour_system=colour_system)).splitlines()
    assert lines[0].split() == TARGET
    rows = [re.findall(r"·|1\.0|\.\d\d", line) for line in lines[1:5]]
    assert [line.split()[0] for line in lines[1:5]] == SOURCE
    assert rows == [
        [".82", ".10", "·", ".05", "·"],
        [".10", ".80", "·", ".05", "·"],
        [".04", ".05", ".20", ".40", "1.0"],
        [".04", ".05", ".80", ".50", "·"],
    ]


def test_the_scale_and_the_caption_are_printed():
    text = " ".join(drawn(WEIGHTS, SOURCE, TARGET).split())
    assert "weight α: ░░ ≥ .05 ▒▒ ≥ .25 ▓▓ ≥ .50 ██ ≥ .75 · < .005" in text
    assert "Each column is one α_t and sums to 1." in text
    assert CAPTION in text
    painted = without_escapes(drawn(WEIGHTS, SOURCE, TARGET, colour_system="truecolor"))
    assert re.search(r"weight α:\s+·\s+\.10\s+\.20.*\.90\s+1\.0", painted)


def test_columns_that_do_not_sum_to_one_are_said_so():
    text = " ".join(drawn(WEIGHTS * np.array([0.9, 1, 1, 1, 1])[:, None], SOURCE, TARGET).split())
    assert "the sums run from 0.90 to 1.00" in text
    assert "sums to 1." not in text


def test_colour_is_used_only_where_there_is_colour():
    assert "\x1b[" in drawn(WEIGHTS, SOURCE, TARGET, colour_system="truecolor")
    plain = drawn(WEIGHTS, SOURCE, TARGET, colour_system="truecolor", no_color=True)
    assert "██.82" in plain
    assert "38;2" not in plain
    assert "48;2" not in plain
    assert "\x1b" not in drawn(WEIGHTS, SOURCE, TARGET)


def test_dumb_terminals_and_no_color_get_marks(monkeypatch):
    monkeypatch.setenv("TERM", "dumb")
    assert "\x1b" not in (text := _on_a_terminal())
    assert "██.82" in text
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setenv("NO_COLOR", "1")
    assert "██.82" in _on_a_terminal()


def _on_a_terminal():
    stream = _Encoded("utf-8")
    Console(file=stream, force_terminal=True, width=80).print(matrix(WEIGHTS, SOURCE, TARGET))
    return stream.getvalue()


def test_the_scale_grows_brighter_all_the_way():
    luminance = [0.2126 * r + 0.7152 * g + 0.0722 * b for r, g, b in (colour(i / 100) for i in range(101))]
    assert all(after >= before for before, after in pairwise(luminance))
    assert (colour(-1), colour(2)) == (SCALE[0], SCALE[-1])


@pytest.mark.parametrize("encoding", ["ascii", "latin-1"])
def test_terminals_that_lack_characters_lose_nothing_else(encoding):
    source = ["forêt", "東京", "œuf"]
    text = drawn(np.eye(3), source, ["ünï", "x", "y"], encoding=encoding)
    text.encode(encoding)
    assert "alpha_t" in text
    assert "##1.0" in text
    assert ("forêt" if encoding == "latin-1" else "foret") in text


HOSTILE = [
    "[red]",
    "[/]",
    "\x1b[31mred\x1b[0m",
    "two\nlines",
    "\r",
    "\t",
    "\u202egnp",
    "\x07",
    "",
    "\u2028",
    "[link=x]y",
]


@pytest.mark.parametrize("colour_system", [None, "truecolor"])
def test_hostile_words_are_shown_and_do_nothing(colour_system):
    n = len(HOSTILE)
    text = drawn(np.eye(n), HOSTILE, HOSTILE, columns=200, colour_system=colour_system, title="[bold]\x1b[2J")
    plain = without_escapes(text)
    assert not set(plain) & set("\x1b\r\t\x07\u202e\u2028")
    assert "\x1b[31m" not in text
    for word in (
        "[red]",
        "[/]",
        r"\x1b[31mred\x1b[0m"[:10],
        r"two\nlines",
        r"\u202egnp",
        r"\x07",
        "[link=x]y",
        "[bold]",
    ):
        assert word in plain
    assert len([line for line in plain.splitlines() if "1.0" in line]) >= n


def test_wide_characters_keep_the_columns_in_line():
    lines = drawn(np.full((2, 2), 0.5), ["東京", "I"], ["学ぶ", "go"]).splitlines()
    places = [[cell_len(line[: m.start()]) for m in re.finditer(r"\.50", line)] for line in lines[1:3]]
    assert places[0] == places[1]


def test_long_sentences_are_cut_into_panels_that_repeat_the_source():
    source, target = [f"s{i}" for i in range(40)], [f"word{i}" for i in range(60)]
    weights = np.full((60, 40), 1 / 40)
    lines = drawn(weights, source, target).splitlines()
    assert max(len(line) for line in lines) <= 80
    headings = [line for line in lines if re.match(r"\s+word", line)]
    assert [word for line in headings for word in line.split()] == target
    assert sum(line.split()[:1] == ["s39"] for line in lines) == len(headings) > 1
    assert f"target words 1 to {len(headings[0].split())} of 60" in lines


def test_a_word_too_long_is_cut_with_a_sign():
    text = drawn(np.ones((1, 1)), ["x" * 99], ["y" * 99], columns=40)
    assert "xxx…" in text
    assert "yyy…" in text
    assert max(len(line) for line in text.splitlines()) <= 40


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.text(max_size=30), min_size=1, max_size=6),
    st.lists(st.text(max_size=30), min_size=1, max_size=6),
    st.integers(24, 120),
    st.sampled_from(["utf-8", "ascii"]),
)
def test_any_words_fit_any_width(source, target, columns, encoding):
    weights = np.full((len(target), len(source)), 1 / len(source))
    text = drawn(weights, source, target, columns=columns, encoding=encoding)
    text.encode(encoding)
    assert all(cell_len(line) <= columns for line in text.splitlines())


def test_narrower_than_the_terminal_when_asked():
    assert max(len(line) for line in drawn(WEIGHTS, SOURCE, TARGET, width=30).splitlines()) <= 30


def test_no_words_say_so():
    assert "nothing to draw" in drawn(np.zeros((0, 2)), ["a", "b"], [])


def test_wrong_shape_names_the_expected_one():
    with pytest.raises(ValueError, match="expected \\(target words, source words\\)"):
        matrix(WEIGHTS.T, SOURCE, TARGET)


def test_a_caption_of_ones_own_stands_in_the_place_of_the_usual_one():
    stream = _Encoded("utf-8")
    own = matrix(WEIGHTS, SOURCE, TARGET, caption="Each cell is a place.", width=30)
    Console(file=stream, width=30, color_system=None).print(own)
    said = " ".join(stream.getvalue().split())
    assert said.endswith("Each cell is a place.")
    assert "columns 1 to" in said
    assert "target words" not in said
    assert CAPTION not in said
