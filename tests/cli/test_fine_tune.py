"""`regard fine-tune`: what it hands on, what it remembers, and what it says of mistakes."""

import json

import pytest
from small_run import pairs, settings

from regard.folder import read_config
from regard.training import fit


@pytest.fixture(scope="module")
def start(tmp_path_factory):
    folder = tmp_path_factory.mktemp("start") / "m"
    fit(settings(steps=2, validate_every=2), folder, pairs(30), pairs(10, 1), quiet=True)
    return folder


@pytest.fixture
def file(tmp_path):
    data = pairs(40)
    path = tmp_path / "pairs.tsv"
    path.write_text("".join(f"{s}\t{t}\n" for s, t in zip(data.source, data.target, strict=True)), encoding="utf-8")
    return path


@pytest.mark.slow
def test_it_makes_a_model_and_remembers_what_was_asked(regard, start, file, tmp_path):
    out = tmp_path / "tuned"
    asked = ["--reward", "chrf", "--samples", 3, "--steps", 2, "--seed", 5, "--quiet"]
    ran = regard("fine-tune", file, "--model", start, "--out", out, *asked)
    assert ran.code == 0, ran.err
    assert "chrf of greedy translations of the validation pairs: 0." in ran.out
    assert f"regard compare {start} {out} test.tsv" in ran.out
    assert read_config(out)["objective"] == "self-critical: chrf, leave-one-out baseline, 3 samples"
    again = regard("fine-tune", "--resume", "--out", out, "--quiet")
    assert "nothing is left to resume" in again.err
    assert read_config(out)["train"]["seed"] == 5
    other = regard("fine-tune", "--resume", "--reward", "bleu", "--out", out)
    assert other.code == 2
    assert "chrf" in other.err


def test_mistakes_are_one_line(regard, start, file, tmp_path):
    (tmp_path / "there").mkdir()
    (tmp_path / "there" / "x").touch()
    for arguments, says in (
        ([file, "--model", start, "--out", tmp_path / "there"], "there"),
        ([file, "--model", start, "--out", tmp_path / "m", "--reward", "bleurt"], "bleurt"),
        ([file, "--model", tmp_path / "absent", "--out", tmp_path / "m"], "no such model folder"),
        (["--resume", "--out", start], "not made by `regard fine-tune`"),
        ([file, "--baseline", "mean"], "greedy"),
    ):
        ran = regard("fine-tune", *arguments)
        assert (ran.code, says in ran.err) == (2, True), ran.err
        assert len(ran.err.strip().splitlines()) == 1


def test_the_folder_remembers_the_pairs(regard, start, file, tmp_path, monkeypatch):
    seen = {}
    monkeypatch.setattr("regard.training.fine_tune", lambda *given, **named: seen.update(named) or 1 / 0)
    assert regard("fine-tune", file, "--model", start, "--out", tmp_path / "m", "--epochs", 3).code == 1
    origin = json.loads(json.dumps(seen["origin"]))
    assert origin["files"] == {"pairs": str(file)}
    assert origin["fine_tuning"] == {
        "model": str(start), "reward": "bleu", "baseline": "leave-one-out", "samples": 5, "config": {"epochs": 3}
    }  # fmt: skip
    assert seen["config"].epochs == 3
    assert seen["config"].learning_rate == 5e-5
