"""A store against lists in plain Python: whatever is written in whatever portions, the newest stand in order."""

import torch
from hypothesis import given
from hypothesis import strategies as st

from regard.layers.memory import MemoryAttention
from regard.layers.store import Store

ROWS = 3
portions = st.lists(st.lists(st.integers(0, 4), min_size=ROWS, max_size=ROWS), min_size=1, max_size=6)


@given(portions, st.sampled_from([None, 1, 3, 8]))
def test_it_holds_what_a_list_would(written, capacity):
    layer, store, lists, number = MemoryAttention(capacity=capacity), None, [[] for _ in range(ROWS)], 0.0
    for lengths in written:
        states = torch.full((ROWS, max(lengths), 1), float("nan"))  # beyond the lengths nothing may count
        for row, length in enumerate(lengths):
            for slot in range(length):
                number += 1
                states[row, slot] = number
                lists[row] = (lists[row] + [number])[-capacity if capacity else 0 :]
        store = layer.write(states, torch.tensor(lengths), values=-states, after=store)
        assert capacity is None or store.slots <= capacity
        for row in range(ROWS):
            length = int(store.lengths[row])
            assert store.keys[row, :length, 0].tolist() == lists[row]
            assert store.values[row, :length, 0].tolist() == [-x for x in lists[row]]


def test_gradients_flow_to_what_was_kept_and_to_nothing_else():
    states = torch.randn(1, 5, 2, requires_grad=True)
    layer = MemoryAttention(capacity=2)
    store = layer.write(states[:, 3:], after=layer.write(states[:, :3]))
    (gradient,) = torch.autograd.grad(store.keys.sum(), states)
    assert gradient[0, :, 0].tolist() == [0, 0, 0, 1, 1]


def test_selected_rows():
    store = Store(torch.arange(3.0).view(3, 1, 1), torch.zeros(3, 1, 1), torch.tensor([1, 0, 1]))
    kept = store.select(torch.tensor([2, 0]))
    assert kept.keys.flatten().tolist() == [2, 0]
    assert kept.lengths.tolist() == [1, 1]
