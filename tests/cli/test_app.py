"""The door: help, version, and one line for every error."""

import os
import subprocess
import sys

import pytest
from typer.testing import CliRunner

from regard.cli.app import app

COMMANDS = ("demo", "train", "fine-tune", "translate", "evaluate", "compare", "align", "data")


def process(*arguments, **kwargs):
    return subprocess.run(
        [sys.executable, "-m", "regard", *arguments], capture_output=True, text=True, timeout=60, **kwargs
    )


def test_help_names_the_commands_and_imports_nothing_heavy():
    code = (
        "import sys; from regard.cli.app import main\n"
        "try: main(['--help'])\n"
        "except SystemExit: pass\n"
        "heavy = {'torch', 'numpy', 'lightning', 'matplotlib', 'sacrebleu', 'tokenizers', 'yaml'} & set(sys.modules)\n"
        "assert not heavy, heavy"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert ran.returncode == 0, ran.stderr
    assert all(command in ran.stdout for command in COMMANDS)


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help_with_an_example(command):
    result = CliRunner().invoke(app, [command, "--help"])
    assert result.exit_code == 0
    assert f"regard {command}" in result.output.split("Example")[1]


def test_without_a_command_the_help_is_printed(regard):
    assert "translate" in regard().out


def test_version(regard):
    from importlib.metadata import version

    assert regard("--version").out == f"regard {version('regard')}\n"


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["train", "--atention", "dot"], "--attention"),
        (["translate", "--bean", "3"], "--beam"),
        (["evaluate", "--tokenise", "none"], "--tokenize"),
        (["trian"], "train"),
        (["train", "--epochs", "many"], "--epochs"),
        (["translate", "--beam", "0"], "--beam"),
    ],
)
def test_wrong_options_are_one_line_that_names_the_right_one(regard, arguments, says):
    outcome = regard(*arguments)
    assert outcome.code == 2
    assert outcome.out == ""
    assert outcome.err.startswith("regard: ")
    assert outcome.err.count("\n") == 1
    assert says in outcome.err
    assert "--help" in outcome.err


def test_a_users_mistake_is_one_line_and_exit_code_2(regard, translator, tmp_path):
    outcome = regard("translate", "hello", "--model", tmp_path / "absent")
    assert (outcome.code, outcome.out) == (2, "")
    assert outcome.err == f"regard: {tmp_path / 'absent'}: no model here\n"


def test_an_unexpected_error_keeps_its_trace_for_those_who_ask(regard, trainer, pairs, tmp_path, monkeypatch):
    monkeypatch.delenv("REGARD_DEBUG", raising=False)
    trainer.raises = RuntimeError("broken\nwithin")
    outcome = regard("train", pairs, "--out", tmp_path / "m")
    assert outcome.code == 1
    assert outcome.err.startswith("regard: unexpected RuntimeError: broken within")
    assert outcome.err.count("\n") == 1
    monkeypatch.setenv("REGARD_DEBUG", "1")
    assert "Traceback" in regard("train", pairs, "--out", tmp_path / "other").err
    monkeypatch.setenv("REGARD_DEBUG", "0")
    assert "Traceback" in regard("--debug", "train", pairs, "--out", tmp_path / "third").err


def test_an_interruption_is_one_line_and_130(regard, trainer, pairs, tmp_path):
    trainer.raises = KeyboardInterrupt()
    outcome = regard("train", pairs, "--out", tmp_path / "m")
    assert (outcome.code, outcome.err) == (130, "regard: interrupted\n")


def test_a_reader_that_leaves_brings_no_complaint():
    read, write = os.pipe()
    os.close(read)
    ran = subprocess.run(
        [sys.executable, "-m", "regard", "--help"], stdout=write, stderr=subprocess.PIPE, text=True, timeout=60
    )
    os.close(write)
    assert ran.stderr == ""
    assert ran.returncode == 1


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no device that is always full")
@pytest.mark.parametrize("arguments", [["--help"], ["guide", "additive"]])
def test_output_that_does_not_fit_on_the_disk_is_one_line(arguments):
    with open("/dev/full", "w") as full:
        ran = subprocess.run(
            [sys.executable, "-m", "regard", *arguments], stdout=full, stderr=subprocess.PIPE, text=True, timeout=60
        )
    assert ran.stderr == "regard: the output: no space left on device; make room, run it again\n"
    assert ran.returncode == 2


def test_output_that_cannot_take_a_character_still_arrives():
    ran = process("--help", env={**os.environ, "PYTHONIOENCODING": "ascii"})
    assert ran.returncode == 0, ran.stderr
    assert "translate" in ran.stdout
