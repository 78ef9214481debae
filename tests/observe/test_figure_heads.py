"""Pictures of heads: what is painted is what was seen, at five words and at a hundred thousand positions."""

import xml.etree.ElementTree as ET
from itertools import pairwise

import numpy as np
import pytest
import torch

pytest.importorskip("matplotlib")

from looks import HOSTILE, SENTENCE, SOURCE, TARGET, encoder, hostile, long, observed, scores, sentence, translation
from PIL import Image

from regard.observe.figure import save
from regard.observe.figure_heads import by_head, grid, head, mass
from regard.observe.record import Observed
from regard.observe.seen import Look, Seen

NAME = "model.layers.0.self_attn"
FIVE = ["The", "cat", "sat", "down", "."]


def drawn(figure):
    return [image for axes in figure.axes for part in (axes, *axes.child_axes) for image in part.images]


def texts(figure, folder):
    save(figure, folder / "p.svg")
    document = ET.parse(folder / "p.svg").getroot()
    return ["".join(node.itertext()) for node in document.iter("{http://www.w3.org/2000/svg}text")]


def pixels(figure, folder):
    save(figure, folder / "p.png")
    with Image.open(folder / "p.png") as picture:
        return np.asarray(picture.convert("RGB")).astype(int)


@pytest.mark.parametrize("tokens", [FIVE, SENTENCE])
def test_a_head_is_painted_as_it_was_with_its_words(tokens, tmp_path):
    seen = sentence(1, 2, tokens)
    figure = head(seen, NAME, 1)
    painted = drawn(figure)[0].get_array()
    weights = seen.looks[0].observed.weights[0, 1].numpy()
    np.testing.assert_array_equal(painted.mask, ~np.tri(len(tokens), dtype=bool))
    np.testing.assert_allclose(painted.filled(0), weights, atol=1e-6)
    written = texts(figure, tmp_path)
    assert {*tokens, f"{NAME}, head 1", "attention weight α (square root)"} <= set(written)
    assert any("hatched: hidden by the mask" in text for text in written)
    assert any("not why the output was produced" in text for text in written)


def test_words_on_the_axes_do_not_overlap():
    figure = head(sentence(1, 1, ["constitutionally"] * 40), NAME, 0)
    figure.canvas.draw()
    boxes = [label.get_window_extent(figure.canvas.get_renderer()) for label in figure.axes[0].get_yticklabels()]
    assert all(above.y0 >= below.y1 - 1 for above, below in pairwise(boxes))


def test_hidden_pairs_look_different_from_weights_of_nothing(tmp_path):
    e = torch.full((1, 1, 6, 6), -30.0)
    e[..., 0] = 0
    allowed = torch.ones(1, 1, 6, 6, dtype=torch.bool).tril()
    figure = head(Seen([Look("a", 0, observed(e, allowed))]), "a", 0)
    figure.canvas.draw()
    picture = np.asarray(figure.canvas.buffer_rgba()).astype(int)[..., :3]
    place = figure.axes[0].transData

    def patch(query, key):
        (x0, y0), (x1, y1) = place.transform([(key - 0.3, query + 0.3), (key + 0.3, query - 0.3)])
        height = picture.shape[0]
        return np.unique(picture[int(height - y1) : int(height - y0), int(x0) : int(x1)].reshape(-1, 3), axis=0)

    assert len(patch(4, 2)) == 1
    assert len(patch(1, 4)) > 2


def test_a_hundred_thousand_positions_are_cells_on_a_numbered_scale(tmp_path):
    seen = long()
    figure = head(seen, "model.layers.7.self_attn", 0)
    recorded = seen.looks[0].observed.map.mean[0, 0].numpy()
    painted = drawn(figure)[0].get_array()
    np.testing.assert_allclose(painted.filled(0), np.nan_to_num(recorded))
    written = texts(figure, tmp_path)
    assert {"mean weight of a cell (square root)", "20,000", "80,000"} <= set(written)
    assert any("attention sink" in text and "(0)" in text for text in written)
    assert "largest weight of a cell (square root)" in texts(head(seen, seen.names[0], 0, largest=True), tmp_path)


