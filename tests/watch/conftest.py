"""No watch leaves anything, whatever the test."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from watched import everything_is_as_it_was


@pytest.fixture(autouse=True)
def _nothing_is_left() -> Iterator[None]:
    yield
    assert everything_is_as_it_was()
