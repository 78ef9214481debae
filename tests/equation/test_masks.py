"""Masks against a loop over indices that this test writes out, and the laws of the algebra."""

import itertools
from collections.abc import Callable
from dataclasses import dataclass

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from regard.equation.mask import Mask, Structure
from regard.equation.masks import as_mask, blocks, causal, dense, documents, padding, tokens, window
from regard.equation.patterns import bigbird, fixed, strided
from regard.equation.rules import Grid

B, H = 2, 3
KINDS = ["causal", "window", "padding", "padded", "documents", "crossed", "tokens", "flags", "blocks", "dense"]
KINDS += ["strided", "fixed", "bigbird"]


@dataclass
class Case:
    """A mask, and what it means: (batch, head, row, query position, key) to bool, in plain Python."""

    mask: Mask
    means: Callable[[int, int, int, int, int], bool]
    Tq: int
    Tk: int

    def loop(self) -> torch.Tensor:
        out = torch.zeros(B, H, self.Tq, self.Tk, dtype=torch.bool)
        for b, h, i, j in itertools.product(range(B), range(H), range(self.Tq), range(self.Tk)):
            out[b, h, i, j] = self.means(b, h, i, i + self.Tk - self.Tq, j)
        return out

    def dense(self) -> torch.Tensor:
        self.mask.check(B, H, self.Tq, self.Tk)
        return self.mask.dense(B, H, self.Tq, self.Tk).expand(B, H, self.Tq, self.Tk)


