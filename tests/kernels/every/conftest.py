"""Small cases have many parts and tiles, and a kernel for CUDA computes on a CPU."""

from collections.abc import Iterator

import pytest
import torch
from flex_on_cpu import flex_on_a_cpu

from regard.kernels import banded, blocksparse, tiles
from regard.kernels.strips import jobs, strip


@pytest.fixture(autouse=True)
def _in_many_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    """What computes in parts has several of them, small as the cases are."""
    monkeypatch.setattr(tiles, "NUMBERS", 100)
    monkeypatch.setattr(tiles, "FEWEST", 2)
    monkeypatch.setattr(strip, "NUMBERS", 500)
    monkeypatch.setattr(jobs, "FEW", 0)


@pytest.fixture
def two_threads() -> Iterator[None]:
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(1)


@pytest.fixture(autouse=True)
def small_tiles(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> None:
    """So that small cases have many tiles, whole ones and others; but not where threads wait at every operation."""
    if "two_threads" not in request.fixturenames:
        monkeypatch.setattr(banded, "HEIGHT", 4)
        monkeypatch.setattr(jobs, "HEIGHT", 4)
        monkeypatch.setattr(blocksparse, "SIDE", 4)


@pytest.fixture(autouse=True)
def _flex_on_a_cpu(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> None:
    """In small tiles, and with gradients."""
    if "flex" in request.node.name:
        learned = any(word in request.node.name for word in ("learned", "biases added"))
        flex_on_a_cpu(monkeypatch, 4, captures=learned)
