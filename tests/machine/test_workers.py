"""Work shared out to processes: answers in order, errors passed on, nothing left behind."""

import multiprocessing
import os
import signal
import subprocess
import sys
import time

import pytest

from regard.errors import UserError
from regard.machine.workers import Workers

pytestmark = pytest.mark.slow


def double(start, piece, *, wait=0.0):
    time.sleep(wait * (piece % 2))
    if piece == 13:
        raise UserError("thirteen is not doubled")
    if piece == 99:
        os.kill(os.getpid(), signal.SIGKILL)
    return start + 2 * piece


SCRIPT = """
import sys
sys.path.insert(0, {folder!r})
import test_workers as t
from regard.machine.workers import Workers
if __name__ == "__main__":
    with Workers(2, int, ("100",)) as pool:
        {body}
"""


def run(tmp_path, body, **how):
    """In a process of its own, so that what is spawned can import this file."""
    script = tmp_path / "script.py"
    script.write_text(SCRIPT.format(folder=os.path.dirname(__file__), body=body))
    return subprocess.run([sys.executable, str(script)], capture_output=True, text=True, timeout=120, **how)


def test_answers_come_in_order_however_long_each_takes(tmp_path):
    done = run(tmp_path, "print(list(pool.map(t.double, range(9), {'wait': 0.05})))")
    assert done.stdout.strip() == str([100 + 2 * i for i in range(9)]), done.stderr


def test_an_error_and_a_death_reach_the_caller(tmp_path):
    for piece, says in ((13, "thirteen is not doubled"), (99, "was ended by signal 9 before it had answered")):
        body = f"list(pool.map(t.double, [1, {piece}, 2], {{}}))"
        done = run(tmp_path, body)
        assert done.returncode == 1
        assert says in done.stderr.splitlines()[-1]


def test_pieces_are_not_read_far_ahead(tmp_path):
    body = (
        "read = []\n"
        "        pieces = (read.append(i) or i for i in range(100))\n"
        "        answers = pool.map(t.double, pieces, {})\n"
        "        next(answers)\n"
        "        print(len(read))"
    )
    assert int(run(tmp_path, body).stdout) <= 7


def test_ctrl_c_ends_the_workers_without_a_word_of_theirs(tmp_path):
    script = tmp_path / "script.py"
    body = "print('ready', flush=True)\n        list(pool.map(t.double, [1] * 99, {'wait': 9}))"
    script.write_text(SCRIPT.format(folder=os.path.dirname(__file__), body=body))
    process = subprocess.Popen(
        [sys.executable, str(script)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    )
    assert process.stdout is not None
    process.stdout.readline()
    time.sleep(0.5)
    os.killpg(process.pid, signal.SIGINT)  # the terminal sends it to all of them
    _, err = process.communicate(timeout=30)
    assert err.count("Traceback") == 1  # the script's own
    assert "KeyboardInterrupt" in err
    for _ in range(100):  # a process of Python's own that tracks resources leaves a moment later
        try:
            os.killpg(process.pid, 0)
        except ProcessLookupError:
            return
        time.sleep(0.1)
    pytest.fail("processes were left behind")


def test_leaving_ends_the_processes():
    before = set(multiprocessing.active_children())
    with Workers(2, int, ()):
        assert len(set(multiprocessing.active_children()) - before) == 2
    assert set(multiprocessing.active_children()) == before
