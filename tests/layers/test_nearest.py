"""The best slots, by PyTorch and by FAISS: both against a full sort."""

import sys

import pytest
import torch

from regard.layers import nearest
from regard.layers.memory import MemoryAttention
from regard.layers.nearest import best_slots

faiss = pytest.importorskip("faiss", reason="FAISS is an extra: pip install 'regard[memory]'")


def sorted_slots(query, keys, lengths, count):
    e = (query @ keys.mT).masked_fill(torch.arange(keys.shape[1]) >= lengths[:, None, None], -torch.inf)
    return e.argsort(-1, descending=True)[..., :count]


@pytest.mark.parametrize("at_once", [1, 7, 64, 1 << 16])
def test_pytorch_finds_the_best_however_many_it_compares_at_a_time(monkeypatch, at_once):
    monkeypatch.setattr(nearest, "_AT_ONCE", at_once)
    query, keys, lengths = torch.randn(3, 4, 5), torch.randn(3, 100, 5), torch.tensor([100, 40, 2])
    slots, there = best_slots(query, keys, lengths, 6)
    expected = sorted_slots(query, keys, lengths, 6)
    assert there.sum(-1).tolist() == [[6] * 4, [6] * 4, [2] * 4]
    assert torch.equal(slots[there], expected[there])


def test_what_lies_beyond_the_lengths_is_never_chosen():
    keys = torch.randn(2, 9, 3)
    keys[:, 4:] = float("nan")
    slots, there = best_slots(torch.randn(2, 1, 3), keys, torch.tensor([4, 2]), 5)
    assert (slots[there] < 4).all()
    assert there.sum(-1).flatten().tolist() == [4, 2]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16], ids=str)
def test_faiss_reads_what_pytorch_reads(dtype):
    query, states = torch.randn(3, 4, 8, dtype=dtype), torch.randn(3, 200, 8, dtype=dtype)
    values, lengths = torch.randn(3, 200, 5, dtype=dtype), torch.tensor([200, 50, 0])
    layer = MemoryAttention(top_k=7)
    store = layer.write(states, lengths, values=values)
    index = layer.index(store)
    found = []
    for where in (store, index):
        leaves = [x.clone().requires_grad_() for x in (query, states, values)]
        fresh = layer.write(leaves[1], lengths, values=leaves[2])
        if where is index:
            fresh = layer.index(fresh)
        out = layer(leaves[0], fresh)
        found.append((out, *torch.autograd.grad(out.float().square().sum(), leaves)))
        assert (layer.weights(query, where) > 0).sum(-1).tolist() == [[7] * 4, [7] * 4, [0] * 4]
    for ours, theirs in zip(*found, strict=True):
        torch.testing.assert_close(ours, theirs)
    assert (found[1][0][2] == 0).all()
    torch.testing.assert_close(layer.scores(query, index), layer.scores(query, store))


def test_hops_search_again():
    query, states = torch.randn(1, 3, 8), torch.randn(1, 300, 8)
    layer = MemoryAttention(top_k=4, hops=3)
    store = layer.write(states)
    torch.testing.assert_close(layer(query, layer.index(store)), layer(query, store))


def test_other_kinds_of_index_are_faiss_own_and_find_most():
    states = torch.randn(1, 2000, 8)
    layer = MemoryAttention(top_k=10)
    store = layer.write(states)
    query = torch.randn(1, 50, 8)
    exact, near = (layer.reads(query, x)[-1].which for x in (store, layer.index(store, "HNSW32")))
    shared = sum(len(set(a) & set(b)) for a, b in zip(exact[0].tolist(), near[0].tolist(), strict=True))
    assert shared >= 0.8 * 500
    assert layer(query, layer.index(store, "IVF4,Flat")).isfinite().all()


def test_an_empty_store_is_indexed_and_brings_nothing():
    layer = MemoryAttention(top_k=3)
    store = layer.write(torch.zeros(2, 0, 4))
    assert (layer(torch.randn(2, 3, 4), layer.index(store)) == 0).all()


def test_faiss_threads_are_as_they_were():
    before = faiss.omp_get_max_threads()
    layer = MemoryAttention(top_k=3)
    layer(torch.randn(1, 3, 4), layer.index(layer.write(torch.randn(1, 9, 4))))
    assert faiss.omp_get_max_threads() == before


@pytest.mark.plain
def test_what_does_not_fit_is_named(monkeypatch):
    store = MemoryAttention().write(torch.randn(1, 9, 4))
    with pytest.raises(ValueError, match=r"factory: expected a description that FAISS knows.*got 'Flatt'"):
        MemoryAttention(top_k=3).index(store, "Flatt")
    with pytest.raises(ValueError, match="so the layer must have top_k="):
        MemoryAttention()(torch.randn(1, 3, 4), MemoryAttention().index(store))
    monkeypatch.setitem(sys.modules, "faiss", None)
    with pytest.raises(ValueError, match=r"FAISS is not installed \(pip install 'regard\[memory\]'\)"):
        MemoryAttention(top_k=3).index(store)
    MemoryAttention(top_k=3)(torch.randn(1, 3, 4), store)  # PyTorch alone
