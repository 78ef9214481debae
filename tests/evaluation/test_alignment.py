"""Links, their files, and the alignment error rate against hand-worked counts and its own properties."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from regard.errors import UserError
from regard.evaluation.alignment import Gold, alignment_error, diagonal, outside, read_links, write_links

LINKS = st.frozensets(st.tuples(st.integers(0, 6), st.integers(0, 6)), max_size=12)


def test_a_worked_example():
    # |A| = 4, |S| = 3, A∩S = {00, 11}, A∩P = {00, 11, 21}: AER = 1 - (2 + 3) / (4 + 3).
    found = frozenset({(0, 0), (1, 1), (2, 1), (3, 3)})
    score = alignment_error([found], [Gold.of({(0, 0), (1, 1), (2, 2)}, {(2, 1), (3, 2)})])
    assert score.aer == pytest.approx(2 / 7)
    assert score.precision == pytest.approx(3 / 4)
    assert score.recall == pytest.approx(2 / 3)
    assert (score.found, score.sure, score.possible) == (4, 3, 5)
    assert str(score).startswith("AER 0.286  precision 0.750  recall 0.667  (links: 4 found")


def test_counts_are_summed_over_sentences_before_they_are_divided():
    one, ten = frozenset({(0, 0)}), frozenset((i, i) for i in range(10))
    score = alignment_error([frozenset(), ten], [Gold.of(one), Gold.of(ten)])
    assert score.aer == pytest.approx(1 - 20 / 21)


@given(LINKS, LINKS, LINKS)
def test_error_is_none_exactly_between_sure_and_possible(found, sure, possible):
    gold = Gold.of(sure, possible)
    if not found and not sure:
        return
    score = alignment_error([found], [gold])
    assert 0 <= score.aer <= 1
    assert (score.aer == 0) == (sure <= found <= gold.possible)


@given(LINKS, LINKS)
def test_with_sure_links_alone_it_is_one_minus_f1(found, sure):
    if not found or not sure:
        return
    score = alignment_error([found], [Gold.of(sure)])
    if score.precision + score.recall:
        f1 = 2 * score.precision * score.recall / (score.precision + score.recall)
        assert score.aer == pytest.approx(1 - f1)
    assert score.aer == pytest.approx(alignment_error([sure], [Gold.of(found)]).aer)


@given(st.lists(st.tuples(LINKS, LINKS), min_size=1, max_size=4), st.randoms())
def test_order_of_sentences_changes_nothing(pairs, random):
    if not any(a or s for a, s in pairs):
        return
    mixed = random.sample(pairs, len(pairs))
    scores = [
        alignment_error([a for a, _ in of], [Gold.of(s) for _, s in of]).aer for of in (pairs, mixed)
    ]  # fmt: skip
    assert scores[0] == scores[1]


def test_nothing_found_has_no_precision():
    score = alignment_error([frozenset()], [Gold.of({(0, 0)})])
    assert (score.aer, score.recall) == (1.0, 0.0)
    assert math.isnan(score.precision)
    assert score.plain() == {"aer": 1.0, "precision": None, "recall": 0.0, "found": 0, "sure": 1, "possible": 1}


@pytest.mark.parametrize(
    ("found", "gold", "says"),
    [([frozenset()], [], "1 alignments but 0 gold"), ([frozenset()], [Gold.of(())], "no links to compare")],
)
def test_what_cannot_be_compared_is_said(found, gold, says):
    with pytest.raises(UserError, match=says):
        alignment_error(found, gold)


@given(st.lists(LINKS, max_size=4), st.integers(0, 1))
def test_what_is_written_is_read_again(alignments, first):
    lines = [write_links(frozenset((i + first, j + first) for i, j in links)) for links in alignments]
    assert [gold.sure for gold in read_links(lines, first=first)] == alignments


def test_pharaoh_lines_are_in_order_and_blank_without_links():
    assert write_links(frozenset({(10, 1), (2, 3), (2, 0)})) == "2-0 2-3 10-1"
    assert write_links(frozenset()) == ""


def test_gold_files_count_from_1_and_mark_possible_links():
    (gold,) = read_links(["2-2 1p1  3-1\r"], first=1)
    assert gold.sure == {(1, 1), (2, 0)}
    assert gold.possible == {(1, 1), (2, 0), (0, 0)}
    assert outside([gold], [(3, 2)]) == []
    assert outside([gold], [(2, 2)]) == [1]


@pytest.mark.parametrize(
    ("line", "first", "says"),
    [("0-0 1_1", 0, "gold: line 2 has '1_1'"), ("0-1", 1, "count from 1"), ("1-", 0, "'1-'"), ("-1-2", 0, "'-1-2'")],
)
def test_what_is_no_link_names_its_line(line, first, says):
    with pytest.raises(UserError, match=says):
        read_links(["1-1", line], first=first, where="gold")


@given(st.integers(0, 30), st.integers(0, 30))
def test_the_diagonal_gives_each_target_word_one_source_word(source, target):
    links = diagonal(source, target)
    assert sorted(j for _, j in links) == (list(range(target)) if source else [])
    assert all(0 <= i < source for i, _ in links)
    assert source != target or all(i == j for i, j in links)


@pytest.mark.data
def test_gold_files_of_the_shared_tasks_have_their_published_counts(data_dir):
    for name, sure, possible in (("enfr", 4_038, 13_400), ("roen", 6_198, 0), ("jaen", 13_562, 0)):
        folder = data_dir / "word_alignment"
        gold = read_links((folder / f"{name}.gold").read_text(encoding="utf-8").splitlines(), first=1)
        assert sum(len(g.sure) for g in gold) == sure
        assert sum(len(g.possible - g.sure) for g in gold) == possible
        text = (folder / f"{name}.src-tgt").read_text(encoding="utf-8")
        sides = [line.split("|||") for line in text.splitlines()]
        lines = outside(gold, [(len(s.split()), len(t.split())) for s, t in sides])
        assert lines == ([351, 354, 355, 356] if name == "jaen" else [])
