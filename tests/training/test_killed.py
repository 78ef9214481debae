"""A run that is killed, at whatever moment, ends bit for bit as one never stopped; a bad disk is said in one line.

What the wall clock says (tokens per second, seconds) is left out of the comparison.
"""

import random
import shutil
import signal
import time

import pytest
from safetensors import safe_open
from safetensors.torch import save_file
from small_run import left_by, pairs, processes, settings, train

from regard.errors import UserError
from regard.training import fit

pytestmark = pytest.mark.slow
SETTINGS = settings(checkpoint_every=3, validate_every=8, average=3, patience=20, metric="loss")


@pytest.fixture(scope="module")
def never_stopped(tmp_path_factory):
    folder = tmp_path_factory.mktemp("whole") / "m"
    process = start(folder)
    process.join()
    assert process.exitcode == 0
    return left_by(folder)


def start(folder, **how):
    process = processes().Process(target=train, args=(folder, SETTINGS), kwargs=how)
    process.start()
    return process


def test_the_whole_run_was_more_than_nothing(never_stopped):
    assert len(never_stopped["log"]) == 7 + 4 + 1  # losses, validations, the mean
    assert set(never_stopped["tensorboard"]) >= {"loss", "valid_bleu", "averaged/valid_bleu"}
    losses = [entry["valid_loss"] for entry in never_stopped["log"] if "valid_loss" in entry]
    assert losses[:3] == sorted(losses[:3], reverse=True)  # each validation was the best so far


@pytest.mark.parametrize("luck", range(3))
def test_killed_between_any_two_files_it_ends_as_if_never_stopped(tmp_path, never_stopped, luck):
    draw = random.Random(luck)
    for _ in range(8):
        process = start(tmp_path / "m", die_at=(draw.choice(["before", "after"]), draw.randint(1, 14)))
        process.join()
        if process.exitcode == 0:
            break
        assert process.exitcode == -signal.SIGKILL
    else:
        process = start(tmp_path / "m")
        process.join()
        assert process.exitcode == 0
    assert left_by(tmp_path / "m") == never_stopped
    assert not list((tmp_path / "m").rglob(".*"))


def test_killed_at_any_time_it_ends_as_if_never_stopped(tmp_path, never_stopped):
    draw, kills = random.Random(7), 0
    while kills < 6:
        process = start(tmp_path / "m")
        time.sleep(draw.uniform(0.1, 0.6))  # the whole takes about 0.7
        process.kill()
        process.join()
        if process.exitcode == 0:
            break
        kills += 1
    else:
        process = start(tmp_path / "m")
        process.join()
    assert process.exitcode == 0
    assert kills
    assert left_by(tmp_path / "m") == never_stopped


def test_a_full_disk_is_one_line_and_what_was_saved_goes_on(tmp_path, never_stopped):
    process = start(tmp_path / "m", full_at=15)
    process.join()
    assert process.exitcode == 2
    said = (tmp_path / "said").read_text()
    assert "cannot be written (file too large); what was saved before stays: make room, and go on by --resume" in said
    assert "\n" not in said
    names = sorted(path.name for path in (tmp_path / "m" / "training").glob("checkpoint*"))
    assert names == ["checkpoint-00000009.safetensors", "checkpoint-00000012.safetensors"]
    process = start(tmp_path / "m")
    process.join()
    assert left_by(tmp_path / "m") == never_stopped


def truncated(path):
    path.write_bytes(path.read_bytes()[:-100])


def of_a_later_format(path):
    with safe_open(path, framework="pt") as file:
        tensors, metadata = {name: file.get_tensor(name) for name in file.keys()}, file.metadata()  # noqa: SIM118
    save_file(tensors, path, metadata | {"format": "99"})


@pytest.fixture(scope="module")
def stopped(tmp_path_factory):
    """A run with checkpoints of steps 9 and 12."""
    folder = tmp_path_factory.mktemp("stopped") / "m"
    start(folder, full_at=15).join()
    return folder


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        (truncated, "a damaged checkpoint"),
        (of_a_later_format, "a checkpoint of a later format (99; this regard's is 2): update regard"),
    ],
)
def test_a_bad_checkpoint_is_one_line_and_the_one_before_it_goes_on(
    tmp_path, stopped, never_stopped, damage, reason, capsys
):
    folder = tmp_path / "m"
    shutil.copytree(stopped, folder)
    newest, before = (folder / "training" / f"checkpoint-{step:08}.safetensors" for step in (12, 9))
    damage(newest)
    shutil.copytree(folder, tmp_path / "both")
    fit(SETTINGS, folder, pairs(200), pairs(20, 1), resume=True)
    said = [line for line in capsys.readouterr().err.splitlines() if "checkpoint" in line]
    assert len(said) == 1
    assert f"{newest}: {reason}" in said[0]
    assert said[0].endswith("set aside, going on from checkpoint-00000009.safetensors")
    assert newest.with_name(f"{newest.name}.unread").exists()
    left = left_by(folder)
    for part in ("weights", "config"):
        assert left[part] == never_stopped[part]
    damage(tmp_path / "both" / "training" / before.name)
    with pytest.raises(UserError, match="no other checkpoint is left"):
        fit(SETTINGS, tmp_path / "both", pairs(200), pairs(20, 1), resume=True, quiet=True)


def test_a_run_of_an_earlier_regard_is_not_begun_again_in_silence(tmp_path, stopped):
    shutil.copytree(stopped, tmp_path / "m")
    for path in (tmp_path / "m" / "training").glob("checkpoint*"):
        path.unlink()
    save_file({}, tmp_path / "m" / "training" / "last.safetensors", {"tree": "{}"})
    with pytest.raises(UserError, match="of an earlier format"):
        fit(SETTINGS, tmp_path / "m", pairs(200), pairs(20, 1), resume=True, quiet=True)
