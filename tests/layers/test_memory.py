"""Attention over an external store: dense reading is SDPA, top-k reading is the dense one restricted, hops add up."""

import pytest
import torch
import torch.nn.functional as F
from cases import Case, must_hold

from regard.layers.dot import DotAttention
from regard.layers.memory import MemoryAttention

B, T, S, D = 3, 5, 7, 6
LENGTHS = torch.tensor([7, 3, 1])


def draw(batch, time):
    lengths = torch.randint(1, time + 1, (batch,)) if time else torch.zeros(batch).long()
    return torch.randn(batch, T, D), torch.randn(batch, time, D), lengths


def plainly(layer, query, states, lengths):
    """PyTorch's attention over the slots written, or over the best of them, as often as there are hops."""
    for _ in range(layer.hops):
        allowed = (torch.arange(states.shape[1]) < lengths[:, None, None]).expand(-1, query.shape[1], -1)
        if layer.top_k is not None:
            e = (query @ states.mT).detach().masked_fill(~allowed, -torch.inf)
            best = e.topk(min(layer.top_k, e.shape[-1])).indices
            allowed = allowed & torch.zeros_like(allowed).scatter(-1, best, True)
        q, k = query[:, None], states[:, None]
        context = F.scaled_dot_product_attention(q, k, k, allowed[:, None], scale=1.0)[:, 0]
        query = query + context
    return context


test_what_must_hold = must_hold(
    {
        name: Case(lambda parts=parts: MemoryAttention(**parts), draw, plainly, lengths=2, padded=(1,))
        for name, parts in {
            "one hop": {},
            "three hops": {"hops": 3},
            "top-3": {"top_k": 3},
            "two hops, top-2": {"hops": 2, "top_k": 2},
        }.items()
    }
)


def test_one_hop_is_dot_attention_over_what_was_written():
    query, states, _ = draw(B, S)
    layer, other = MemoryAttention(), DotAttention()
    store = layer.write(states, LENGTHS)
    torch.testing.assert_close(layer(query, store), other(query, states, LENGTHS))
    torch.testing.assert_close(layer.weights(query, store), other.weights(query, states, LENGTHS))
    torch.testing.assert_close(layer.scores(query, store), other.scores(query, states, LENGTHS))


def test_reading_brings_the_values_and_the_scale_is_a_choice():
    query, states, _ = draw(B, S)
    values = torch.randn(B, S, 4)
    layer = MemoryAttention(scale=None)
    expected = F.scaled_dot_product_attention(query, states, values)
    torch.testing.assert_close(layer(query, layer.write(states, values=values)), expected)


@pytest.mark.parametrize("capacity", [None, 4, 9])
def test_written_in_parts_is_written_at_once(capacity):
    query, states, _ = draw(B, S)
    layer = MemoryAttention(capacity=capacity)
    whole, parts = layer.write(states), None
    for part in states.split([2, 0, 4, 1], 1):
        parts = layer.write(part, after=parts)
    torch.testing.assert_close(layer(query, parts), layer(query, whole))
    kept = states if capacity is None else states[:, -capacity:]
    torch.testing.assert_close(layer(query, parts), DotAttention()(query, kept))


def test_what_was_written_before_stays_as_it_was():
    layer = MemoryAttention(capacity=3)
    first = layer.write(torch.ones(1, 2, D))
    copy = first.keys.clone()
    layer.write(torch.zeros(1, 3, D), after=first)
    assert torch.equal(first.keys, copy)
    assert first.lengths.tolist() == [2]


def test_an_empty_store_brings_nothing():
    layer = MemoryAttention(hops=2, top_k=3)
    store = layer.write(torch.zeros(2, 0, D))
    assert (layer(torch.randn(2, T, D), store) == 0).all()
    assert layer.weights(torch.randn(2, T, D), store).shape == (2, T, 0)


@pytest.mark.parametrize("top_k", [1, 3, 20])
def test_the_best_k_are_the_dense_read_restricted_to_them(top_k):
    """Weights are 0 on the others, and among these as softmax over all slots has them, divided by what they sum to."""
    query, states, _ = draw(B, S)
    layer, dense = MemoryAttention(top_k=top_k), MemoryAttention()
    store = layer.write(states, LENGTHS)
    weights, full = layer.weights(query, store), dense.weights(query, store)
    assert ((weights > 0).sum(-1) == LENGTHS[:, None].clamp(max=top_k)).all()
    restricted = torch.where(weights > 0, full, 0)
    torch.testing.assert_close(weights, restricted / restricted.sum(-1, keepdim=True))
    assert (torch.where(weights > 0, full, 2.0).amin(-1) >= torch.where(weights > 0, -1.0, full).amax(-1)).all()
    torch.testing.assert_close(layer(query, store), weights @ states)
    scores = layer.scores(query, store)
    torch.testing.assert_close(scores[weights > 0], dense.scores(query, store)[weights > 0])
    assert (scores[weights == 0] == -torch.inf).all()


