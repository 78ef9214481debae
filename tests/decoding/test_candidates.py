import pytest
import torch

from regard.decoding.candidates import BLOCK, FEW, Continuations, _loops, normaliser


@pytest.mark.parametrize("vocabulary", [1, 7, BLOCK, BLOCK + 1, 11 * BLOCK, 11 * BLOCK + 37, 30 * BLOCK - 1])
@pytest.mark.parametrize("count", [2, 10])
@pytest.mark.parametrize("blocked", [0.0, 0.5, 0.999])
def test_the_best_are_those_of_sorting_everything(vocabulary, count, blocked):
    logits = torch.randn(3, 5, vocabulary)
    logits[torch.rand_like(logits) < blocked] = -torch.inf
    continuations, scores = Continuations(logits), torch.randn(3, 5, dtype=torch.float64)
    continuations.normalisers = normalisers = torch.randn(3, 5)
    scores[1, 2:] = -torch.inf
    every = (scores[..., None] + logits.double() - normalisers[..., None].double()).flatten(1)
    wanted = every.topk(min(count, 5 * vocabulary)).values
    totals, parents, words = continuations.best(scores, count)
    torch.testing.assert_close(totals, wanted, rtol=0, atol=1e-12)
    at = parents * vocabulary + words
    torch.testing.assert_close(every.gather(1, at), totals, rtol=0, atol=1e-12)
    for row in range(3):
        finite = at[row][torch.isfinite(totals[row])].tolist()
        assert len(set(finite)) == len(finite)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_the_normaliser_is_the_log_sum_exp_however_large_or_small(dtype):
    logits = torch.randn(37, 5, 4000, dtype=dtype) * torch.logspace(-2, 3, 37, dtype=dtype)[:, None, None]
    logits[3] -= 200
    logits[4] += 200
    wanted = torch.logsumexp(logits.double(), -1)
    found = normaliser(logits)
    torch.testing.assert_close(found.double(), wanted, rtol=1e-6 if dtype == torch.float32 else 1e-13, atol=1e-6)
    for row in (0, 3, 17, 36):  # each sentence's own, whoever stands beside it
        torch.testing.assert_close(normaliser(logits[row : row + 1]), found[row : row + 1], rtol=0, atol=0)


needs_loops = pytest.mark.skipif(_loops() is None, reason="numba is not installed")
SENTENCES = 60  # enough logits that compiled loops read them


def many(dtype, vocabulary, spread=3.0):
    logits = (spread * torch.randn(SENTENCES, 5, vocabulary)).to(dtype)
    assert logits.numel() >= FEW
    return logits


@needs_loops
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
@pytest.mark.parametrize("vocabulary", [960, 1001, 1023])
@pytest.mark.parametrize("spread", [0.01, 3.0, 1e4])
def test_loops_find_the_normaliser_and_the_best(dtype, vocabulary, spread):
    logits = many(dtype, vocabulary, spread)
    logits[torch.rand_like(logits, dtype=torch.float32) < 0.3] = -torch.inf
    logits[3, 2, :-1], logits[4, :, 5:] = -torch.inf, -torch.inf
    continuations = Continuations(logits)
    normalisers = continuations.normalisers
    assert normalisers.dtype == torch.float32
    exact = logits.double().logsumexp(-1)
    plain = (logits.float().logsumexp(-1).double() - exact).nan_to_num(0).abs().max()
    assert (normalisers.double() - exact).nan_to_num(0).abs().max() <= 2 * plain + 1e-6
    scores = torch.randn(SENTENCES, 5, dtype=torch.float64)
    scores[1, 2:] = -torch.inf
    every = (scores[..., None] - normalisers[..., None].double() + logits.double()).flatten(1)
    every = every.masked_fill(every.isnan(), -torch.inf)
    totals, parents, words = continuations.best(scores, 10)
    assert torch.equal(totals, every.topk(10).values)
    finite = totals.isfinite()
    at = parents * vocabulary + words
    assert torch.equal(every.gather(1, at)[finite], totals[finite])
    for row, good in zip(at, finite, strict=True):
        assert len(set(row[good].tolist())) == int(good.sum())


@needs_loops
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
def test_what_loops_find_of_a_sentence_is_its_own(dtype):
    logits, scores = many(dtype, 2011), torch.randn(SENTENCES, 5, dtype=torch.float64)
    whole = Continuations(logits).best(scores, 10)
    order = torch.randperm(SENTENCES)[: SENTENCES - 7]
    threads = torch.get_num_threads()
    try:
        torch.set_num_threads(1)
        some = Continuations(logits[order]).best(scores[order], 10)
    finally:
        torch.set_num_threads(threads)
    for a, b in zip(whole, some, strict=True):
        assert torch.equal(a[order], b)


@needs_loops
def test_equals_stand_in_the_order_of_hypotheses_and_words():
    logits = torch.zeros(SENTENCES, 5, 1000)
    logits[:, 2, [700, 30]] = 1.0
    continuations = Continuations(logits)
    continuations.normalisers = torch.zeros(SENTENCES, 5)
    totals, parents, words = continuations.best(torch.zeros(SENTENCES, 5), 5)
    assert totals[0].tolist() == [1, 1, 0, 0, 0]
    assert parents[0].tolist() == [2, 2, 0, 0, 0]
    assert words[0].tolist() == [30, 700, 0, 1, 2]


@needs_loops
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
@pytest.mark.parametrize("lowered", ["two words", "the best", "nearly all", "all"])
def test_logits_may_be_lowered_after_they_were_read(dtype, lowered):
    logits, scores = many(dtype, 1001), torch.randn(SENTENCES, 5, dtype=torch.float64)
    continuations = Continuations(logits)
    away = torch.zeros_like(logits, dtype=torch.bool)
    if lowered == "two words":
        away[..., [0, 2]] = True
    elif lowered == "the best":
        away.scatter_(-1, logits.topk(100).indices, True)
    else:
        away[..., 1 if lowered == "nearly all" else 0 :] = True
    logits[away] = -torch.inf
    every = (scores[..., None] - continuations.normalisers[..., None].double() + logits.double()).flatten(1)
    totals, parents, words = continuations.best(scores, 10)
    assert torch.equal(totals, every.topk(10).values)
    finite = totals.isfinite()
    assert torch.equal(every.gather(1, parents * 1001 + words)[finite], totals[finite])
