"""Pieces merge into words by sum over keys and mean over queries; words become one visible line."""

import unicodedata

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from regard.observe.words import check, merge_pieces, shown


def test_sum_over_key_pieces_and_mean_over_query_pieces():
    weights = np.array([[0.5, 0.25, 0.25], [0.1, 0.2, 0.7], [0.0, 1.0, 0.0]])
    merged = merge_pieces(weights, [[0], [1, 2]], [[0, 1], [2]])
    np.testing.assert_allclose(merged, [[0.75, 0.25], [0.65, 0.35]])


def test_rows_keep_their_sum():
    weights = np.random.default_rng(0).dirichlet(np.ones(7), size=5)
    merged = merge_pieces(weights, [[0, 1, 2], [3], [4]], [[0], [1, 2], [3, 4, 5, 6]])
    np.testing.assert_allclose(merged.sum(axis=1), 1)


def test_a_piece_in_no_group_is_left_out():
    merged = merge_pieces(np.array([[0.6, 0.4], [0.0, 1.0]]), [[0]], [[0]])
    np.testing.assert_allclose(merged, [[0.6]])


def test_no_words_give_an_empty_matrix():
    assert merge_pieces(np.ones((2, 3)) / 3, [], [[0], [1, 2]]).shape == (0, 2)


@pytest.mark.parametrize(("target", "source"), [([[]], [[0]]), ([[0]], [[]]), ([[2]], [[0]]), ([[0]], [[-1]])])
def test_groups_must_hold_pieces_that_exist(target, source):
    with pytest.raises(ValueError, match="word 0 has pieces"):
        merge_pieces(np.ones((2, 2)), target, source)


def test_check_names_the_expected_shape():
    with pytest.raises(ValueError, match=r"\(2, 3\).*3 target and 2 source"):
        check(np.ones((2, 3)), ["a", "b"], ["x", "y", "z"])
    with pytest.raises(ValueError, match="NaN"):
        check(np.array([[np.nan]]), ["a"], ["x"])


@pytest.mark.parametrize(
    ("word", "seen"),
    [
        ("forêt", "forêt"),
        ("[red]", "[red]"),
        ("a\nb", r"a\nb"),
        ("\x1b[31m", r"\x1b[31m"),
        ("\u202eabc", r"\u202eabc"),
        ("\u2028", r"\u2028"),
        ("می\u200cخواهم", "میخواهم"),
        ("", "''"),
        (" ", "' '"),
    ],
)
def test_shown(word, seen):
    assert shown(word) == seen


@given(st.text())
def test_shown_is_one_visible_line(word):
    seen = shown(word)
    assert seen.strip()
    assert len(seen.splitlines()) == 1
    assert not any(unicodedata.category(character) in ("Cc", "Cs") for character in seen)
