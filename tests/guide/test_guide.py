"""Every page is whole, its code runs, its picture shows what it says, and its oracle agrees."""

import io
import re
import subprocess
import sys
from dataclasses import replace
from functools import cache

import numpy as np
import pytest
import torch
from rich.cells import cell_len
from rich.console import Console

from regard.errors import UserError
from regard.guide.oracle import difference, largest
from regard.guide.page import BAR, Page, Proof
from regard.guide.pages import index, markdown, write
from regard.guide.registry import find, pages
from regard.guide.show import prose, save, show

drawn = cache(lambda name: find(name).draw())  # the test of the pictures shows that they stay the same
TEXTS = ("name", "title", "line", "definition", "latex", "equation", "explanation", "analogy", "setup", "code", "seen")
each = pytest.mark.parametrize("page", pages(), ids=lambda page: page.name)


def test_the_twenty_are_there_in_their_order() -> None:
    assert [page.number for page in pages()] == list(range(1, 21))
    assert len({page.name for page in pages()}) == 20


@each
def test_a_page_is_complete(page: Page) -> None:
    for field in TEXTS:
        assert getattr(page, field).strip(), field
    assert page.sources
    assert all(source.address.startswith("https://") for source in page.sources)
    assert len(page.code.strip().splitlines()) == 3
    assert page.setup.endswith("\n")
    assert page.code.endswith("\n")
    assert page.latex.count("{") == page.latex.count("}")
    for text in (page.definition, page.explanation, page.analogy, page.seen):
        assert text.endswith(".")
        assert "  " not in text


def test_where_the_forms_differ_the_page_says_so() -> None:
    assert {page.name for page in pages() if page.differs} == {"masked", "sparse"}
    assert "exp(0)" in find("sparse").differs
    assert "no position looks at a later one" in find("masked").differs


@each
def test_the_oracle_agrees(page: Page) -> None:
    proofs = page.prove()
    assert proofs[0].bar == BAR
    for proof in proofs:
        assert proof.passed, proof


@each
def test_the_picture_is_of_weights_and_the_same_each_time(page: Page) -> None:
    before = torch.get_rng_state()
    first, second = drawn(page.name), page.draw()
    assert torch.equal(before, torch.get_rng_state())
    np.testing.assert_array_equal(first.weights, second.weights)
    assert first.weights.shape == (len(first.columns), len(first.rows))
    assert (first.weights >= 0).all()
    total = first.weights.sum() if page.name == "spatial" else first.weights.sum(1)
    np.testing.assert_allclose(total, 1, atol=1e-5)


def weight(name: str, column: str, row: str) -> float:
    """A number of a page's picture."""
    picture = drawn(name)
    return float(picture.weights[list(picture.columns).index(column), list(picture.rows).index(row)])


def test_the_pictures_show_what_their_pages_say() -> None:
    cat = {word: weight("self", "cat", word) for word in ("sat", "mat")}
    assert min(cat.values()) > 0.3
    assert weight("masked", "cat", "sat") == 0
    assert weight("global", "noir", "black") > 0.9
    assert weight("local", "t=3", "one") == 0
    assert weight("additive", "near 18?", "20 °C") > 0.5
    assert weight("dot", "query at 0°", "45°, twice as long") > weight("dot", "query at 0°", "0°")
    assert weight("sparse", "q4", "k2") == 0
    assert weight("sparse", "lit. 4", "k2") > weight("sparse", "lit. 4", "k1")  # a removed pair beats a kept one
    assert weight("soft", "T = 0.05", "lamp 2") > 0.99
    assert weight("temporal", "6 sea", "1 sea") > 5 * weight("temporal", "6 sea", "3 street")
    assert weight("channel", "image 1", "vertical line") > 0.9
    assert weight("coattention", "ball", "red ball") > 0.9
    assert weight("self-critical", "step 400", "word 3, reward 1") > 0.9
    assert weight("memory", "hop 2", "John: garden") > 0.9
    assert drawn("spatial").weights[3:5, 1:4].sum() > 0.9
    han = drawn("han")
    assert han.weights.argmax(1)[1] == han.rows.index("lovely")


