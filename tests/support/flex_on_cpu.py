"""FlexAttention on a CPU, with the gradients that PyTorch offers on CUDA alone: its plain form, not compiled."""

import pytest

from regard.kernels import flex, flex_masks


def flex_on_a_cpu(monkeypatch: pytest.MonkeyPatch, side: int = flex_masks.SIDE, *, captures: bool = False) -> None:
    """`kernel("flex")` trains here, in tiles of `side`; with `captures`, gradients reach what the rules hold.

    That takes PyTorch's compiler, which finds what they hold, and some seconds; it then computes plainly too.
    """
    from torch.nn.attention import flex_attention as of_torch

    monkeypatch.setattr(flex, "TRAINED", ("cpu", "cuda"))
    monkeypatch.setattr(flex_masks, "SIDE", side)
    monkeypatch.setattr(of_torch, "_validate_device", lambda *tensors: None)
    monkeypatch.setattr(of_torch, "_FLEX_ATTENTION_DISABLE_COMPILE_DEBUG", not captures)
    monkeypatch.setattr(of_torch, "_warn_once", lambda *arguments, **named: None)
