import json
import os

import pytest
import torch

from regard import folder
from regard.errors import UserError


def test_a_file_is_replaced_whole_or_not_at_all(tmp_path, monkeypatch):
    path = tmp_path / "a.json"
    folder.write(path, b"first")

    def full(handle):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        folder.write(path, b"second")
    assert path.read_bytes() == b"first"
    assert os.listdir(tmp_path) == ["a.json"]


def test_config_and_weights_come_back(tmp_path):
    folder.write_config(tmp_path, {"train": {"steps": 2}})
    assert folder.read_config(tmp_path)["train"] == {"steps": 2}
    weight = torch.randn(3, 4)
    folder.write_weights(tmp_path, {"a": weight, "view": weight.T})
    back = folder.read_weights(tmp_path)
    assert torch.equal(back["a"], weight)
    assert torch.equal(back["view"], weight.T)


@pytest.mark.parametrize(("said", "meant"), [({}, False), ({"scale_embeddings": True}, True)])
def test_a_folder_older_than_a_setting_means_what_it_meant(tmp_path, said, meant):
    folder.write_config(tmp_path, {"model": said})
    assert folder.read_config(tmp_path)["model"] == {"scale_embeddings": meant}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "not a model folder"),
        ("{", "damaged"),
        ("[" * 100_000, "damaged"),
        ("[]", "not a model folder of regard"),
        ('{"kind": "other"}', "not a model folder of regard"),
        (json.dumps({"kind": folder.KIND, "format": 99}), "format 99, this regard reads up to 1"),
        (json.dumps({"kind": folder.KIND}), "format None"),
    ],
)
def test_another_folder_is_refused(tmp_path, content, message):
    if content is not None:
        (tmp_path / "config.json").write_text(content)
    with pytest.raises(UserError, match=message):
        folder.read_config(tmp_path)


def test_no_folder(tmp_path):
    with pytest.raises(UserError, match="no such model folder"):
        folder.read_config(tmp_path / "none")


@pytest.mark.parametrize("content", [b"", b"\x80\x04K\x01.", b"\xff" * 64, (2**62).to_bytes(8, "little") + b"{}"])
def test_damaged_weights_are_named(tmp_path, content):
    (tmp_path / "model.safetensors").write_bytes(content)
    with pytest.raises(UserError, match=r"model\.safetensors: damaged"):
        folder.read_weights(tmp_path)
