"""Pictures: readable, the same every time, safe with any word, with words for those who cannot see them."""

import math
import sys
import xml.etree.ElementTree as ET
from itertools import pairwise

import numpy as np
import pytest

pytest.importorskip("matplotlib")

from PIL import Image

from regard.errors import UserError
from regard.observe.figure import alignment, lengths, save

SOURCE = ["I", "love", "deep", "learning"]
TARGET = ["J'", "adore", "l'", "apprentissage", "profond"]
WEIGHTS = np.random.default_rng(0).dirichlet(np.ones(4), size=5)
HOSTILE = ["$x^2$", "$\\frac$", "<script>alert()</script>", "a&b", "\x1b[31m", "\n", '"><img onerror=x>', "_x", "$"]
CURVES = {
    "additive": {"≤ 10": 90.0, "11–20": 89.0},
    "none": {"≤ 10": 70.0, "11–20": None},
    "dot": {"≤ 10": 90.0, "11–20": 90.0},
}


def svg(figure, folder):
    save(figure, folder / "p.svg")
    return (folder / "p.svg").read_text(encoding="utf-8")


def texts(document):
    return ["".join(node.itertext()) for node in ET.fromstring(document).iter("{http://www.w3.org/2000/svg}text")]


def test_the_picture_shows_the_transposed_weights_on_a_fixed_scale():
    axes = alignment(WEIGHTS, SOURCE, TARGET).axes[0]
    image = axes.images[0]
    np.testing.assert_array_equal(image.get_array(), WEIGHTS.T)
    assert image.get_clim() == (0, 1)
    assert [label.get_text() for label in axes.get_yticklabels()] == SOURCE
    assert [label.get_text() for label in axes.get_xticklabels()] == TARGET


def test_labels_scale_and_caption_are_there(tmp_path):
    written = texts(svg(alignment(WEIGHTS, SOURCE, TARGET, title="A title"), tmp_path))
    assert {"A title", "attention weight α", *SOURCE, *TARGET} <= set(written)
    assert any("not why the output was produced" in text for text in written)
    assert any("each column one α_t" in text for text in written)


def test_hostile_words_are_text_and_nothing_else(tmp_path):
    n = len(HOSTILE)
    figure = alignment(np.eye(n), HOSTILE, HOSTILE, title="$y$ <b>")
    save(figure, tmp_path / "p.png")
    document = svg(figure, tmp_path)
    assert "<script>" not in document
    assert "<img" not in document
    written = texts(document)
    assert {"$x^2$", "$\\frac$", "<script>alert()</script>", "a&b", r"\x1b[31m", r"\n", "$", "$y$ <b>"} <= set(written)


def test_svg_is_the_same_every_time(tmp_path):
    first, second = (svg(alignment(WEIGHTS, SOURCE, TARGET), tmp_path) for _ in range(2))
    assert first == second
    assert "<dc:date>" not in first


def test_title_and_description_travel_in_the_file(tmp_path):
    figure = alignment(np.eye(4)[[0, 1, 3, 3, 2]], SOURCE, TARGET, title="The title")
    document = svg(figure, tmp_path)
    assert "<title>The title</title>" in document
    assert "Most was read: J' from I (1.00); adore from love (1.00)" in document
    save(figure, tmp_path / "p.png")
    with Image.open(tmp_path / "p.png") as image:
        assert image.info["Title"] == "The title"
        assert "4 source words by 5 target words" in image.info["Description"]


@pytest.mark.parametrize(("targets", "sources"), [(1, 1), (5, 4), (24, 20), (25, 30), (60, 60)])
def test_labels_do_not_overlap(targets, sources):
    weights = np.full((targets, sources), 1 / sources)
    figure = alignment(weights, ["apprentissage"] * sources, ["constitutionnellement"] * targets)
    axes = figure.axes[0]
    figure.canvas.draw()
    renderer = figure.canvas.get_renderer()
    columns, rows = axes.get_xticklabels(), axes.get_yticklabels()
    boxes = [label.get_window_extent(renderer) for label in rows]
    assert all(above.y0 >= below.y1 for above, below in pairwise(boxes))
    extents = [label.get_window_extent(renderer) for label in columns]
    if columns[0].get_rotation():
        apart = [(b.x0 - a.x0) * math.sin(math.radians(45)) for a, b in pairwise(extents)]
        assert all(gap >= columns[0].get_fontsize() * figure.dpi / 72 for gap in apart)
    else:
        assert all(b.x0 >= a.x1 for a, b in pairwise(extents))
    title = axes.title.get_window_extent(renderer)
    assert title.y0 >= max(extent.y1 for extent in extents)


def test_nothing_global_changes():
    before = "matplotlib.pyplot" in sys.modules
    alignment(WEIGHTS, SOURCE, TARGET)
    lengths(CURVES)
    assert ("matplotlib.pyplot" in sys.modules) == before


def test_lines_are_named_at_their_ends_and_empty_bins_are_gaps(tmp_path):
    figure = lengths(CURVES, caption="a|signature")
    axes = figure.axes[0]
    assert [len(line.get_xdata()) for line in axes.lines] == [2, 1, 2]
    assert axes.get_legend() is None
    written = texts(svg(figure, tmp_path))
    assert {"additive", "none", "dot", "a|signature", "≤ 10", "11–20", "BLEU"} <= set(written)
    names = {text.get_text(): text.get_position()[1] for text in axes.texts if text.get_text() in CURVES}
    assert abs(names["additive"] - names["dot"]) >= 5


def test_curves_need_the_same_bins():
    with pytest.raises(ValueError, match="same bins"):
        lengths({"a": {"≤ 10": 1.0}, "b": {"≤ 20": 1.0}})
    with pytest.raises(ValueError, match="one or more curves"):
        lengths({})


def test_what_cannot_be_saved_is_said(tmp_path):
    figure = alignment(WEIGHTS, SOURCE, TARGET)
    with pytest.raises(UserError, match=r"\.png or \.svg, not \.gif"):
        save(figure, tmp_path / "p.gif")
    with pytest.raises(UserError, match="there is no folder"):
        save(figure, tmp_path / "absent" / "p.png")
    with pytest.raises(UserError, match="at least one source word"):
        alignment(np.zeros((0, 1)), ["a"], [])


def test_missing_extra_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(UserError, match=r'pip install "regard\[lens\]"'):
        alignment(WEIGHTS, SOURCE, TARGET)


def test_a_caption_of_ones_own_stands_in_the_place_of_the_usual_one(tmp_path):
    figure = alignment(WEIGHTS, SOURCE, TARGET, title="A map", caption="Each cell is a place. " * 5)
    written = " ".join(texts(svg(figure, tmp_path)))
    assert written.count("Each cell is a place.") >= 4
    assert "source words" not in written
    assert figure.get_label().startswith("A map. Each cell")
