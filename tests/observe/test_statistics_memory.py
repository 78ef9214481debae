"""Nothing the size of the matrix is built to look at it, whichever way leads there."""

import subprocess
import sys

import pytest
import torch
from largest import Largest
from observed import CASES, Case, Squared, additively, check, draw, fitting, same, truth

from regard.equation.biases import alibi, gaussian
from regard.equation.masks import causal, documents, window
from regard.equation.normalisers import Entmax, Softmax
from regard.equation.scores import Additive, Cosine, Dot, General
from regard.observe import plain
from regard.observe.fused import limits
from regard.observe.record import Observe
from regard.observe.statistics import observe


class Written(Squared):
    """Likewise; it says that it writes eight numbers for a pair."""

    def cost(self, features: int) -> tuple[int, int]:
        return 16, 8


MEASURE = """
import resource, sys, torch
from regard import Observe, attend, causal, observe
def peak(): return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
T = int(sys.argv[1])
torch.set_num_threads(1)
q, k, v = (torch.randn(1, 2, T, 16) for _ in range(3))
small = torch.randn(1, 1, 600, 16)
request = Observe(topk=8, entropy=True, mass=True, map=64, gradient=sys.argv[2] == "plain")
def look(q, k, v):
    return observe(q, k, v, request, mask=causal(), context_gradient=v if request.gradient else None)
look(small, small, small)
before = peak()
look(q, k, v)
print(peak() - before)
"""


@pytest.mark.slow
@pytest.mark.parametrize("way", ["fused", "plain"])
def test_nothing_the_size_of_the_matrix_is_built(way: str) -> None:
    T = 6000
    run = subprocess.run([sys.executable, "-c", MEASURE, str(T), way], capture_output=True, text=True, check=True)
    assert float(run.stdout) < 2 * T * T * 4 / 2**20 / 4  # MiB: a fourth of one float32 matrix of both heads


LONG_CALLS = {
    "a soft cap": {"score": Dot(cap=5.0)},
    "a soft cap and a sink": {"score": Dot(cap=5.0), "normalise": Softmax(torch.ones(1))},
    "a sink": {"normalise": Softmax(torch.ones(1))},
    "a mask and a bias": {"mask": documents(torch.arange(4100) // 600) & causal(), "bias": alibi(1)},
    "general": {"score": General(torch.eye(4))},
    "cosine": {"score": Cosine(3.0)},
    "additive": {"score": Additive(torch.ones(2), torch.ones(2, 4), torch.eye(2, 4))},
    "a callable": {"score": lambda q, k: q @ k.mT},
    "a score of one's own": {"score": Written()},
    "sparsemax": {"normalise": "sparsemax"},
    "entmax": {"normalise": Entmax(1.5), "mask": window(500, 0)},
    "a factor": {"after": gaussian(torch.arange(4100.0)[None], 100.0).exp()},
}
IN_LOOPS = ("a soft cap", "a soft cap and a sink", "a sink", "a mask and a bias", "general", "cosine")


@pytest.mark.parametrize("name", LONG_CALLS)
def test_no_tensor_is_a_third_of_the_matrix(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of any score and normaliser, of one head: whether the loops take it or not."""
    T = 4100
    q = torch.randn(1, 1, T, 4)
    request = Observe(topk=2, entropy=True, mass=True, distance=True, map=8)
    fitting = name in IN_LOOPS and limits.missing() is None
    with Largest() as found:
        seen = observe(q, q, q, request, **LONG_CALLS[name])
    assert (not seen.not_fused) == fitting
    assert found.numbers < T * T / 3
    if fitting:
        monkeypatch.setattr(limits, "FEW", T * T + 1)
        with Largest() as found:
            blocks = observe(q, q, q, request, **LONG_CALLS[name])
        assert found.numbers < T * T / 3
        same(seen.entropy, blocks.entropy.double(), 2e-5)
        same(seen.mass, blocks.mass.double(), 2e-5)


SCORES = ["a callable", "a score of one's own", "additive, square"]


@pytest.mark.parametrize("name", SCORES)
def test_scores_in_parts(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plain, "WHOLE", 0)
    monkeypatch.setattr(plain, "NUMBERS", 64)
    square = Case(score=lambda r: Additive(r(6), r(6, 8), r(6, 8)), compare=additively)
    case = square if name == "additive, square" else CASES[name]
    x, request = draw(case, torch.float64), fitting(case)
    check(plain.statistics(x.call(False), request), request, truth(case, x), 1e-9)


def test_an_additive_score_never_writes_its_hidden_features_for_all_pairs_at_once() -> None:
    q = torch.randn(1, 1, 600, 4)
    with Largest() as found:
        observe(q, q, q, score=Additive(torch.ones(64), torch.ones(64, 4), torch.ones(64, 4)))
    assert found.numbers < 600 * 600 * 64 / 4
