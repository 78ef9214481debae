"""What every test stands on: seeds, one thread, the data folder, and the run that checks shapes.

Set before anything is imported: Keras, the oracle, computes on PyTorch and keeps its settings out of the user's home;
and with REGARD_CHECK_SHAPES=1 every annotated shape of the package is checked at each call (jaxtyping's import hook).
Tests of error messages and of `torch.compile` are marked `plain` and sit that run out.
"""

from __future__ import annotations

import os
import signal
import tempfile
from pathlib import Path

os.environ["KERAS_BACKEND"] = "torch"
os.environ["KERAS_HOME"] = tempfile.mkdtemp(prefix="regard-keras-")
os.environ.setdefault("OMP_NUM_THREADS", "1")

if os.environ.get("REGARD_CHECK_SHAPES") == "1":
    from jaxtyping import install_import_hook

    install_import_hook("regard", "shapes.check")  # tests/support/shapes.py

import random

import numpy as np
import pytest
import torch
from hypothesis import settings

ROOT = Path(__file__).resolve().parent.parent

# Random search found what it could while the test was written; a red build must come from the change.
settings.register_profile("regard", deadline=None, derandomize=True)
settings.load_profile("regard")
torch.set_num_threads(1)
# Run in the background of a shell, the tests would hand on to their processes that Ctrl-C is to be ignored.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_addoption(parser: pytest.Parser) -> None:
    """Adds --data-dir, the folder of public data sets that tests marked `data` read."""
    default = ROOT.parent / "shared" / "data"
    parser.addoption("--data-dir", type=Path, default=default, help="folder that holds multi30k/ and others")


@pytest.fixture(autouse=True)
def _seeded() -> None:
    random.seed(0)
    np.random.seed(0)
    torch.manual_seed(0)


@pytest.fixture(scope="session")
def data_dir(request: pytest.FixtureRequest) -> Path:
    """The folder of public data sets; skips where it is absent, fails there if REGARD_REQUIRE_DATA is set."""
    folder: Path = request.config.getoption("--data-dir")
    if not folder.is_dir():
        if os.environ.get("REGARD_REQUIRE_DATA"):
            pytest.fail(f"REGARD_REQUIRE_DATA is set and there is no data folder at {folder}")
        pytest.skip(f"no data folder at {folder}: give one with --data-dir")
    return folder


@pytest.fixture(scope="session")
def tiny_translator(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a translator with additive attention, trained for three steps: it knows nothing but works."""
    from regard.config import ModelConfig, Settings, TrainConfig
    from regard.recipes.builtin import builtin_pairs
    from regard.training import fit

    folder = tmp_path_factory.mktemp("tiny") / "additive"
    settings = Settings(
        ModelConfig(embedding=8, encoder_hidden=8, decoder_hidden=16),
        TrainConfig(steps=3, vocabulary=200, batch_tokens=200, precision="float32"),
    )
    fit(settings, folder, builtin_pairs("train", 60), builtin_pairs("valid", 5), quiet=True)
    return folder


@pytest.fixture(scope="session")
def repository() -> Path:
    """The root of the checkout."""
    return ROOT
