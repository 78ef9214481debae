"""What was seen, at hand: a part of it, an overview, and matrices that cannot be had."""

from __future__ import annotations

import pytest
import torch
from watched import NAMES, B, E, Model, T

from regard.observe.seen import Seen
from regard.watch import watch


def test_a_part_of_what_was_seen_and_the_overview(capsys: pytest.CaptureFixture[str]) -> None:
    model = Model().eval()
    with watch(model, weights=True) as seen:
        model(torch.randn(B, T, E))
    part = seen.subset("layers.*")
    assert part.names == NAMES[:2]
    assert isinstance(part, Seen)
    seen.unread["elsewhere"] = "it is [not] to be read"
    seen.show(row=1)
    shown = capsys.readouterr().out
    for name in NAMES:
        assert name in shown
    assert "6 × 6" in shown
    assert f"{float(seen['last'][0].observed.entropy[1, 1].mean()):.2f}" in shown
    assert "not read: elsewhere: it is [not] to be read" in shown
    Seen().show()
    assert "No attention was seen." in capsys.readouterr().out
    with pytest.raises(ValueError, match="2 batch rows, got 2"):
        seen.show(row=2)


def test_matrices_that_cannot_be_had() -> None:
    model, x = Model(), torch.randn(B, T, E)
    with watch(model, weights=True, heads=[3, 1]) as seen:
        with pytest.raises(KeyError, match="there are: none"):
            seen["last"]
        model.layers[0](x)
    weights = seen.looks[0].observed.weights
    assert torch.equal(seen.matrix("layers.0", 1), weights[0, 1])
    with pytest.raises(ValueError, match="there are 3, 1, got 0"):
        seen.matrix("layers.0", 0)
    with pytest.raises(KeyError, match=r"nothing was seen of 'layers\.5'"):
        seen.matrix("layers.5", 0)
    with watch(model) as seen:
        model(x)
    with pytest.raises(ValueError, match="weights=True"):
        seen.matrix("last", 0)
    with watch(model, weights=True) as seen:
        model(x)
        model(x)
    with pytest.raises(ValueError, match="was called 2 times"):
        seen.matrix("last", 0)