def leaf(draw: st.DrawFn, Tq: int, Tk: int) -> Case:
    kind = draw(st.sampled_from(KINDS))
    number = st.integers(0, 6)

    def some(*shape: int, top: int = 1) -> torch.Tensor:
        flat = draw(st.lists(st.integers(0, top), min_size=(n := torch.Size(shape).numel()), max_size=n))
        return torch.tensor(flat, dtype=torch.long).view(shape)

    if kind == "causal":
        return Case(causal(), lambda b, h, r, i, j: j <= i, Tq, Tk)
    if kind == "window":
        left, right = draw(number), draw(number)
        return Case(window(left, right), lambda b, h, r, i, j: -left <= j - i <= right, Tq, Tk)
    if kind == "padding":
        n = some(B, top=Tk)
        return Case(padding(n), lambda b, h, r, i, j: j < n[b], Tq, Tk)
    if kind == "padded":
        n, m = some(B, top=Tk), some(B, top=Tq)
        return Case(padding(n.tolist(), queries=m), lambda b, h, r, i, j: j < n[b] and r < m[b], Tq, Tk)
    if kind == "documents":
        ids = some(B, Tk, top=2)
        return Case(documents(ids), lambda b, h, r, i, j: i >= 0 and ids[b, i] == ids[b, j], Tq, Tk)
    if kind == "crossed":
        ids, of_queries = some(Tk, top=2), some(B, Tq, top=2)
        return Case(documents(ids, of_queries), lambda b, h, r, i, j: of_queries[b, r] == ids[j], Tq, Tk)
    if kind == "tokens":
        places = draw(st.lists(number, max_size=3))
        return Case(tokens(places), lambda b, h, r, i, j: i in places or j in places, Tq, Tk)
    if kind == "flags":
        flags = some(B, Tk).bool()
        return Case(tokens(flags), lambda b, h, r, i, j: (i >= 0 and flags[b, i]) or flags[b, j], Tq, Tk)
    if kind == "blocks":
        size = draw(st.integers(1, 3))
        layout = some(H, -(-Tq // size), -(-Tk // size)).bool()
        return Case(blocks(layout[None], size), lambda b, h, r, i, j: layout[h, r // size, j // size], Tq, Tk)
    if kind == "strided":
        n = draw(st.integers(1, 4))
        return Case(strided(n), lambda b, h, r, i, j: 0 <= i - j <= n or (j <= i and (i - j) % n == 0), Tq, Tk)
    if kind == "fixed":
        n, m = draw(st.integers(2, 4)), draw(st.integers(0, 2))
        return Case(
            fixed(n, m), lambda b, h, r, i, j: j <= i and (j // n == i // n or j % n in range(n - m, n)), Tq, Tk
        )
    if kind == "bigbird":
        n, m, g = draw(st.integers(1, 3)), draw(st.integers(0, 2)), draw(st.integers(0, 2))
        return Case(
            bigbird(n, near=m, globals=g, drawn=0),  # the drawn blocks have tests of their own
            lambda b, h, r, i, j: abs(i // n - j // n) <= m or j // n < g or 0 <= i // n < g,
            Tq,
            Tk,
        )
    allowed = some(B, 1, Tq, Tk).bool()
    return Case(dense(allowed), lambda b, h, r, i, j: allowed[b, 0, r, j], Tq, Tk)


@st.composite
def cases(draw: st.DrawFn, depth: int = 2, sizes: tuple[int, int] | None = None) -> Case:
    Tq, Tk = sizes or (draw(st.integers(1, 6)), draw(st.integers(1, 6)))
    how = draw(st.sampled_from("&|~.")) if depth else "."
    if how == ".":
        return leaf(draw, Tq, Tk)
    one = draw(cases(depth - 1, (Tq, Tk)))
    if how == "~":
        return Case(~one.mask, lambda *at: not one.means(*at), Tq, Tk)
    two = draw(cases(depth - 1, (Tq, Tk)))
    if how == "&":
        return Case(one.mask & two.mask, lambda *at: one.means(*at) and two.means(*at), Tq, Tk)
    return Case(one.mask | two.mask, lambda *at: one.means(*at) or two.means(*at), Tq, Tk)


@given(cases())
def test_dense_says_what_a_loop_over_indices_says(case: Case) -> None:
    assert torch.equal(case.dense(), case.loop())


@given(cases())
def test_a_rule_gives_the_same_on_a_part_of_the_grid(case: Case) -> None:
    full = Grid.full(B, H, case.Tq, case.Tk)
    part = full._replace(batch=full.batch[1:], head=full.head[:, 2:], row=full.row[:, :, ::2], key=full.key[..., 1:])
    got = case.mask.at(part)
    assert torch.equal(got.expand(1, 1, -(-case.Tq // 2), case.Tk - 1), case.loop()[1:, 2:, ::2, 1:])


@given(cases(), st.data())
def test_de_morgan_and_double_negation(one: Case, data: st.DataObject) -> None:
    two = data.draw(cases(1, (one.Tq, one.Tk)))
    sizes = (B, H, one.Tq, one.Tk)

    def same(a: Mask, b: Mask) -> bool:
        return torch.equal(a.dense(*sizes).expand(sizes), b.dense(*sizes).expand(sizes))

    assert same(~(one.mask & two.mask), ~one.mask | ~two.mask)
    assert same(~(one.mask | two.mask), ~one.mask & ~two.mask)
    assert same(~~one.mask, one.mask)


@given(cases())
def test_structure_bounds_every_allowed_pair_and_exact_means_nothing_else_hides(case: Case) -> None:
    s, allowed = case.mask.structure, case.loop()
    at = Grid.full(B, H, case.Tq, case.Tk)
    bounds = torch.ones_like(allowed)
    if s.left is not None:
        bounds = bounds & (at.key >= at.query - s.left)
    if s.right is not None:
        bounds = bounds & (at.key <= at.query + s.right)
    assert (case.mask.key_lengths() is not None) == s.lengths
    if s.lengths:
        bounds = bounds & (at.key < case.mask.key_lengths()[at.batch])
    if s.block is not None:
        fine = case.mask.layout(case.Tq, case.Tk).repeat_interleave(s.block, 2).repeat_interleave(s.block, 3)
        bounds = bounds & fine[:, :, : case.Tq, : case.Tk]
    assert not (allowed & ~bounds).any()
    if s.exact:
        assert torch.equal(allowed, bounds)


@given(cases())
def test_keys_hash_and_do_not_depend_on_the_numbers_in_tensors(case: Case) -> None:
    assert {case.mask.key: 1}[case.mask.key] == 1
    assert padding([1, 2]).key == padding([3, 0]).key != padding([1, 2, 3]).key
    assert (causal() & window(1, 0)).key == (causal() & window(1, 0)).key != (causal() & window(2, 0)).key
    assert (causal() & window(1, 0)).key != (causal() | window(1, 0)).key


def test_the_sentence_of_the_design() -> None:
    lengths, places = torch.tensor([5, 8]), [0, 6]
    mask = causal() & padding(lengths) & (window(128, 0) | tokens(places))
    narrow = causal() & padding(lengths) & (window(2, 0) | tokens(places))
    assert mask.structure == Structure(right=0, lengths=True)
    assert mask.structure.causal
    case = Case(
        narrow,
        lambda b, h, r, i, j: j <= i and j < lengths[b] and (-2 <= j - i <= 0 or i in places or j in places),
        8,
        8,
    )
    assert torch.equal(case.dense(), case.loop())
    # without its brackets it is another mask: & binds tighter than |
    unbracketed = causal() & padding(lengths) & window(2, 0) | tokens(places)
    assert not torch.equal(unbracketed.dense(2, 3, 8, 8).expand(2, 3, 8, 8), case.loop())


def test_lengths_of_combined_paddings() -> None:
    one, two = padding([1, 3]), padding(torch.tensor([2, 2]))
    assert (one & two).key_lengths().tolist() == [1, 2]
    assert (one | two).key_lengths().tolist() == [2, 3]
    assert (one & causal()).key_lengths().tolist() == [1, 3]
    assert (one | causal()).key_lengths() is None


def test_true_means_may_attend_in_every_mask() -> None:
    assert causal().dense(1, 1, 2, 2).tolist() == [[[[True, False], [True, True]]]]
    assert padding([1]).dense(1, 1, 1, 2).tolist() == [[[[True, False]]]]
    assert tokens([1]).dense(1, 1, 1, 3).tolist() == [[[[False, True, False]]]]


def test_the_last_query_stands_on_the_last_key() -> None:
    assert causal().picture(2, 4) == "■ ■ ■ ·\n■ ■ ■ ■"
    assert causal().picture(4, 2) == "· ·\n· ·\n■ ·\n■ ■"  # two queries stand before the first key
    assert window(1, 0).picture(2, 4) == "· ■ ■ ·\n· · ■ ■"


def test_a_window_is_left_and_right_inclusive() -> None:
    assert window(1, 2).picture(5, 5).splitlines()[2] == "· ■ ■ ■ ■"
    assert window(0, 0).picture(2, 2) == "■ ·\n· ■"


def test_dense_has_size_one_where_a_mask_does_not_depend() -> None:
    assert causal().dense(B, H, 4, 5).shape == (1, 1, 4, 5)
    assert padding([1, 2]).dense(B, H, 4, 5).shape == (B, 1, 1, 5)
    assert blocks(torch.ones(2, 3, dtype=torch.bool), 2).dense(B, H, 4, 5).shape == (1, 1, 4, 5)


def test_picture_of_another_batch_row_and_head() -> None:
    assert padding([1, 3]).picture(1, 3, batch=1) == "■ ■ ■"
    layout = torch.tensor([[[[True]], [[False]]]])
    assert blocks(layout, 2).picture(1, 2, head=1) == "· ·"


def test_a_large_picture_is_pooled() -> None:
    assert causal().picture(64, 64, cells=4) == "▪ · · ·\n■ ▪ · ·\n■ ■ ▪ ·\n■ ■ ■ ▪"


@given(st.data())
def test_repr_is_the_sentence_that_makes_the_mask(data: st.DataObject) -> None:
    plain = st.sampled_from([causal(), window(2, 0), window(0, 1), tokens([0, 3])])
    mask = data.draw(st.recursive(plain, lambda m: st.one_of(
        st.tuples(m, m).map(lambda p: p[0] & p[1]), st.tuples(m, m).map(lambda p: p[0] | p[1]), m.map(lambda x: ~x)
    ), max_leaves=4))  # fmt: skip
    again = eval(repr(mask), {"causal": causal, "window": window, "tokens": tokens})
    assert again.picture(5, 7) == mask.picture(5, 7)


def test_reprs_say_sizes_not_numbers() -> None:
    shown = repr(padding([1, 2]) & documents(torch.zeros(2, 7, dtype=torch.long)) & dense(torch.ones(5, 7).bool()))
    assert shown == "padding(<2 lengths>) & documents(<2x7>) & dense(<1x1x5x7>)"
    assert (
        repr(tokens(torch.ones(4).bool()) | blocks(torch.ones(2, 2).bool(), 8)) == "tokens(<4>) | blocks(<1x1x2x2>, 8)"
    )


def test_and_or_not_in_words_are_refused() -> None:
    with pytest.raises(TypeError, match="combine masks with &"):
        causal() and window(1, 0)
    with pytest.raises(TypeError, match="combine masks with &"):
        not causal()
    with pytest.raises(TypeError):
        causal() & 3


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda: window(-1, 0), "left.*0 or more, got -1"),
        (lambda: window(1, 1.5), "right.*got 1.5"),
        (lambda: padding(torch.tensor([1.0])), r"whole numbers.*float32 of shape \(1,\)"),
        (lambda: padding(torch.ones(2, 2, dtype=torch.long)), r"shape \(2, 2\)"),
        (lambda: padding([1, 2]).check(3, 1, 4, 4), "one of lengths per batch row, 3, got 2"),
        (lambda: padding([1, 2], [3]).check(2, 1, 4, 4), "one of queries per batch row, 2, got 1"),
        (lambda: documents(torch.zeros(2, 3).long()).check(2, 1, 4, 4), r"\(2, 4\) or \(4,\), got \(2, 3\)"),
        (lambda: documents(torch.zeros(3)), "whole numbers.*float32"),
        (lambda: tokens([-1]), r"0 or more.*\[-1\]"),
        (lambda: tokens(torch.ones(3, 4).bool()).check(2, 1, 4, 4), "2 batch rows.*got 3"),
        (lambda: blocks(torch.ones(2, 2), 2), "bool tensor, got a torch.float32 tensor"),
        (lambda: blocks(torch.ones(2, 2).bool(), 0), "1 or more positions, got 0"),
        (lambda: blocks(torch.ones(2, 2).bool(), 2).check(1, 1, 5, 4), r"\(1, 1, 3, 2\), got \(1, 1, 2, 2\)"),
        (lambda: dense(torch.ones(2, 2)), "are a bias: bias="),
        (lambda: dense(torch.ones(2, 3, 4).bool()), r"ambiguous.*tensor\[:, None\]"),
        (lambda: dense(torch.ones(2, 3).bool()).check(1, 1, 2, 4), r"\(1, 1, 2, 4\), got \(1, 1, 2, 3\)"),
        (lambda: as_mask("causal"), "a rule such as causal.. or a bool tensor, got 'causal'"),
    ],
)
@pytest.mark.plain
def test_what_does_not_fit_is_named(make: Callable[[], object], says: str) -> None:
    with pytest.raises(ValueError, match=says):
        make()


def test_padding_is_told_anew_once_its_lengths_were_written_to() -> None:
    lengths = torch.tensor([3, 1])
    mask = padding(lengths)
    assert mask.dense(2, 1, 1, 4) is mask.dense(2, 1, 1, 4)
    assert mask.dense(2, 1, 1, 3).shape == (2, 1, 1, 3)
    lengths[1] = 2
    assert mask.dense(2, 1, 1, 4)[:, 0, 0].tolist() == [[True, True, True, False], [True, True, False, False]]
    with torch.inference_mode():
        unwatched = torch.tensor([3, 1])
        mask = padding(unwatched)
        mask.dense(2, 1, 1, 4)
        unwatched[1] = 2
        assert mask.dense(2, 1, 1, 4)[1, 0, 0].tolist() == [True, True, False, False]
