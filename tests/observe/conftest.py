"""The loops take every call, however small, where a test asks for it."""

import pytest

from regard.observe.fused import limits


@pytest.fixture
def _always_fused(monkeypatch: pytest.MonkeyPatch) -> None:
    if missing := limits.missing():
        pytest.skip(missing)
    monkeypatch.setattr(limits, "FEW", 0)
