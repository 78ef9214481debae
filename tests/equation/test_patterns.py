"""The named sparse patterns: pictures by hand, and what BigBird draws. (Loops over indices are in `test_masks.py`.)"""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from regard.equation.masks import causal, tokens, window
from regard.equation.patterns import bigbird, fixed, strided
from regard.equation.rules import Grid


def test_strided_by_hand() -> None:
    assert strided(3).picture(8, 8).splitlines() == [
        "■ · · · · · · ·",
        "■ ■ · · · · · ·",
        "■ ■ ■ · · · · ·",
        "■ ■ ■ ■ · · · ·",
        "· ■ ■ ■ ■ · · ·",
        "· · ■ ■ ■ ■ · ·",
        "■ · · ■ ■ ■ ■ ·",
        "· ■ · · ■ ■ ■ ■",
    ]


def test_fixed_by_hand() -> None:
    assert fixed(3).picture(8, 8).splitlines() == [
        "■ · · · · · · ·",
        "■ ■ · · · · · ·",
        "■ ■ ■ · · · · ·",
        "· · ■ ■ · · · ·",
        "· · ■ ■ ■ · · ·",
        "· · ■ ■ ■ ■ · ·",
        "· · ■ · · ■ ■ ·",
        "· · ■ · · ■ ■ ■",
    ]


def test_every_position_reaches_every_earlier_one_in_two_steps() -> None:
    """What the patterns are for: two layers of them see what one dense causal layer sees."""
    for mask in (strided(4), fixed(4)):
        step = mask.dense(1, 1, 16, 16)[0, 0].double()
        assert torch.equal(step @ step > 0, causal().dense(1, 1, 16, 16)[0, 0])


def test_longformers_window_and_global_tokens() -> None:
    allowed = (window(1, 1) | tokens([0])).dense(1, 1, 6, 6)[0, 0]
    i, j = torch.arange(6)[:, None], torch.arange(6)
    assert torch.equal(allowed, ((i - j).abs() <= 1) | (i == 0) | (j == 0))


def layout(mask, blocks: int, size: int) -> Tensor:
    return mask.dense(1, 1, blocks * size, blocks * size)[0, 0, ::size, ::size]


@pytest.mark.parametrize("seed", range(5))
def test_bigbird_draws_so_many_blocks_before_beyond_those_seen_anyway(seed: int) -> None:
    plain, full = (layout(bigbird(4, near=1, globals=1, drawn=n, seed=seed), 12, 4) for n in (0, 3))
    assert (full | plain).equal(full)
    assert full.equal(full.T)
    before = (full & ~plain).tril()
    assert before.sum(1).tolist() == [0, 0, 0, 1, 2, *[3] * 7]
    assert full[0].all()  # the global block
    assert full[:, 0].all()


def test_bigbirds_draw_follows_the_seed_and_is_spread_evenly() -> None:
    one, again, other = (layout(bigbird(1, drawn=2, seed=seed), 20, 1) for seed in (1, 1, 2))
    assert torch.equal(one, again)
    assert not torch.equal(one, other)
    many = [layout(bigbird(1, near=0, globals=0, drawn=3, seed=s), 20, 1)[19, :19] for s in range(500)]
    shares = torch.stack(many).double().mean(0)
    assert ((shares - 3 / 19).abs() < 5 * (3 / 19 * 16 / 19 / 500) ** 0.5).all()


def test_what_follows_a_sequence_changes_nothing_of_what_it_sees() -> None:
    for mask in (strided(3), fixed(4, 2), bigbird(3, near=0, drawn=2)):
        assert torch.equal(mask.dense(1, 1, 40, 40)[:, :, :17, :17], mask.dense(1, 1, 17, 17))


def test_bigbird_with_fewer_blocks_than_it_draws_sees_everything() -> None:
    assert bigbird(2, drawn=9).dense(1, 1, 7, 7).all()
    assert bigbird(2, drawn=9).dense(1, 1, 0, 0).numel() == 0


@pytest.mark.parametrize(("Tq", "Tk"), [(24, 24), (23, 23), (5, 23), (30, 23), (1, 24)])
def test_bigbirds_layout_bounds_what_it_allows_and_is_tight_where_queries_and_keys_are_one(Tq: int, Tk: int) -> None:
    mask = bigbird(4, near=0, globals=1, drawn=1)
    assert mask.structure.block == 4
    fine = mask.layout(Tq, Tk).repeat_interleave(4, 2).repeat_interleave(4, 3)[:, :, :Tq, :Tk]
    allowed = mask.dense(1, 1, Tq, Tk)
    assert not (allowed & ~fine).any()
    if Tq == Tk:
        assert torch.equal(allowed, fine)


def test_on_a_part_of_the_grid_bigbird_is_the_same() -> None:
    mask, full = bigbird(2, near=0, drawn=2), Grid.full(1, 1, 12, 12)
    part = mask.at(full._replace(row=full.row[:, :, 5:9], key=full.key[..., ::3]))
    assert torch.equal(part, mask.at(full)[:, :, 5:9, ::3])


def test_the_last_query_stands_on_the_last_key() -> None:
    for mask in (strided(3), fixed(4, 2), bigbird(3, near=0, drawn=1)):
        assert torch.equal(mask.dense(1, 1, 2, 11), mask.dense(1, 1, 11, 11)[:, :, -2:])


def test_reprs_make_the_mask_again() -> None:
    for mask in (strided(3), fixed(4, 2), bigbird(8), bigbird(2, near=0, globals=2, drawn=1, seed=7)):
        again = eval(repr(mask))
        assert again.key == mask.key
        assert again.picture(30, 30) == mask.picture(30, 30)


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda: strided(0), "strided: stride must be a whole number, 1 or more, got 0"),
        (lambda: strided(True), "stride.*got True"),
        (lambda: fixed(2.0), "fixed: block.*got 2.0"),
        (lambda: fixed(2, 3), "at most the block's 2 positions, got 3"),
        (lambda: bigbird(0), "bigbird: block"),
        (lambda: bigbird(4, near=-1), "bigbird: near.*0 or more, got -1"),
        (lambda: bigbird(4, drawn=0.5), "bigbird: drawn"),
    ],
)
@pytest.mark.plain
def test_what_does_not_fit_is_named(make: Callable[[], object], says: str) -> None:
    with pytest.raises(ValueError, match=says):
        make()