def test_the_scale_keeps_gradients_alive() -> None:
    plain, scaled = np.split(np.array([float(c.split()[-1]) for c in drawn("scaled-dot-product").columns]), 2)
    assert plain[0] > 2 * plain[2]
    assert scaled.max() < 1.25 * scaled.min()


class _Encoded(io.StringIO):
    """A stream that says which encoding it writes."""

    encoding = "utf-8"


@each
@pytest.mark.parametrize("width", [1, 12, 40, 200])
def test_any_terminal_shows_it(page: Page, width: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Page, "draw", lambda page: drawn(page.name))
    out = _Encoded()
    show(page, Console(file=out, width=width, color_system=None, legacy_windows=False))
    text = out.getvalue()
    assert page.code.strip() in text  # code is not broken, whatever the width: it is there to be copied
    if width == 200:
        assert page.title in text
        assert all(source.address in text for source in page.sources)
        assert "**" not in text.replace(page.setup, "").replace(page.code, "")
        lines = text.replace(page.setup.strip(), "").replace(page.code.strip(), "").splitlines()
        assert max(map(cell_len, lines)) <= 110


def test_marks_of_the_documentation_are_drawn_in_the_terminal() -> None:
    assert prose("a *b* **c d** `e_f`, 2 * 3 * 4").plain == "a b c d e_f, 2 * 3 * 4"


def test_a_page_is_found_by_name_or_number() -> None:
    assert find("additive") is find("8") is find(" Additive ")
    with pytest.raises(UserError, match="did you mean spatial"):
        find("spatal")
    with pytest.raises(UserError, match="no mechanism of that name; regard guide lists them"):
        find("zzzzzz")


def test_the_committed_documentation_is_what_the_command_writes(repository, tmp_path) -> None:
    write(tmp_path)
    folder = repository / "docs" / "guide"
    made = sorted(path.name for path in tmp_path.iterdir())
    assert made == sorted(path.name for path in folder.iterdir()), "run: python -m regard.guide.pages docs/guide"
    for name in made:
        new, committed = ((where / name).read_text(encoding="utf-8") for where in (tmp_path, folder))
        if name.endswith(".svg"):  # numbers may differ in their last digit from one processor to the next
            new, committed = (re.findall(r">([^<>]*[a-zA-Z][^<>]*)<", text) for text in (new, committed))
            new, committed = ([re.sub(r"\d\.\d+", "0", word) for word in text] for text in (new, committed))
        assert new == committed, f"{name}: run python -m regard.guide.pages docs/guide"


def test_the_documentation_has_everything() -> None:
    for page in pages():
        text = markdown(page)
        for part in (page.definition, page.latex, page.explanation, page.analogy, page.setup, page.code, page.seen):
            assert part in text
        assert f"({page.name}.md)" in index()


@pytest.mark.parametrize("ending", ["png", "svg"])
def test_a_picture_is_saved(tmp_path, ending: str) -> None:
    path = tmp_path / f"dot.{ending}"
    save(find("dot"), path)
    assert path.read_bytes()[:5] == (b"\x89PNG\r" if ending == "png" else b"<?xml")


@pytest.mark.slow
def test_listing_brings_no_pytorch() -> None:
    code = "import sys; from regard.guide.show import listed; listed(); print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


def test_what_must_be_installed_is_said() -> None:
    page = replace(find("dot"), setup="import a_package_that_is_not_here\n")
    with pytest.raises(UserError, match=r"dot: its code needs a_package_that_is_not_here.*regard\[train\]"):
        page.draw()


def test_a_difference_is_seen_in_results_and_in_gradients() -> None:
    x = [torch.tensor([1.0, 2.0])]
    assert difference(torch.exp, torch.exp, x) == 0
    assert difference(torch.exp, lambda x: x.exp() + 1e-3, x) == pytest.approx(1e-3)
    assert difference(torch.exp, lambda x: x.detach().exp() + 0 * x, x) > 0.1  # the same result, no gradient
    assert difference(torch.exp, lambda x: x.exp()[:1], x) == float("inf")
    assert largest([torch.tensor(float("nan"))], [torch.tensor(0.0)]) == float("inf")
    assert not Proof(float("nan"), "").passed
