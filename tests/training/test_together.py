"""Several processes make the steps that one would make, and only the first writes and speaks."""

import os
import signal
import socket
import subprocess
import sys
import time
from dataclasses import replace

import pytest
import torch
from small_run import left_by, processes, settings, train, train_as_one_of

from regard.errors import UserError
from regard.training.together import Together
from regard.training.together import processes as torchruns

pytestmark = pytest.mark.slow


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def wait(started):
    for process in started:
        process.start()
    for process in started:
        process.join(120)
    assert [process.exitcode for process in started] == [0] * len(started)


@pytest.mark.parametrize("size", [2, 3])
def test_processes_together_train_as_one_does(tmp_path, size):
    chosen = settings(accumulate=2, steps=24, validate_every=8, batch_tokens=64, checkpoint_every=5)
    chosen = replace(chosen, model=replace(chosen.model, dropout=0.0))
    new, port = processes().Process, free_port()
    wait([new(target=train, args=(tmp_path / "one", chosen))])
    wait([new(target=train_as_one_of, args=(size, n, port, tmp_path / "more", chosen)) for n in range(size)])
    one, more = left_by(tmp_path / "one"), left_by(tmp_path / "more")
    assert len(one["log"]) == len(more["log"]) == 6 + 3 + 1
    for a, b in zip(one["log"], more["log"], strict=True):
        assert a.keys() == b.keys()
        assert a["step"] == b["step"]
        for name in {"loss", "valid_loss"} & a.keys():
            assert abs(a[name] - b[name]) < 1e-5
    assert one["tokenizer"] == more["tokenizer"]
    assert one["config"]["best_valid"].keys() == more["config"]["best_valid"].keys()


def test_alone_there_is_nobody_to_ask():
    alone = Together()
    assert alone.leads
    assert alone.any(True)
    assert not alone.any(False)
    assert alone.leaders("x") == "x"
    assert alone.sum(torch.ones(2)).tolist() == [1, 1]


def test_a_world_without_an_address_is_the_users_matter(monkeypatch):
    for name in ("RANK", "MASTER_ADDR", "MASTER_PORT"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(UserError, match=r"WORLD_SIZE is 2, but .*: start the processes with torchrun"), torchruns():
        pass


def test_torchrun_with_the_command_stops_on_ctrl_c_and_refuses_in_one_line(tmp_path):
    (tmp_path / "p.tsv").write_text("the cat sees\tle chat voit\n" * 40, encoding="utf-8")
    sizes = ["--embedding", 8, "--encoder-hidden", 8, "--decoder-hidden", 8, "--vocabulary", 40, "--batch-tokens", 40]
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", 2, "-m"]
    command += ["regard", "train", "p.tsv", "--out", "m", "--steps", 100_000, "--patience", 100_000, *sizes]
    how = {"cwd": tmp_path, "stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
    how["env"] = {**os.environ, "OMP_NUM_THREADS": "1"}
    running = subprocess.Popen([str(word) for word in command], start_new_session=True, **how)
    log, deadline = tmp_path / "m" / "metrics.jsonl", time.monotonic() + 120
    while not (log.exists() and log.read_text().count("\n") > 1):
        assert running.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.1)
    os.killpg(running.pid, signal.SIGINT)  # as the terminal does: torchrun and its processes all get it
    said = [line for line in running.communicate(timeout=60)[0].splitlines() if line.startswith("regard:")]
    assert said == ["regard: stopped and saved; go on with: regard train --resume --out m"]

    again = subprocess.run([str(word) for word in command], timeout=120, check=False, **how)
    said = [line for line in again.stdout.splitlines() if line.startswith("regard:")]
    assert said == ["regard: m: exists already; choose another folder, or go on with it by --resume"]
