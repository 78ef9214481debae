"""The planner: what it chooses, how it says why not, and that nothing falls back in silence."""

import threading

import pytest
import torch

from regard.attend import attend, attend_with_weights, explain, plan
from regard.equation.biases import alibi
from regard.equation.masks import causal, dense, padding, window
from regard.equation.scores import Additive, Dot
from regard.kernels.plan import KERNELS, asked, kernel

Q = torch.empty(2, 8, 512, 64, device="meta")
ADDITIVE = Additive(*(torch.empty(*s, device="meta") for s in ((32,), (32, 64), (32, 64))))


def test_sdpa_takes_what_reduces_to_it_and_the_reference_the_rest() -> None:
    assert plan(Q, Q, Q).kernel == "sdpa"
    assert plan(Q, Q, Q, bias=alibi(8), dropout=0.1).kernel == "sdpa"
    assert plan(Q, Q, Q, score=ADDITIVE).kernel in ("additive", "streamed")  # with numba, or without
    assert plan(Q[:, :, :8], Q[:, :, :8], Q[:, :, :8], score=ADDITIVE).kernel == "reference"
    assert plan(Q, Q, Q, weights=True).kernel == "reference"
    refused = plan(Q, Q, Q, weights=True).reasons
    assert refused["sdpa"] == ["it does not return weights"]
    assert refused["additive"] == ["the score Dot() is not additive"]


def test_costs_follow_their_formulas() -> None:
    B, H, T, D = Q.shape
    pairs = B * H * T * T
    learned = Q.clone().requires_grad_()
    with kernel("sdpa"):
        assert plan(Q, Q, Q).flops == pairs * 4 * D
        assert plan(Q, Q, Q, mask=causal()).flops == pairs // 2 * 4 * D
        assert plan(Q, Q, Q, mask=window(3, 0)).flops == pairs * 4 * D  # a dense mask saves nothing
        assert plan(Q, Q, Q).bytes == 4 * B * H * T * D * 4
        assert plan(Q, Q, Q, mask=padding([5, 5])).bytes == 4 * B * H * T * D * 4 + pairs
        assert plan(Q, Q, Q, dropout=0.1).bytes == 4 * B * H * T * D * 4 + 4 * pairs * 4  # PyTorch's is not fused then
        assert plan(learned, Q, Q).flops == int(pairs * 4 * D * 3.5)
        with torch.no_grad():
            assert plan(learned, Q, Q).flops == pairs * 4 * D
    with kernel("reference"):
        assert plan(Q, Q, Q, score=ADDITIVE).flops == pairs * (4 * 32 + 2 * D)
        assert plan(learned, Q, Q, weights=True).flops == pairs * 4 * D * 3


def test_explain_reads_well() -> None:
    text = explain(Q, Q[:, :2], Q[:, :2], score=Dot(1.0), mask=causal() & padding([500, 512]), weights=True)
    not_sdpa, not_additive = [line for line in text.splitlines() if line.startswith(("not sdpa", "not additive"))]
    assert (not_sdpa, not_additive) == (
        "not sdpa: it does not return weights",
        "not additive: the score Dot(1) is not additive",
    )
    assert text.splitlines()[:5] == [
        "kernel    reference",
        "problem   2 rows, 8 heads in 2 groups, 512 queries of 64, 512 keys, values of 64, float32 on cpu",
        "score     Dot(1), softmax",
        "mask      causal() & padding(<2 lengths>)",
        "cost      1.07 GFLOP, 106 MB at least, forward",
    ]


def test_explain_tells_this_call_and_not_another_of_its_kind() -> None:
    attend(torch.zeros(1, 1, 2, 2), torch.zeros(1, 1, 2, 2), torch.zeros(1, 1, 2, 2), score=Dot(1.0))
    assert "Dot(2)" in explain(*[torch.zeros(1, 1, 2, 2)] * 3, score=Dot(2.0))


@pytest.mark.plain
def test_a_kernel_asked_for_by_name_computes_or_raises_its_reasons() -> None:
    q = torch.randn(1, 1, 3, 4)
    with kernel("reference"):
        assert plan(q, q, q).kernel == "reference"
        assert plan(q, q, q).reasons == {known.name: ["reference was asked for"] for known in KERNELS[:-1]}
    attend(q, q, q, after=torch.ones(3, 3))  # its plan is there when the next line asks for another kernel
    with kernel("sdpa"):
        attend(q, q, q)
        with pytest.raises(ValueError, match="it takes no factor"):
            attend(q, q, q, after=torch.ones(3, 3))
        with pytest.raises(ValueError, match="kernel sdpa was asked for and cannot take this call: it does not return"):
            attend_with_weights(q, q, q)
        with pytest.raises(ValueError, match=r"the score <lambda>\(q, k\) is not a dot product; it takes no factor"):
            attend(q, q, q, score=lambda q, k: q @ k.mT, after=torch.ones(3, 3))
    with pytest.raises(ValueError, match=r"expected one of .*sdpa, .*reference, got 'flash'"), kernel("flash"):
        pass


def test_the_name_is_restored_also_after_an_exception_and_when_nested() -> None:
    with kernel("sdpa"):
        with pytest.raises(RuntimeError), kernel("reference"):
            raise RuntimeError
        assert asked() == "sdpa"
    assert asked() is None


def test_the_name_is_this_threads_own() -> None:
    seen: list[str | None] = []
    with kernel("reference"):
        other = threading.Thread(target=lambda: seen.append(asked()))
        other.start()
        other.join()
        assert asked() == "reference"
    assert seen == [None]


def test_a_refusal_is_a_sentence_and_the_last_kernel_refuses_nothing() -> None:
    hard = plan(Q, Q, Q, score=ADDITIVE, after=torch.ones(512, 512, device="meta"), weights=True)
    for name, reasons in hard.reasons.items():
        assert name in [known.name for known in KERNELS]
        assert all(" " in reason and reason[0].islower() for reason in reasons)
    assert KERNELS[-1].refusals(hard.problem) == []


def test_a_mask_that_comes_again_is_looked_at_anew_once_it_was_written_to() -> None:
    q, k, v = (torch.randn(1, 1, 4, 4) for _ in range(3))
    k[0, 0, 3] = torch.nan
    allowed = torch.ones(1, 1, 4, 4, dtype=torch.bool)
    mask = dense(allowed)
    with kernel("sdpa"):
        for _ in range(3):
            assert attend(q, k, v, mask=mask).isnan().all()  # everybody sees it
        allowed[..., 3] = False
        for _ in range(3):
            assert attend(q, k, v, mask=mask).isfinite().all()
