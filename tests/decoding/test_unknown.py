import numpy as np
import pytest

from regard.decoding.unknown import replace_unknown

SOURCE = ["I", "like", "Smørrebrød"]


def words(pieces):
    """Each subword a word of its own."""
    return [(piece.lstrip("▁"), [i]) for i, piece in enumerate(pieces)]


@pytest.mark.parametrize(
    ("pieces", "text", "found"),
    [
        (["▁J'", "aime", "▁", "⁇"], "J'aime Smørrebrød", ["J'", "aime", "Smørrebrød"]),
        (["▁Sm", "⁇", "rrebr", "⁇", "d", "!"], "Smørrebrød!", ["Smørrebrød", "!"]),
        (["▁", "⁇", "⁇", "▁et", "▁", "⁇"], "Smørrebrød et Smørrebrød", ["Smørrebrød", "et", "Smørrebrød"]),
        (["▁(", "⁇", ")"], "(Smørrebrød)", ["(", "Smørrebrød", ")"]),
        (["▁rien"], "rien", ["rien"]),
        ([], "", []),
    ],
)
def test_a_word_with_an_unknown_part_is_copied_whole(pieces, text, found):
    reading = np.zeros((len(pieces), 3))
    for i, piece in enumerate(pieces):
        reading[i, 2 if "⁇" in piece else 0] = 1.0  # what is known looks elsewhere, and has no say
    before = [(word, places) for word, places in words(pieces) if word]
    replaced = replace_unknown(pieces, before, reading, SOURCE)
    assert replaced.text == text
    assert [word for word, _ in replaced.words] == found
    assert sorted(p for _, places in replaced.words for p in places) == [p for _, places in before for p in places]


def test_the_source_word_is_the_one_read_most_over_all_unknown_parts():
    reading = np.array([[0.9, 0.1, 0.0], [0.4, 0.6, 0.0], [0.0, 0.7, 0.3]])
    replaced = replace_unknown(["▁a", "⁇", "⁇"], [("a", [0]), ("⁇", [1]), ("⁇", [2])], reading, SOURCE)
    assert replaced.text == "like"
