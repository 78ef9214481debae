"""Rules that turn weights into links, and the choice between them."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from regard.errors import UserError
from regard.evaluation.alignment import Gold, alignment_error
from regard.evaluation.link_rules import RULES, LinkRule, choose_rule

# Rows are target words, columns source words.
WEIGHTS = np.array([[0.7, 0.2, 0.1], [0.6, 0.3, 0.1], [0.1, 0.1, 0.8]])


@pytest.mark.parametrize(
    ("rule", "links"),
    [
        (LinkRule("target"), {(0, 0), (0, 1), (2, 2)}),
        (LinkRule("target", 0.65), {(0, 0), (2, 2)}),
        (LinkRule("source"), {(0, 0), (1, 1), (2, 2)}),
        (LinkRule("both"), {(0, 0), (2, 2)}),
        (LinkRule("either"), {(0, 0), (0, 1), (1, 1), (2, 2)}),
        (LinkRule("all", 0.2), {(0, 0), (1, 0), (0, 1), (1, 1), (2, 2)}),
    ],
    ids=str,
)
def test_links_of_a_matrix(rule, links):
    assert rule(WEIGHTS) == links


@given(st.integers(0, 5), st.integers(0, 5), st.sampled_from(RULES), st.integers(0, 99))
def test_links_lie_inside_and_a_higher_minimum_leaves_fewer(target, source, rule, seed):
    weights = np.random.default_rng(seed).dirichlet(np.ones(source), target) if source else np.zeros((target, 0))
    links = rule(weights)
    assert all(0 <= i < source and 0 <= j < target for i, j in links)
    assert LinkRule(rule.kind, min(1.0, rule.minimum + 0.2))(weights) <= links
    both, either = LinkRule("both", rule.minimum)(weights), LinkRule("either", rule.minimum)(weights)
    for kind in ("target", "source"):
        assert both <= LinkRule(kind, rule.minimum)(weights) <= either


def test_the_rule_of_lowest_error_is_chosen_and_the_earliest_of_equals():
    gold = [Gold.of({(0, 0), (1, 1), (2, 2)})]
    rule, score = choose_rule([WEIGHTS], gold)
    assert rule == LinkRule("source")
    assert score == alignment_error([rule(WEIGHTS)], gold)
    assert score.aer == 0
    assert rule == min(RULES, key=lambda r: alignment_error([r(WEIGHTS)], gold).aer)


@pytest.mark.parametrize(("kind", "minimum", "says"), [("row", 0, "target, source"), ("target", 2, "from 0 to 1")])
def test_an_unknown_rule_names_the_known(kind, minimum, says):
    with pytest.raises(UserError, match=says):
        LinkRule(kind, minimum)


def test_one_matrix_at_a_time():
    with pytest.raises(ValueError, match=r"\(target words, source words\)"):
        LinkRule()(np.zeros((2, 3, 4)))
    with pytest.raises(UserError, match="no link rule"):
        choose_rule([WEIGHTS], [Gold.of({(0, 0)})], [])
