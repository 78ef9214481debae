import pytest
import torch

from regard.errors import UserError
from regard.training.checkpoint import read_checkpoint, write_checkpoint


def test_a_tree_comes_back_as_it_was(tmp_path):
    tree = {
        "state": {0: {"exp_avg": torch.randn(2, 3), "step": torch.tensor(3.0)}, "name": [1, 2.5, None, True, "x"]},
        "betas": (0.9, 0.999),
        "regard:odd": {},
        "empty": torch.zeros(0, 2),
        "half": torch.ones(3, dtype=torch.bfloat16),
    }
    write_checkpoint(tree, tmp_path / "c")
    back = read_checkpoint(tmp_path / "c")
    assert back["state"][0]["exp_avg"].equal(tree["state"][0]["exp_avg"])
    assert back["state"][0]["step"].equal(tree["state"][0]["step"])
    assert back["half"].dtype == torch.bfloat16
    assert back["empty"].shape == (0, 2)
    for name in ("betas", "regard:odd"):
        assert back[name] == tree[name]
    assert back["state"]["name"] == tree["state"]["name"]
    assert list(back) == list(tree)


def test_what_cannot_be_kept_is_refused(tmp_path):
    with pytest.raises(TypeError, match="cannot hold a set"):
        write_checkpoint({"a": {1, 2}}, tmp_path / "c")


@pytest.mark.parametrize("content", [b"", b"\x80\x04K\x01.", b"\x00" * 100])
def test_a_damaged_one_is_named(tmp_path, content):
    (tmp_path / "c").write_bytes(content)
    with pytest.raises(UserError, match="a damaged checkpoint"):
        read_checkpoint(tmp_path / "c")


def test_a_truncated_one_is_named(tmp_path):
    write_checkpoint({"a": torch.randn(100)}, tmp_path / "c")
    (tmp_path / "c").write_bytes((tmp_path / "c").read_bytes()[:-7])
    with pytest.raises(UserError, match="a damaged checkpoint"):
        read_checkpoint(tmp_path / "c")
    with pytest.raises(UserError, match="no checkpoint to resume from"):
        read_checkpoint(tmp_path / "none")
