"""Sentences as people type them."""

from regard.data.pairs import Pairs
from regard.data.typed import as_typed, with_typed

PAIRS = Pairs(["How are you?", "Go!", "I am Tom.", "no"], ["Comment allez-vous\u202f?", "Va !", "Je suis Tom.", "non"])


def test_a_source_loses_its_capitals_and_both_sides_their_marks():
    assert as_typed("How are you?", "Comment vas-tu ?") == ("how are you", "Comment vas-tu")
    assert as_typed("How are you?", "Comment vas-tu\u202f?", lower=False) == ("How are you", "Comment vas-tu")
    assert as_typed("I am Tom.", "Je suis Tom.", bare=False) == ("i am tom.", "Je suis Tom.")


def test_a_sentence_of_marks_alone_keeps_them():
    assert as_typed("?!", "Quoi ?") == ("?!", "Quoi ?")
    assert as_typed("What?", "?") == ("what?", "?")


def test_the_pairs_stay_and_what_a_form_changes_is_added():
    more = with_typed(PAIRS, 1.0, seed=1)
    assert (more.source[:4], more.target[:4]) == (PAIRS.source, PAIRS.target)
    assert len(more) == 7  # "no" has neither capital nor mark
    assert more.source[4] in {"how are you?", "How are you", "how are you"}


def test_a_form_knows_the_line_it_came_from():
    pairs = Pairs(["no", "Go!"], ["non", "Va !"], lines=[1, 4], blank=[2, 3])
    more = with_typed(pairs, 1.0, seed=1)
    assert ([more.line(i) for i in range(3)], more.blank) == ([1, 4, 4], [2, 3])


def test_so_large_a_share_by_seed():
    many = Pairs([f"Number {i}." for i in range(1000)], [f"Le numéro {i}." for i in range(1000)])
    assert 1400 < len(with_typed(many, 0.5, seed=1)) < 1600
    assert with_typed(many, 0.5, seed=1) == with_typed(many, 0.5, seed=1)
    assert with_typed(many, 0.5, seed=1) != with_typed(many, 0.5, seed=2)
    assert with_typed(many, 0.0, seed=1).source == many.source
