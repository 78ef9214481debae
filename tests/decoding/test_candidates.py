import pytest
import torch

from regard.decoding.candidates import BLOCK, best_continuations, normaliser


@pytest.mark.parametrize("vocabulary", [1, 7, BLOCK, BLOCK + 1, 11 * BLOCK, 11 * BLOCK + 37, 30 * BLOCK - 1])
@pytest.mark.parametrize("count", [2, 10])
@pytest.mark.parametrize("blocked", [0.0, 0.5, 0.999])
def test_the_best_are_those_of_sorting_everything(vocabulary, count, blocked):
    logits = torch.randn(3, 5, vocabulary)
    logits[torch.rand_like(logits) < blocked] = -torch.inf
    scores, normalisers = torch.randn(3, 5, dtype=torch.float64), torch.randn(3, 5)
    scores[1, 2:] = -torch.inf
    every = (scores[..., None] + logits.double() - normalisers[..., None].double()).flatten(1)
    wanted = every.topk(min(count, 5 * vocabulary)).values
    totals, parents, words = best_continuations(scores, logits, normalisers, count)
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
