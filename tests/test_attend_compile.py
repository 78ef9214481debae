"""`torch.compile(fullgraph=True)` takes the door whole: every score, mask and bias, made inside or outside."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from regard.attend import attend, attend_with_weights
from regard.equation.biases import alibi, gaussian, relative
from regard.equation.masks import blocks, causal, dense, documents, padding, tokens, window
from regard.equation.scores import Additive, Cosine, Dot, General
from regard.kernels.plan import kernel

pytestmark = pytest.mark.plain

B, H, T, D = 2, 4, 6, 8
LENGTHS = torch.tensor([4, 6])
HOLES = torch.rand(B, 1, T, T, generator=torch.Generator().manual_seed(0)) > 0.4
IDS = torch.tensor([[0, 0, 1, 1, 2, 2]])
LAYOUT = torch.tensor([[1, 0, 1], [1, 1, 0], [0, 1, 1]]).bool()
NOT_CAUSAL = ~causal()
W, U, A = torch.randn(D, D), torch.randn(5), torch.randn(5, D)
TABLE, CENTRE = torch.randn(8, H), torch.rand(B, T) * 5

PARTS: dict[str, Callable[[], dict[str, Any]]] = {
    "nothing": lambda: {},
    "causal": lambda: {"mask": causal()},
    "padding": lambda: {"mask": padding(LENGTHS)},
    "the sentence": lambda: {"mask": causal() & padding(LENGTHS) & (window(2, 0) | tokens([0]))},
    "dense": lambda: {"mask": dense(HOLES)},
    "bool tensor": lambda: {"mask": HOLES},
    "documents": lambda: {"mask": documents(IDS)},
    "blocks": lambda: {"mask": blocks(LAYOUT, 2)},
    "not": lambda: {"mask": NOT_CAUSAL},  # made outside: the compiler knows no ~ for objects
    "dot": lambda: {"score": Dot(1.0), "mask": causal()},
    "general": lambda: {"score": General(W), "mask": causal()},
    "additive": lambda: {"score": Additive(U, A, A), "mask": padding(LENGTHS)},
    "cosine": lambda: {"score": Cosine(2.0)},
    "callable": lambda: {"score": lambda q, k: q @ k.mT},
    "alibi": lambda: {"bias": alibi(H), "mask": window(2, 1)},
    "table": lambda: {"bias": relative(TABLE)},
    "factor": lambda: {"after": gaussian(CENTRE, 2.0).exp()},
}


def all_of(q: Tensor, k: Tensor, v: Tensor, parts: Callable[[], dict[str, Any]]) -> tuple[Tensor, ...]:
    out = attend_with_weights(q, k, v, **parts())
    return attend(q, k, v, **parts()), out.context, out.weights, out.scores, out.lse, out.log_prob


@pytest.mark.parametrize("parts", PARTS.values(), ids=PARTS.keys())
def test_compiled_equals_plain_forward_and_backward(parts: Callable[[], dict[str, Any]]) -> None:
    torch._dynamo.reset()
    x = [torch.randn(B, H, T, D, requires_grad=True) for _ in range(3)]
    plain = all_of(*x, parts)
    compiled = torch.compile(all_of, fullgraph=True, backend="aot_eager")(*x, parts)
    for a, b in zip(compiled, plain, strict=True):
        torch.testing.assert_close(a, b)
    for a, b in zip(
        torch.autograd.grad(compiled[0].sum() + (compiled[2] ** 2).sum(), x),
        torch.autograd.grad(plain[0].sum() + (plain[2] ** 2).sum(), x),
        strict=True,
    ):
        torch.testing.assert_close(a, b)


def test_prepared_keys_cross_the_border_of_a_compiled_step() -> None:
    torch._dynamo.reset()
    score, x = Additive(U, A, A), torch.randn(B, H, T, D)
    keys = score.prepare(x, x, padding(LENGTHS))
    step = torch.compile(lambda q: attend_with_weights(q, keys, keys.values), fullgraph=True, backend="eager")
    q = torch.randn(B, H, 1, D)
    torch.testing.assert_close(step(q).weights, attend_with_weights(q, keys, keys.values).weights)


def test_a_kernel_asked_for_by_name_inside() -> None:
    torch._dynamo.reset()

    def asked(q: Tensor) -> Tensor:
        with kernel("reference"):
            return attend(q, q, q, mask=causal())

    q = torch.randn(B, H, T, D)
    torch.testing.assert_close(torch.compile(asked, fullgraph=True, backend="eager")(q), asked(q))


def test_other_sizes_later() -> None:
    torch._dynamo.reset()
    step = torch.compile(lambda q, n: attend(q, q, q, mask=causal() & padding(n)), fullgraph=True, backend="eager")
    for B, T in ((2, 5), (3, 7), (4, 9)):
        q, n = torch.randn(B, 2, T, 4), torch.arange(B)
        torch.testing.assert_close(step(q, n), attend(q, q, q, mask=causal() & padding(n)))