def test_of_the_strongest_alone_the_rest_is_said_not_to_be_recorded(tmp_path):
    seen = Seen([Look("a", 0, observed(scores(1, 9), topk=2, weights=False))])
    painted = drawn(head(seen, "a", 0))[0].get_array()
    assert painted.count() == 18
    assert any("hatched: not recorded" in text for text in texts(head(seen, "a", 0), tmp_path))


def test_a_generation_is_one_matrix_with_source_and_target(tmp_path):
    figure = head(translation(), "decoder.layers.0.encoder_attn", 0)
    assert drawn(figure)[0].get_array().shape == (len(TARGET), len(SOURCE))
    assert {*SOURCE, *TARGET} <= set(texts(figure, tmp_path))
    assert "little (2) from kleine (1)" in figure.get_label()


def test_every_head_has_its_picture_on_one_scale(tmp_path):
    seen = encoder(3, 4, 130)
    figure = grid(seen)
    pictures = drawn(figure)[:12]
    assert len(pictures) == 12
    assert len({image.norm.vmax for image in pictures}) == 1
    assert {"encoder.layer.2.attention.self", "3", "mean weight of a cell (square root)"} <= set(
        texts(figure, tmp_path)
    )


@pytest.mark.parametrize("statistic", ["entropy", "distance"])
def test_a_statistic_by_head_averages_over_queries_alone(statistic, tmp_path):
    seen = sentence(2, 3)
    figure = by_head(seen, statistic)
    want = [getattr(look.observed, statistic)[0].mean(-1).tolist() for look in seen]
    np.testing.assert_allclose(drawn(figure)[0].get_array(), want, rtol=1e-5)
    assert any({"entropy": "nats", "distance": "positions"}[statistic] in text for text in texts(figure, tmp_path))


def test_mass_along_a_short_and_a_long_text(tmp_path):
    seen = sentence(1, 2)
    figure = mass(seen, NAME)
    for at, line in enumerate(figure.axes[0].lines[:2]):
        got = seen.looks[0].observed.mass[0, at].numpy()
        np.testing.assert_allclose(line.get_ydata(), 100 * got / got.sum(), rtol=1e-4)
    assert {*SENTENCE, "head 0", "head 1", "sink"} <= set(texts(figure, tmp_path))
    far = mass(long(), "model.layers.7.self_attn")
    assert len(far.axes[0].lines[0].get_xdata()) <= 1500
    assert far.axes[0].lines[0].get_ydata()[0] > 30
    assert "40,000" in texts(far, tmp_path)


def test_hostile_words_are_text(tmp_path):
    seen = hostile()
    for figure in (head(seen, seen.names[0], 0), mass(seen, seen.names[0]), by_head(seen)):
        save(figure, tmp_path / "p.svg")
        document = (tmp_path / "p.svg").read_text(encoding="utf-8")
        assert "<script" not in document
        assert "<img" not in document
    assert len(HOSTILE) == len(seen.tokens)


def test_the_same_svg_twice(tmp_path):
    for name in ("a.svg", "b.svg"):
        save(grid(sentence(2, 2)), tmp_path / name)
    assert (tmp_path / "a.svg").read_bytes() == (tmp_path / "b.svg").read_bytes()


def test_what_cannot_be_drawn_is_said():
    seen = sentence(1, 2)
    with pytest.raises(ValueError, match="has heads 0, 1, got 7"):
        head(seen, NAME, 7)
    with pytest.raises(KeyError, match="nothing was seen of 'x'"):
        head(seen, "x", 0)
    with pytest.raises(ValueError, match='"entropy" or "distance"'):
        by_head(seen, "spread")
    bare = Seen([Look("a", 0, Observed((1, 1, 4, 4), torch.zeros(1, 1, 4)))])
    with pytest.raises(ValueError, match="neither weights nor a map"):
        head(bare, "a", 0)
    with pytest.raises(ValueError, match="no entropy was recorded"):
        by_head(bare)
    with pytest.raises(ValueError, match="no mass was recorded"):
        mass(bare, "a")
    with pytest.raises(ValueError, match="no head's picture"):
        grid(bare)
