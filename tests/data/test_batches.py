from itertools import islice

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from regard.data.batches import BatchStream, Encoded, in_order, make_batch, pad, plan_epoch
from regard.data.pairs import Pairs
from regard.data.tokenizer import BOS, EOS, PAD, Tokenizer

lengths = st.lists(st.tuples(st.integers(1, 30), st.integers(1, 30)), min_size=1, max_size=60)


def encoded(sizes):
    return Encoded([[5] * s for s, _ in sizes], [[6] * (t - 1) + [EOS] for _, t in sizes], [])


@given(lengths, st.integers(1, 120), st.integers(0, 3))
def test_an_epoch_holds_every_pair_once_and_no_batch_too_large(sizes, tokens, epoch):
    data = encoded(sizes)
    plan = plan_epoch(data, tokens, 7, epoch)
    assert sorted(i for batch in plan for i in batch) == list(range(len(sizes)))
    for batch in plan:
        widest = max(max(sizes[i]) for i in batch)
        assert len(batch) == 1 or widest * len(batch) <= tokens
    assert plan == plan_epoch(data, tokens, 7, epoch)


def test_epochs_differ_and_seeds_differ():
    data = encoded([(3, 3)] * 40)
    plans = [plan_epoch(data, 12, seed, epoch) for seed, epoch in ((1, 0), (1, 1), (2, 0))]
    assert plans[0] != plans[1]
    assert plans[0] != plans[2]


@given(lengths, st.integers(0, 20), st.integers(1, 3))
def test_a_stream_from_step_n_is_the_stream_without_its_first_n(sizes, start, accumulate):
    data = encoded(sizes)
    whole = list(islice(BatchStream(data, 50, 3, accumulate=accumulate), start + 4))
    later = list(islice(BatchStream(data, 50, 3, start=start, accumulate=accumulate), 4))
    for a, b in zip(whole[start:], later, strict=True):
        assert a.tokens == b.tokens
        for one, other in zip(a.batches, b.batches, strict=True):
            assert torch.equal(one.source, other.source)
            assert torch.equal(one.target_out, other.target_out)


@given(lengths, st.integers(1, 5), st.integers(1, 3))
def test_steps_of_all_processes_hold_every_pair_once_an_epoch_and_none_is_left_over(sizes, accumulate, processes):
    data = Encoded([[i] * s for i, (s, _) in enumerate(sizes)], [[6] * (t - 1) + [EOS] for _, t in sizes], [])
    batches = BatchStream(data, 50, 3).batches_per_epoch()
    streams = [
        BatchStream(data, 50, 3, accumulate=accumulate, process=number, processes=processes)
        for number in range(processes)
    ]
    steps = [list(islice(stream, batches)) for stream in streams]  # so many steps are `accumulate` whole epochs
    seen = [int(row[0]) for own in steps for step in own for batch in step.batches for row in batch.source]
    assert sorted(seen) == sorted([*range(len(sizes))] * accumulate)
    for parts in zip(*steps, strict=True):
        assert {part.tokens for part in parts} == {sum(batch.tokens for part in parts for batch in part.batches)}
    assert streams[0].steps_in(accumulate) == batches


def test_each_epoch_is_as_it_is_drawn():
    drawn = [Encoded([[5 + epoch] * 3] * 8, [[6, EOS]] * 8, []) for epoch in range(3)]
    stream = BatchStream(drawn[0], 12, 3, redraw=lambda epoch: drawn[epoch])
    seen = [int(step.batches[0].source[0, 0]) for step in islice(stream, 6)]
    assert seen == [5, 5, 6, 6, 7, 7]
    later = BatchStream(drawn[0], 12, 3, start=3, redraw=lambda epoch: drawn[epoch])
    assert int(next(iter(later)).batches[0].source[0, 0]) == 6


def test_teacher_forcing_shifts_by_one_and_feeds_no_end_mark():
    batch = make_batch([[5], [5, 7, 8]], [[9, 10, EOS], [11, EOS]])
    assert batch.source.tolist() == [[5, 7, 8], [5, PAD, PAD]]
    assert batch.source_lengths.tolist() == [3, 1]
    assert batch.target_in.tolist() == [[BOS, 11, PAD], [BOS, 9, 10]]
    assert batch.target_out.tolist() == [[11, EOS, PAD], [9, 10, EOS]]
    assert batch.tokens == 5


def test_over_long_pairs_are_left_out_and_numbered():
    pairs = Pairs(["a", "a a a a a a", "b", "a"], ["b", "b", "a a a a a a", "b"])
    tokenizer = Tokenizer.train([*pairs.source, *pairs.target], 20)
    data = Encoded.of(pairs, tokenizer, 5)
    assert data.long == [1, 2]
    assert len(data) == 2
    assert len(Encoded.of(pairs, tokenizer, 6)) == 4


def test_validation_sees_every_pair_once():
    data = encoded([(n % 9 + 1, n % 5 + 1) for n in range(50)])
    assert sum(len(batch.source) for batch in in_order(data, 30)) == 50
    assert sum(batch.tokens for batch in in_order(data, 30)) == sum(map(len, data.target))


@pytest.mark.parametrize("rows", [[], [[]], [[], [1, 2]]])
def test_pad_takes_nothing_too(rows):
    assert pad(rows).shape == (len(rows), max(map(len, rows), default=0))
