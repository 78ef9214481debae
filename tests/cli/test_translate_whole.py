"""`regard translate` on a real model: every way of decoding, several processes, an interruption."""

import os
import signal
import subprocess
import sys
import time

import pytest

pytestmark = pytest.mark.slow

LINES = ["The cat sleeps.", "", "A small dog sees the old house."] * 40


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    path = tmp_path_factory.mktemp("source") / "a.en"
    path.write_text("".join(f"{line}\n" for line in LINES), encoding="utf-8")
    return path


@pytest.mark.parametrize(
    "options",
    [
        ["--beam", 1],
        ["--n-best", 3, "--coverage-penalty", 0.2, "--length-penalty", 0.6],
        ["--no-repeat", 2, "--max-length", 8, "--replace-unknown", "--precision", "float64"],
        ["--sample", "--temperature", 0.8, "--top-k", 20, "--top-p", 0.9, "--seed", 4, "--n-best", 2],
        ["--prefix", "le chat"],
    ],
    ids=lambda options: options[0],
)
def test_lines_in_are_lines_out_for_every_way_of_decoding(regard, tiny_translator, source, options):
    outcome = regard("translate", "--model", tiny_translator, "--input", source, *options)
    assert (outcome.code, outcome.err) == (0, "")
    lines = outcome.out.splitlines()
    if "--n-best" in options:
        numbers = [int(line.split(" ||| ")[0]) for line in lines]
        assert numbers == sorted(numbers)
        assert set(numbers) == set(range(len(LINES)))
        assert all(len(line.split(" ||| ")) == 4 for line in lines)
        return
    assert len(lines) == len(LINES)
    assert [not line for line in lines[1::3]] == [True] * 40
    if "--prefix" in options:
        assert all(line.startswith("le chat") for line in lines[::3])


def test_several_models_and_several_processes_give_what_one_process_gives(regard, tiny_translator, source, tmp_path):
    models = ["--model", tiny_translator, "--model", tiny_translator]
    one = regard("translate", *models, "--input", source, "--precision", "float64")
    two = regard("translate", *models, "--input", source, "--precision", "float64", "--workers", 2)
    assert (two.code, two.err) == (0, "")
    assert two.out == one.out


def test_ctrl_c_ends_several_processes_in_one_line(tiny_translator, tmp_path):
    path = tmp_path / "long.en"
    path.write_text("A small dog sees the old house. " * 8 + "\n", encoding="utf-8")
    path.write_text(path.read_text() * 100_000, encoding="utf-8")
    command = [sys.executable, "-m", "regard", "translate", "--model", str(tiny_translator), "--workers", "2"]
    process = subprocess.Popen(
        [*command, "--input", str(path)],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True,
    )  # fmt: skip
    assert process.stdout is not None
    assert process.stdout.readline()
    os.killpg(process.pid, signal.SIGINT)  # the terminal sends it to all of them
    _, err = process.communicate(timeout=60)
    assert (process.returncode, err) == (130, "regard: interrupted\n")
    for _ in range(100):
        try:
            os.killpg(process.pid, 0)
        except ProcessLookupError:
            return
        time.sleep(0.1)
    pytest.fail("processes were left behind")
