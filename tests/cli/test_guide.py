"""`regard guide`: the list, a page, a picture, and the check with its exit codes."""

import json
from dataclasses import replace

import pytest

from regard.guide import registry
from regard.guide.page import Proof


@pytest.fixture
def two(monkeypatch):
    """Two quick pages in the place of twenty, the second as the test wants it."""

    def put(check):
        dot, soft = registry.find("dot"), registry.find("soft")
        monkeypatch.setattr(registry, "pages", lambda: (dot, replace(soft, check=check)))

    return put


def test_the_list_names_all_twenty(regard):
    done = regard("guide")
    assert done.code == 0
    for page in registry.pages():
        assert f"{page.number:>2}  {page.name}" in done.out


@pytest.mark.parametrize("name", ["additive", "8"])
def test_a_page(regard, name):
    done = regard("guide", name)
    assert done.code == 0
    assert "Bahdanau" in done.out
    assert "softmax_s(vᵀ tanh(W_1 h_t + W_2 h_s))" in done.out
    assert "Each column sums to 1." in done.out


def test_an_unknown_name(regard):
    done = regard("guide", "aditive")
    assert done.code == 2
    assert "did you mean additive" in done.err


def test_a_picture(regard, tmp_path):
    done = regard("guide", "dot", "--picture", tmp_path / "dot.svg")
    assert done.code == 0
    assert (tmp_path / "dot.svg").read_text(encoding="utf-8").startswith("<?xml")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--json"], "--json goes with --check"),
        (["--picture", "a.svg"], "--picture is of one mechanism"),
        (["dot", "--check", "--picture", "a.svg"], "--picture is of one mechanism"),
        (["dot", "--picture", "a.jpg"], ".png or .svg"),
        (["dot", "--picture", "nowhere/a.svg"], "there is no folder"),
    ],
)
def test_what_is_refused(regard, arguments, said):
    done = regard("guide", *arguments)
    assert done.code == 2
    assert said in done.err


def test_a_check_that_passes(regard):
    done = regard("guide", "soft", "--check")
    assert done.code == 0
    assert "13  soft                pass" in done.out
    assert "1 mechanism, 1 oracle, 0 failed" in done.out


def test_a_check_that_fails_tells_by_how_much_and_ends_with_1(regard, two):
    two(lambda: [Proof(0.25, "an oracle")])
    done = regard("guide", "--check")
    assert done.code == 1
    assert " 9  dot                 pass" in done.out
    assert "13  soft                FAIL  2.5e-01  an oracle" in done.out


def test_a_page_that_breaks_does_not_stop_the_others(regard, two):
    def broken():
        raise RuntimeError("no luck")

    two(broken)
    done = regard("guide", "--check", "--json")
    assert done.code == 1
    *good, bad = json.loads(done.out)
    assert all(one["name"] == "dot" and one["passed"] for one in good)
    assert (bad["name"], bad["passed"], bad["error"], bad["problem"]) == ("soft", False, None, "RuntimeError: no luck")


def test_json_holds_no_infinity(regard, two):
    two(lambda: [Proof(float("inf"), "an oracle"), Proof(float("nan"), "another")])
    done = regard("guide", "--check", "--json")
    assert done.code == 1
    rows = json.loads(done.out, parse_constant=pytest.fail)
    assert [row["error"] for row in rows[-2:]] == [None, None]
    assert set(rows[0]) == {"number", "name", "oracle", "error", "bar", "passed", "problem"}
