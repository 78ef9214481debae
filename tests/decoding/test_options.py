import pytest

from regard.decoding.options import Decoding
from regard.errors import UserError


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"beam": 0}, "beam: expected 1 or more, got 0"),
        ({"beam": 2.0}, "beam: expected 1 or more, got 2.0"),
        ({"beam": True}, "beam: expected 1 or more, got True"),
        ({"length_penalty": -0.1}, "length_penalty: expected a number, 0 or more, got -0.1"),
        ({"coverage_penalty": float("nan")}, "coverage_penalty: expected a number, 0 or more, got nan"),
        ({"no_repeat": -1}, "no_repeat: expected 0 or more"),
        ({"max_length": 0}, "max_length: expected 1 or more, or None, got 0"),
        ({"sample": True, "temperature": 0.0}, "temperature: expected a number above 0"),
        ({"sample": True, "top_p": 1.5}, "top_p: expected a probability above 0, at most 1"),
        ({"sample": True, "top_k": -3}, "top_k: expected 0 or more"),
        ({"top_k": 3}, "top_k: it shapes how words are drawn, and nothing is drawn without sample"),
        ({"seed": 3}, "seed: it shapes how words are drawn"),
    ],
)
def test_what_is_not_valid_is_said(options, says):
    with pytest.raises(UserError) as caught:
        Decoding(**options)
    assert says in str(caught.value)


def test_only_two_options_need_attention():
    assert not Decoding(no_repeat=2, max_length=3).needs_attention
    assert Decoding(coverage_penalty=0.1).needs_attention
    assert Decoding(replace_unknown=True).needs_attention
