"""What a mask tells of tiles without looking into them: never wrong, and where it says so, exact."""

from collections.abc import Callable, Iterator

import pytest
import torch

from regard.equation.mask import Corners, Mask
from regard.equation.masks import blocks, causal, dense, documents, padding, tokens, window
from regard.equation.patterns import bigbird, fixed, strided
from regard.equation.rules import Rule

B, H = 2, 2


def holes(*shape: int) -> torch.Tensor:
    return torch.rand(*shape, generator=torch.Generator().manual_seed(3)) > 0.6


def ids(*shape: int) -> torch.Tensor:
    return torch.randint(0, 4, shape, generator=torch.Generator().manual_seed(3)).sort(-1).values


MASKS: dict[str, Callable[[int, int], Mask]] = {
    "causal": lambda Tq, Tk: causal(),
    "window": lambda Tq, Tk: window(5, 3),
    "padding": lambda Tq, Tk: padding([Tk, 7]),
    "padding of both": lambda Tq, Tk: padding([Tk, 7], queries=[9, Tq]),
    "documents": lambda Tq, Tk: documents(ids(2, Tk)),
    "documents, queries": lambda Tq, Tk: documents(ids(Tk), queries=ids(2, Tq)),
    "documents, mixed up": lambda Tq, Tk: documents(ids(Tk).flip(0).roll(5)),
    "tokens": lambda Tq, Tk: tokens([0, 1, 2, 3, 11]),
    "tokens, flags": lambda Tq, Tk: tokens(holes(2, Tk)),
    "blocks": lambda Tq, Tk: blocks(holes(2, 1, -(-Tq // 4), -(-Tk // 4)), 4),
    "dense": lambda Tq, Tk: dense(holes(2, 1, Tq, Tk)),
    "dense over keys": lambda Tq, Tk: dense(holes(1, 2, 1, Tk)),
    "strided": lambda Tq, Tk: strided(7),
    "strided, one": lambda Tq, Tk: strided(1),
    "fixed": lambda Tq, Tk: fixed(6, 2),
    "fixed, none": lambda Tq, Tk: fixed(6, 0),
    "bigbird": lambda Tq, Tk: bigbird(4, drawn=1),
    "the sentence": lambda Tq, Tk: causal() & padding([Tk, 9]) & (window(4, 0) | tokens([0, 5])),
    "negated": lambda Tq, Tk: ~(window(5, 3) | strided(4)),
}
TOLD_EXACTLY = {"causal", "window", "padding", "documents", "documents, queries", "blocks", "dense", "dense over keys"}


@pytest.mark.parametrize("size", [(24, 24), (23, 26), (26, 23), (1, 30), (30, 3)], ids=str)
@pytest.mark.parametrize("tile", [(4, 4), (3, 8), (40, 5)], ids=str)
@pytest.mark.parametrize("name", MASKS)
def test_an_empty_tile_is_empty_and_a_full_one_full(name: str, tile: tuple[int, int], size: tuple[int, int]) -> None:
    mask = MASKS[name](*size)
    some, full = mask.cover(Corners.of(B, H, *size, *tile))
    allowed = mask.dense(B, H, *size).expand(B, H, *size)
    for i, rows in enumerate(allowed.split(tile[0], 2)):
        for j, inside in enumerate(rows.split(tile[1], 3)):
            any_, all_ = inside.flatten(2).any(2), inside.flatten(2).all(2)
            told = [
                x.expand(B, H, *[-(-n // t) for n, t in zip(size, tile, strict=True)])[..., i, j] for x in (some, full)
            ]
            assert not (any_ & ~told[0]).any()
            assert not (told[1] & ~all_).any()
            if name in TOLD_EXACTLY and (name != "blocks" or tile[0] == 4):
                assert torch.equal(told[0], any_)
                assert torch.equal(told[1], all_)


def test_a_mask_of_ones_own_tells_nothing() -> None:
    class Odd(Mask):
        key = ("odd",)

        def at(self, grid):  # type: ignore[no-untyped-def]
            return (grid.query + grid.key) % 2 == 1

        def __repr__(self) -> str:
            return "odd()"

    some, full = Odd().cover(Corners.of(1, 1, 8, 8, 4, 4))
    assert some.all()
    assert not full.any()


def held(rule: Rule) -> Iterator[torch.Tensor]:
    """The tensors that a rule and its parts hold."""
    for part in vars(rule).values():
        if isinstance(part, torch.Tensor):
            yield part
        elif isinstance(part, Rule):
            yield from held(part)


def kinds(of: type[Mask]) -> set[type[Mask]]:
    """All masks of the equation, but those that only others are made of."""
    found = {kind for kind in of.__subclasses__() if kind.__module__.startswith("regard.equation.")}
    return {kind for kind in found if kind.__abstractmethods__ == frozenset()}.union(*map(kinds, found))


def parts(mask: Mask) -> set[type[Mask]]:
    inside = [part for part in vars(mask).values() if isinstance(part, Mask)]
    return {type(mask)}.union(*map(parts, inside))


@pytest.mark.parametrize("name", MASKS)
def test_every_tensor_a_mask_reads_is_told_so_that_what_was_found_out_of_it_is_not_kept_too_long(name: str) -> None:
    mask = MASKS[name](24, 24)
    for tensor in held(mask):
        before = [told._version for told in mask.tensors]
        tensor.copy_(tensor.clone())
        assert [told._version for told in mask.tensors] != before


def test_the_masks_above_are_of_every_kind() -> None:
    assert set().union(*(parts(make(24, 24)) for make in MASKS.values())) >= {
        kind for kind in kinds(Mask) if kind.__name__ != "_Pair"
    }


def test_a_mask_is_written_to_where_the_tensor_it_was_made_of_is() -> None:
    """Nothing is copied: the owner's own writing counts."""
    layout, flags, numbers = holes(6, 6), holes(24), ids(24)
    lengths = torch.tensor([24, 7])
    given = (
        (layout, blocks(layout, 4)),
        (layout, dense(layout)),
        (flags, tokens(flags)),
        (numbers, ~documents(numbers)),
        (lengths, causal() & padding(lengths)),
    )
    for tensor, mask in given:
        before = [told._version for told in mask.tensors]
        tensor.zero_()
        assert [told._version for told in mask.tensors] != before
