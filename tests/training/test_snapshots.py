import pytest
import torch

from regard.errors import UserError
from regard.folder import read_weights
from regard.training.snapshots import Snapshots


@pytest.fixture
def snapshots(tmp_path):
    (tmp_path / "training").mkdir()
    return Snapshots(tmp_path)


def test_a_mean_is_the_mean_and_keeps_the_kind_of_number(snapshots):
    weights = [{"a": torch.randn(3, 4), "half": torch.randn(5).bfloat16()} for _ in range(3)]
    for step, each in enumerate(weights):
        snapshots.write(step, each)
    mean = snapshots.mean([0, 1, 2])
    wanted = torch.stack([each["a"].double() for each in weights]).mean(0).float()
    assert torch.equal(mean["a"], wanted)
    assert mean["half"].dtype == torch.bfloat16
    assert torch.equal(snapshots.mean([1])["a"], weights[1]["a"])


def test_what_is_published_is_the_model_and_what_is_not_kept_goes(snapshots, tmp_path):
    for step in (5, 10, 15):
        snapshots.write(step, {"a": torch.full((2,), float(step))})
    snapshots.publish(10)
    snapshots.keep([5, 15])
    assert read_weights(tmp_path)["a"].tolist() == [10, 10]
    assert snapshots.read(5)["a"].tolist() == [5, 5]
    with pytest.raises(UserError, match=r"weights-00000010\.safetensors: missing"):
        snapshots.read(10)
