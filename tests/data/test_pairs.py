import gzip

import pytest

from regard.data.pairs import Pairs, fingerprint, read_lines, read_pairs
from regard.errors import UserError


def test_one_file_and_two_files_give_the_same_pairs(tmp_path):
    tsv, left, right = tmp_path / "p.tsv", tmp_path / "a.en.gz", tmp_path / "a.fr"
    tsv.write_text("a cat\tun chat\r\nI\tje\n", encoding="utf-8")
    left.write_bytes(gzip.compress(b"a cat\nI\n"))
    right.write_text("un chat\nje", encoding="utf-8")
    one, two = read_pairs(tsv), read_pairs(source=left, target=right)
    assert one == two
    assert (one.source, one.target) == (["a cat", "I"], ["un chat", "je"])


def test_only_a_newline_ends_a_line(tmp_path):
    path = tmp_path / "p.tsv"
    path.write_text("\ufeffa\u2028b\u0085c\tx\ny\tz\n", encoding="utf-8")
    assert read_pairs(path).source == ["a\u2028b\u0085c", "y"]


def test_pairs_with_a_blank_side_are_left_out_and_named(tmp_path):
    path = tmp_path / "p.tsv"
    path.write_text("a\tb\n\t\nc\t \nd\te\n\n", encoding="utf-8")
    pairs = read_pairs(path)
    assert pairs.source == ["a", "d"]
    assert list(pairs.blank) == [2, 3, 5]
    assert [pairs.line(i) for i in range(2)] == [1, 4]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"a\tb\nno tab here\n", "line 2 has no tab"),
        (b"a\tb\tc\n", "line 1 has 2 tabs; expected one, between a sentence and its translation (cut -f1,2"),
        (b"a\tb\nabc\xff\td\n", "line 2, byte 4 is not UTF-8 (0xff)"),
        (b"", "an empty file"),
        (b"\t\n", "no sentence pair"),
        (b"\x1f\x8b\x08nonsense", "damaged gzip"),
    ],
)
def test_a_bad_file_is_named_with_the_place(tmp_path, content, message):
    path = tmp_path / "p.tsv"
    path.write_bytes(content)
    with pytest.raises(UserError) as error:
        read_pairs(path)
    assert str(path) in str(error.value)
    assert message in str(error.value)


def test_files_of_different_length_name_the_first_line_without_a_partner(tmp_path):
    left, right = tmp_path / "a", tmp_path / "b"
    left.write_text("1\n2\n3\n")
    right.write_text("1\n2\n")
    with pytest.raises(UserError, match=r"has 3 lines and .* has 2: line 3 of .*a has no partner"):
        read_pairs(source=left, target=right)


def test_a_missing_file_and_missing_arguments(tmp_path):
    with pytest.raises(UserError, match="cannot be read"):
        read_lines(tmp_path / "none")
    with pytest.raises(UserError, match="either one"):
        read_pairs(source=tmp_path / "none")
    with pytest.raises(UserError, match="2 sentences and 1 translations"):
        Pairs(["a", "b"], ["c"])


def test_a_fingerprint_tells_pairs_apart():
    found = [
        fingerprint(Pairs(*sides), Pairs(["x"], ["y"]))
        for sides in ((["a", "b"], ["c", "d"]), (["a", "c"], ["b", "d"]), (["ab", ""], ["c", "d"]), (["a"], ["b"]))
    ]
    assert len(set(found)) == 4
    assert fingerprint(Pairs(["a", "b"], ["c", "d"], [3, 4]), Pairs(["x"], ["y"])) == found[0]
