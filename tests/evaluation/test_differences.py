"""The sentences on which two systems differ most."""

import pytest
import sacrebleu

from regard.errors import UserError
from regard.evaluation.differences import most_different

REFERENCES = ["le chat dort", "un chien court", "il neige", "elle lit un livre"]
FIRST = ["le chat dort", "un chat", "il neige", "elle lit un livre"]
SECOND = ["le chat mange", "un chien court", "il neige", "zzz"]


def test_largest_difference_first():
    found = most_different(FIRST, SECOND, REFERENCES, 9)
    assert [d.index for d in found] == [3, 1, 0]
    for d in found:
        assert d.first == sacrebleu.sentence_chrf(FIRST[d.index], [REFERENCES[d.index]]).score
        assert d.second == sacrebleu.sentence_chrf(SECOND[d.index], [REFERENCES[d.index]]).score
    assert most_different(FIRST, SECOND, REFERENCES, 1) == found[:1]
    assert most_different(FIRST, SECOND, REFERENCES, 0) == []
    assert most_different(FIRST, FIRST, REFERENCES, 9) == []
    back = most_different(SECOND, FIRST, REFERENCES, 9)
    assert [(d.index, d.second, d.first) for d in back] == [(d.index, d.first, d.second) for d in found]


def test_lists_of_different_length_are_refused():
    with pytest.raises(UserError, match="3 hypotheses but 4 references"):
        most_different(FIRST, SECOND[1:], REFERENCES, 1)
