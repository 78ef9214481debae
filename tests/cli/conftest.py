"""A trainer and a translator that do nothing but remember, so that the commands are tested alone and fast."""

import sys
import types
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest

from regard.cli.app import main
from regard.errors import UserError
from regard.folder import write_config, write_origin, write_seeds


@dataclass
class Outcome:
    """How a command ended."""

    code: int
    out: str
    err: str


@pytest.fixture
def regard(capfd):
    """Run the command line in this process."""

    def run(*arguments):
        with pytest.raises(SystemExit) as left:
            main([str(argument) for argument in arguments])
        out, err = capfd.readouterr()
        return Outcome(left.value.code, out, err)

    return run


@dataclass
class FakeTranslation:
    """A sentence in capitals, read from left to right."""

    source: str
    attention: np.ndarray | None
    calls: list = field(default_factory=list)
    score: float = -1.25
    rank: float = -0.5

    @property
    def text(self):
        return self.source.strip().upper()

    @property
    def source_words(self):
        return tuple(self.source.split())

    @property
    def target_words(self):
        return tuple(self.text.split())

    def show(self):
        print(f"<matrix of {self.source}>")

    def save(self, path):
        self.calls.append(path)
        path.write_text("picture")


class FakeTranslator:
    """Records what it was asked."""

    def __init__(self, attention=True):
        self.has_attention = attention
        self.asked = []
        self.saved = []
        self.loaded = []

    def translate(self, sentences, *, beam=5, attention=True, progress=False):
        self.asked.append((list(sentences), beam, attention))
        weights = np.ones((1, 1)) if self.has_attention else None
        return [FakeTranslation(sentence, weights, self.saved) for sentence in sentences]

    def stream(self, lines, n=1, *, decoding, prefix="", attention=False, workers=1, at_once=None, progress=False):
        self.streamed = types.SimpleNamespace(
            n=n, decoding=decoding, prefix=prefix, attention=attention, workers=workers, at_once=at_once
        )
        return (self.translate([line], beam=decoding.beam, attention=attention) * n for line in lines)


@pytest.fixture
def translator(monkeypatch):
    fake = FakeTranslator()
    module = types.ModuleType("regard.translator")

    def load(folder):
        for one in folder if isinstance(folder, list) else [folder]:
            fake.loaded.append(str(one))
            if not Path(one).exists():
                raise UserError(f"{one}: no model\nhere")
        return fake

    module.load = load
    monkeypatch.setitem(sys.modules, "regard.translator", module)
    return fake


@pytest.fixture
def trainer(monkeypatch):
    """Remembers the calls to fit; set `.raises` to make it fail."""
    module = types.ModuleType("regard.training")

    class Interrupted(Exception):
        pass

    def fit(settings, folder, train, valid=None, *, resume=False, quiet=False, origin=None, label="training"):
        module.calls.append(types.SimpleNamespace(**locals()))
        if not resume:
            folder.mkdir()
            write_config(folder, settings.to_mapping())
            (folder / "training").mkdir(exist_ok=True)
            write_origin(folder, origin)
        if module.raises:
            raise module.raises
        return types.SimpleNamespace(
            folder=folder, steps=7, epochs=1, seconds=3.2, tokens_per_second=1234.5,
            best_valid={"step": 5, "valid_bleu": 12.5, "valid_loss": 1.0, "signature": "tok:13a"},
            stopped_because="all steps done",
        )  # fmt: skip

    def fit_seeds(settings, seeds, folder, train, valid=None, *, resume=False, quiet=False, origin=None):
        module.calls.append(types.SimpleNamespace(**locals()))
        mapping = settings.to_mapping()
        del mapping["train"]["seed"]
        folder.mkdir(exist_ok=True)
        write_seeds(folder, {"seeds": seeds, "settings": mapping, "origin": origin})
        if module.raises:
            raise module.raises
        best = {"step": 5, "valid_bleu": 12.5, "valid_loss": 1.0, "signature": "tok:13a", "averaged": [4, 5]}
        return {"seeds": seeds, "runs": {str(seed): best for seed in seeds}, "mean": 12.5, "spread": 0.25}

    module.fit_seeds = fit_seeds
    module.calls, module.raises, module.fit, module.Interrupted = [], None, fit, Interrupted
    monkeypatch.setitem(sys.modules, "regard.training", module)
    return module


@pytest.fixture
def pairs(tmp_path):
    path = tmp_path / "pairs.tsv"
    path.write_text("a b\tc d\ne\tf\n", encoding="utf-8")
    return path