def test_each_hop_asks_with_what_it_read():
    query, states, _ = draw(B, S)
    layer, one = MemoryAttention(hops=3), MemoryAttention()
    store = layer.write(states, LENGTHS)
    reads = layer.reads(query, store)
    asked = query
    for read in reads:
        torch.testing.assert_close(read.query, asked)
        torch.testing.assert_close(read.context, one(asked, store))
        torch.testing.assert_close(read.weights, one.weights(asked, store))
        asked = asked + read.context
    torch.testing.assert_close(layer(query, store), reads[-1].context)


@pytest.mark.plain
def test_stores_cross_the_border_of_a_compiled_step():
    torch._dynamo.reset()
    layer = MemoryAttention(capacity=4, hops=2)

    def step(query, store, new, lengths):
        store = layer.write(new, lengths, after=store)
        return layer(query, store), store

    compiled = torch.compile(step, fullgraph=True, backend="eager")
    store = layer.write(torch.randn(B, 2, D))
    for count in (1, 3, 2):
        query, new, lengths = torch.randn(B, 1, D), torch.randn(B, count, D), torch.randint(0, count + 1, (B,))
        plain, kept = step(query, store, new, lengths)
        out, store = compiled(query, store, new, lengths)
        torch.testing.assert_close(out, plain)
        assert all(torch.equal(a, b) for a, b in zip(store, kept, strict=True))


def chains(rows, names=6):
    """Stories of two facts among others, name → next name: who is two steps after the first?"""
    order = torch.rand(rows, names).argsort(1)
    shuffled = torch.rand(rows, names).argsort(1)
    return order.gather(1, shuffled), order.roll(-1, 1).gather(1, shuffled), order[:, 0], order[:, 2]


def accuracy(hops):
    torch.manual_seed(0)
    key, value, asked = (torch.nn.Embedding(6, 16) for _ in range(3))
    for table in (key, value, asked):
        torch.nn.init.normal_(table.weight, 0, 0.3)  # from small scores it learns, from large ones it gets stuck
    answer, layer = torch.nn.Linear(16, 6), MemoryAttention(hops=hops)
    parameters = [p for part in (key, value, asked, answer) for p in part.parameters()]
    optimiser = torch.optim.Adam(parameters, 0.02)

    def answers(who, then, first):
        return answer(layer(asked(first)[:, None], layer.write(key(who), values=value(then)))[:, 0])

    for _ in range(300):
        *story, truth = chains(64)
        optimiser.zero_grad()
        F.cross_entropy(answers(*story), truth).backward()
        optimiser.step()
    *story, truth = chains(1000)
    return (answers(*story).argmax(1) == truth).float().mean().item()


def test_two_hops_answer_questions_of_two_facts_and_one_hop_does_not():
    assert accuracy(2) > 0.95
    assert accuracy(1) < 0.3


@pytest.mark.plain
def test_what_does_not_fit_is_named():
    layer, query, states = MemoryAttention(hops=2), torch.randn(B, T, D), torch.randn(B, S, D)
    store = layer.write(states)
    for name in ("hops", "capacity", "top_k"):
        with pytest.raises(ValueError, match=f"{name}: expected a whole number, 1 or more, got 0"):
            MemoryAttention(**{name: 0})
    with pytest.raises(ValueError, match="scale: expected a number above 0"):
        MemoryAttention(scale=0.0)
    with pytest.raises(ValueError, match=r"states: expected \(batch, time, features\), got shape \(7, 6\)"):
        layer.write(states[0])
    with pytest.raises(ValueError, match=r"values: expected \(3, 7, features\), as states, got \(3, 5, 6\)"):
        layer.write(states, values=query)
    with pytest.raises(ValueError, match="lengths: expected 3 whole numbers"):
        layer.write(states, torch.tensor([1, 2]))
    with pytest.raises(ValueError, match=r"states: expected \(3, time, 6\), as in the store that it follows"):
        layer.write(torch.randn(B, 2, 4), values=torch.randn(B, 2, D), after=store)
    with pytest.raises(ValueError, match=r"query: expected \(batch, steps, features\), got shape \(5, 6\)"):
        layer(query[0], store)
    with pytest.raises(ValueError, match=r"query: expected \(3, steps, 6\), as the store, got \(3, 5, 4\)"):
        layer(query[..., :4], store)
    with pytest.raises(ValueError, match="lengths: the memory was prepared with its lengths already"):
        layer(query, store, LENGTHS)
    with pytest.raises(ValueError, match="more than one hop adds what was read to the query, so expected 6 features"):
        layer(query, layer.write(states, values=torch.randn(B, S, 4)))
    with pytest.raises(
        ValueError, match=r"query: expected torch.float32 on cpu, as the store, got torch.float64 on cpu"
    ):
        layer(query.double(), store)
    with pytest.raises(
        ValueError, match=r"states: expected torch.float32 on cpu, as in the store that it follows, got"
    ):
        layer.write(states.half(), after=store)
    with pytest.raises(
        ValueError, match=r"states: expected .* on cpu, as in the store that it follows, got .* on meta"
    ):
        layer.write(states.to("meta"), after=store)
