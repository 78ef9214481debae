"""`regard align`: a line of links for every pair, and their error against gold."""

import json
import re

import pytest

from regard.aligner import align
from regard.evaluation.alignment import write_links
from regard.evaluation.link_rules import LinkRule
from regard.recipes.builtin import written
from regard.translator import load

PAIRS = written("valid", 5, 2)
LINES = [f"{pair.source}\t{pair.target}" for pair in PAIRS[:3]] + [
    "\tseul",
    *(f"{p.source}\t{p.target}" for p in PAIRS[3:]),
]


@pytest.fixture
def files(tmp_path):
    (tmp_path / "pairs.tsv").write_text("".join(f"{line}\n" for line in LINES), encoding="utf-8")
    (tmp_path / "gold").write_text("0-0 1p1\n0-0\n0-0\n\n0-0\n1-0\n")
    (tmp_path / "from1").write_text("1-1 2p2\n1-1\n1-1\n\n1-1\n2-1 1-99\n")
    return tmp_path


def expected(folder, rule):
    found = align(load(folder), [p.source for p in PAIRS], [p.target for p in PAIRS])
    lines = [write_links(rule(pair.attention)) for pair in found]
    return [*lines[:3], "", *lines[3:]]


def test_a_line_for_every_pair(regard, tiny_translator, files):
    outcome = regard("align", files / "pairs.tsv", "--model", tiny_translator)
    assert outcome.code == 0, outcome.err
    lines = outcome.out.split("\n")
    assert lines.pop() == ""
    assert len(lines) == 6
    assert lines[3] == ""
    assert all(re.fullmatch(r"(\d+-\d+ ?)*", line) for line in lines[:3] + lines[4:])
    assert lines == expected(tiny_translator, LinkRule("either", 0.05))
    assert "1 of 6 pairs have a blank side" in outcome.err


def test_files_a_rule_and_gold(regard, tiny_translator, files):
    for gold, first in (("gold", 0), ("from1", 1)):
        outcome = regard(
            "align", files / "pairs.tsv", "--model", tiny_translator, "--rule", "all", "--minimum", 0.05,
            "--output", files / "links", "--gold", files / gold, "--gold-from", first, "--json", files / "a.json",
        )  # fmt: skip
        assert outcome.code == 0, outcome.err
        assert (files / "links").read_text().splitlines() == expected(tiny_translator, LinkRule("all", 0.05))
        content = json.loads((files / "a.json").read_text(encoding="utf-8"))
        assert content["rule"] == "all, at least 0.05"
        assert (content["pairs"], content["blank"]) == (6, [4])
        assert (content["alignment"]["sure"], content["alignment"]["possible"]) == (5 + first, 6 + first)
        assert f"AER {content['alignment']['aer']:.3f}" in outcome.out
        assert ("counted as they are: 1 (line 6)" in outcome.err) == bool(first)


def test_standard_output_holds_links_alone(regard, tiny_translator, files):
    outcome = regard("align", files / "pairs.tsv", "--model", tiny_translator, "--gold", files / "gold")
    assert len(outcome.out.splitlines()) == 6
    assert "AER" in outcome.err


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--rule", "row"], "expected one of target, source"),
        (["--gold", "from1"], "--gold-from 1"),
        (["--gold", "gold", "--gold-from", "1"], "count from 1"),
        (["--gold", "pairs.tsv"], "expected links such as 0-0"),
        (["--gold", "short"], "short has 1 lines and there are 6 pairs"),
        (["--output", "absent/x"], "there is no folder"),
        (["--minimum", "2"], "--minimum"),
    ],
)
def test_mistakes_are_one_line(regard, tiny_translator, files, monkeypatch, arguments, says):
    monkeypatch.chdir(files)
    (files / "short").write_text("0-0\n")
    outcome = regard("align", "pairs.tsv", "--model", tiny_translator, *arguments)
    assert outcome.code == 2
    assert outcome.err.splitlines()[-1].startswith("regard: ")
    assert says in outcome.err


def test_evaluation_has_alignment_error_where_gold_is_given(regard, tiny_translator, files):
    pytest.importorskip("sacrebleu")
    outcome = regard(
        "evaluate", files / "pairs.tsv", "--model", tiny_translator, "--beam", 1, "--gold", files / "gold",
        "--json", files / "e.json",
    )  # fmt: skip
    assert outcome.code == 0, outcome.err
    content = json.loads((files / "e.json").read_text(encoding="utf-8"))
    assert 0 <= content["alignment"]["aer"] <= 1
    assert content["left_out"] == [4]
    assert f"AER {content['alignment']['aer']:.3f}" in outcome.out
    assert "left out of 6 pairs, a side being blank: 1 (line 4)" in outcome.err
    assert regard("evaluate", "--model", tiny_translator, "--gold", files / "gold").code == 2
