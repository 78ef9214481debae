"""The whole way through the real parts: raw pairs in, a translator, translations, scores and pictures out."""

import json
import os
import signal
import subprocess
import sys
import time

import pytest

pytest.importorskip("lightning")
pytest.importorskip("sacrebleu")
pytest.importorskip("matplotlib")

from regard.data.corpus import generate

TINY = ["--embedding", 16, "--encoder-hidden", 16, "--decoder-hidden", 16, "--vocabulary", 120, "--batch-tokens", 400]


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """Thirty raw pairs to train on and six to judge with."""
    folder = tmp_path_factory.mktemp("data")
    for name, count, split in (("train.tsv", 30, "train"), ("test.tsv", 6, "test")):
        pairs = generate(count, seed=3, split=split, words=(2, 12))
        (folder / name).write_text("".join(f"{p.source}\t{p.target}\n" for p in pairs), encoding="utf-8")
    return folder


def test_train_translate_evaluate(regard, files, tmp_path):
    model = tmp_path / "model"
    trained = regard("train", files / "train.tsv", "--out", model, "--steps", 4, *TINY)
    assert trained.code == 0, trained.err
    assert f"The translator is in {model}" in trained.out
    assert not list(model.rglob("*.ckpt")) + list(model.rglob("*.pt")) + list(model.rglob("*.pkl"))

    again = regard("train", files / "train.tsv", "--out", model, "--steps", 4, *TINY)
    assert (again.code, again.err.count("\n")) == (2, 1)
    assert "--resume" in again.err

    picture = tmp_path / "p.svg"
    translated = regard("translate", "I love deep learning", "--model", model, "--show", "--save", picture)
    assert translated.code == 0, translated.err
    text, *drawing = translated.out.splitlines()
    # So small a model may well answer nothing; then there is nothing to draw.
    assert bool(text) == any("learning" in line for line in drawing) == picture.exists()
    assert bool(text) == ("sums to 1." in translated.out)

    scored = regard("evaluate", files / "test.tsv", "--model", model, "--json", tmp_path / "s.json", "--edges", "8,12")
    assert scored.code == 0, scored.err
    assert "BLEU" in scored.out
    assert "tok:13a" in scored.out
    written = json.loads((tmp_path / "s.json").read_text(encoding="utf-8"))
    assert written["sentences"] == sum(part["sentences"] for part in written["by_length"]) == 6


def test_several_seeds_train_and_each_translates(regard, files, tmp_path):
    out = tmp_path / "three"
    trained = regard("train", files / "train.tsv", "--out", out, "--seeds", "2,5", "--steps", 2, *TINY)
    assert trained.code == 0, trained.err
    written = json.loads((out / "seeds.json").read_text(encoding="utf-8"))
    assert written["seeds"] == [2, 5]
    assert f"over 2 seeds: {written['mean']:.2f} ± {written['spread']:.2f}" in trained.out
    for seed in (2, 5):
        assert json.loads((out / f"seed-{seed}" / "config.json").read_text())["train"]["seed"] == seed
        assert regard("translate", "hello", "--model", out / f"seed-{seed}").code == 0
    again = regard("train", "--resume", "--out", out)
    assert (again.code, again.err.count("\n")) == (2, 1)
    assert "nothing is left to resume" in again.err


@pytest.mark.parametrize("damage", ["config.json", "model.safetensors", "tokenizer.json", "folder"])
def test_a_damaged_or_foreign_model_is_one_line(regard, tmp_path_factory, files, damage, tmp_path):
    model = tmp_path / "model"
    if damage == "folder":
        model.mkdir()
    else:
        regard("train", files / "train.tsv", "--out", model, "--steps", 1, *TINY)
        (model / damage).write_bytes(b"\x80nonsense")
    outcome = regard("translate", "hello", "--model", model)
    assert outcome.code == 2
    assert outcome.out == ""
    assert (outcome.err[:8], outcome.err.count("\n")) == ("regard: ", 1)


def test_ctrl_c_saves_and_resume_goes_on(regard, files, tmp_path):
    model = tmp_path / "model"
    arguments = ["train", files / "train.tsv", "--out", model, "--steps", 100_000, *TINY]
    running = subprocess.Popen(
        [sys.executable, "-m", "regard", *map(str, arguments)],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env={**os.environ, "OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    log = model / "metrics.jsonl"
    deadline = time.monotonic() + 300  # of a machine that is busy
    while not (log.exists() and log.read_text()) and time.monotonic() < deadline and running.poll() is None:
        time.sleep(0.1)
    running.send_signal(signal.SIGINT)
    _, errors = running.communicate(timeout=60)
    assert running.returncode == 130, errors
    assert "Traceback" not in errors
    assert f"regard train --resume --out {model}" in errors.splitlines()[-1]
    config = json.loads((model / "config.json").read_text())
    (model / "config.json").write_text(json.dumps(config | {"train": config["train"] | {"steps": _steps(log) + 60}}))
    resumed = regard("train", "--resume", "--out", model)
    assert resumed.code == 0, resumed.err


def _steps(log):
    return max(json.loads(line)["step"] for line in log.read_text().splitlines())
