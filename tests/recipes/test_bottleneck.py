"""The demo's experiment, with a trainer and a translator that cost nothing: what it writes, says and leaves alone."""

import io
import json
import sys
import types
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("matplotlib")
pytest.importorskip("sacrebleu")

from rich.console import Console

from regard.config import Settings
from regard.data.pairs import Pairs
from regard.errors import UserError
from regard.observe import figure
from regard.recipes import builtin, side_by_side
from regard.recipes.bottleneck import EXAMPLE, ILLUSTRATION, SYSTEMS, Sizes, run
from regard.recipes.builtin import builtin_pairs

SIZES = replace(Sizes(), train=((20, (2, 60)),), valid=3, test=3)


class _Translator:
    """Translates the example; drops the end of anything long unless it has attention."""

    def __init__(self, attention, references):
        self.attention = attention
        self.references = references

    def translate(self, sentences, *, beam=5, attention=True, progress=False):
        return [self._translate(sentence) for sentence in sentences]

    def _translate(self, sentence):
        if sentence == EXAMPLE.source:
            translation = types.SimpleNamespace(text="J'adore [red]", score=-1.5, attention=np.eye(3)[:, :3][:2])
            translation.source_words, translation.target_words = ("I", "love", "learning"), ("J'", "adore")
            translation.save = lambda path: figure.save(figure.alignment(np.eye(1), ["a"], ["b"]), path)
            return translation
        words = self.references[sentence].split()
        kept = words if self.attention else words[:8]
        return types.SimpleNamespace(text=" ".join(kept), score=0.0)


@pytest.fixture
def trained(monkeypatch):
    """The settings and training pairs of each command that was started."""
    calls = []
    references = {}
    generate = builtin.generate

    def remembered(*args, **kwargs):
        for pair in generate(*args, **kwargs):
            references[pair.source] = pair.target
            yield pair

    def start(arguments, threads, log):
        options = dict(zip(arguments[5::2], arguments[6::2], strict=True))
        folder = Path(options["--out"])
        assert not folder.exists()
        folder.mkdir()
        log.touch()
        calls.append((Settings.from_mapping(json.loads(Path(options["--config"]).read_text())), Path(arguments[4])))
        return types.SimpleNamespace(poll=lambda: 0, returncode=0)

    def load(folder):
        return _Translator(Path(folder).name != "none", references)

    monkeypatch.setattr(builtin, "generate", remembered)
    monkeypatch.setattr(side_by_side, "start", start)
    monkeypatch.setitem(sys.modules, "regard.translator", types.SimpleNamespace(load=load))
    return calls


def _run(folder, **kwargs):
    console = Console(file=io.StringIO(), width=80)
    results = run(folder, sizes=SIZES, console=console, **kwargs)
    return results, console.file.getvalue()


def test_everything_is_written_and_said(trained, tmp_path):
    results, said = _run(tmp_path / "demo", seed=3)
    folder = tmp_path / "demo"
    written = json.loads((folder / "results.json").read_text(encoding="utf-8"))
    assert written == json.loads(json.dumps(results))
    assert written["finished"]
    assert (written["seed"], written["example"]["gold"]) == (3, EXAMPLE.target)
    assert {"python", "torch", "regard"} <= set(written["versions"])
    for attention in SYSTEMS.values():
        bins = written[attention]["bleu_by_length"]
        assert [part["words"] for part in bins] == ["≤ 10", "11–20", "21–30", "31–60"]
        assert [part["sentences"] for part in bins] == [3] * 4
        assert all("tok:13a" in part["signature"] for part in bins)
    assert written["additive"]["bleu_by_length"][-1]["bleu"] == pytest.approx(100)
    assert written["none"]["bleu_by_length"][-1]["bleu"] < 50
    for name in ("lengths.png", "shipped.png", "shipped.svg", "attention.png", "attention.svg"):
        assert (folder / name).stat().st_size > 1000
    assert said.count("J'adore [red]") == 2  # by the one that came along, and by the one trained
    assert said.index("came with the package") < said.index("Two translators")
    assert written["shipped"]["text"] == written["example"]["text"] == "J'adore [red]"
    assert f"as it should be:    {EXAMPLE.target}" in said
    assert "illustration drawn by hand (no model made it)" in said
    assert "the sums run from 0.90 to 1.00" in " ".join(said.split())
    assert "regard translate --model" in said


def test_the_two_differ_in_attention_alone(trained, tmp_path):
    _run(tmp_path / "demo", seed=3)
    (without, data), (with_, same_data) = trained
    assert (without.model.attention, with_.model.attention) == ("none", "additive")
    assert replace(without.model, attention="additive") == with_.model
    assert without.train == with_.train
    assert without.train.seed == 3
    assert data == same_data
    assert len(data.read_text(encoding="utf-8").splitlines()) == 20


@pytest.mark.parametrize("split", ["train", "valid"])
def test_the_example_is_never_trained_on(split):
    sources = builtin_pairs(split, 500, seed=1).source
    assert len(sources) == 500
    assert not [source for source in sources if source.rstrip(".!?") == EXAMPLE.source]


def test_a_second_demo_replaces_the_first_and_nothing_else(trained, tmp_path):
    folder = tmp_path / "demo"
    _run(folder)
    (folder / "mine.txt").write_text("kept")
    (folder / "none" / "old").write_text("gone")
    _run(folder)
    assert (folder / "mine.txt").read_text() == "kept"
    assert not (folder / "none" / "old").exists()


@pytest.mark.parametrize("content", [None, "{}", "[]", "not json"])
def test_a_folder_of_something_else_is_left_alone(trained, tmp_path, content):
    (tmp_path / "none").mkdir()
    (tmp_path / "none" / "precious").write_text("x")
    if content:
        (tmp_path / "results.json").write_text(content)
    with pytest.raises(UserError, match="--out"):
        _run(tmp_path)
    assert (tmp_path / "none" / "precious").exists()
    assert not trained


def test_an_empty_folder_will_do_and_a_file_will_not(trained, tmp_path):
    (tmp_path / "empty").mkdir()
    _run(tmp_path / "empty")
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="is a file"):
        _run(tmp_path / "file")


def test_the_illustration_is_the_one_given():
    np.testing.assert_allclose(ILLUSTRATION.sum(axis=1), [0.9, 1.0, 0.9, 1.0, 1.0])


def test_a_run_that_fails_says_why(tmp_path):
    run = side_by_side.Run("additive", Settings(), tmp_path / "model")
    data = {split: Pairs(["a b"], ["c d"]) for split in ("train", "valid")}
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "precious").touch()
    replaced = replace(run, settings=replace(Settings(), train=replace(Settings().train, steps=1)))
    with pytest.raises(UserError, match=r"training additive ended with 2: regard: .*model: exists already"):
        side_by_side.train_side_by_side([replaced], data, tmp_path / "training", Console(file=io.StringIO()))


def test_the_time_left_is_the_slowest_runs():
    assert side_by_side._left(60.0, [(100, 200), (50, 200)]) == "180 s left"
    assert side_by_side._left(60.0, [(200, 200), (150, 200)]) == "20 s left"
    assert side_by_side._left(5.0, [(50, 200), (0, 200)]) == "starting"
