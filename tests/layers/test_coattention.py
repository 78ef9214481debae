"""Co-attention in its three forms: a case worked by hand, and a plain loop over examples and positions."""

import pytest
import torch
from cases import Case, must_hold
from grids import lengths_of, softmax_within
from torch import nn

from regard.layers import AlternatingCoAttention, CoAttention, ParallelCoAttention

FORMS = {
    "affinity": (lambda: CoAttention(), 4),
    "parallel": (lambda: ParallelCoAttention(4, 3, 5), 3),
    "alternating": (lambda: AlternatingCoAttention(4, 3, 5), 3),
}


def seen_of(states, lengths):
    return torch.arange(states.shape[1]) < lengths[:, None]


def shown(states, lengths):
    return torch.where(seen_of(states, lengths)[..., None], states, 0)


def plain_affinity(layer, a, b, of_a, of_b):
    a, b, in_a, in_b = shown(a, of_a), shown(b, of_b), seen_of(a, of_a), seen_of(b, of_b)
    affinity, both = a @ b.mT, in_a[:, :, None] & in_b[:, None]
    return softmax_within(affinity, both) @ b, softmax_within(affinity.mT, both.mT) @ a


def plain_parallel(layer, v, q, of_v, of_q):
    v, q, in_v, in_q = shown(v, of_v), shown(q, of_q), seen_of(v, of_v), seen_of(q, of_q)
    c = torch.tanh(q @ layer.affinity.weight @ v.mT)
    h_v = torch.tanh(layer.first(v) + c.mT @ layer.second(q))
    h_q = torch.tanh(layer.second(q) + c @ layer.first(v))
    a_v, a_q = softmax_within(h_v @ layer.ask_first, in_v), softmax_within(h_q @ layer.ask_second, in_q)
    return (a_v[:, None] @ v)[:, 0], (a_q[:, None] @ q)[:, 0]


def plain_alternating(layer, v, q, of_v, of_q):
    def asked(by, g, x, lengths):
        hidden = by.key(x) if g is None else by.key(x) + by.query(g)[:, None]
        alpha = softmax_within(torch.tanh(hidden) @ (by.u if g is None else by.v), seen_of(x, lengths))
        return (alpha[:, None] @ x)[:, 0]

    v, q = shown(v, of_v), shown(q, of_q)
    found_v = asked(layer.over_first, asked(layer.summary, None, q, of_q), v, of_v)
    return found_v, asked(layer.over_second, found_v, q, of_q)


ORACLES = {"affinity": plain_affinity, "parallel": plain_parallel, "alternating": plain_alternating}


class SecondOfItsOwn(nn.Module):
    """The first modality is drawn at the sizes asked for; the second is 6 long and all of it counts, or the reverse."""

    def __init__(self, layer, swapped):
        super().__init__()
        self.layer, self.swapped = layer, swapped

    def forward(self, drawn, lengths, other):
        return self.layer(*arranged(drawn, lengths, other, self.swapped))


def arranged(drawn, lengths, other, swapped):
    whole = torch.full((other.shape[0],), other.shape[1])
    return (other, drawn, whole, lengths) if swapped else (drawn, other, lengths, whole)


def case(name, swapped):
    make, second = FORMS[name]
    width, of_other = (second, 4) if swapped else (4, second)

    def draw(batch, time):
        return torch.randn(batch, time, width), lengths_of(batch, time), torch.randn(batch, 6, of_other)

    def oracle(layer, drawn, lengths, other):
        return ORACLES[name](layer.layer, *arranged(drawn, lengths, other, swapped))

    # Lu's forms sum up the other modality too, which is there: only the affinity form gives nothing at all.
    halves = {
        check: "the other modality is still summed up"
        for check in ("takes_any_size", "gives_nothing_for_an_empty_row")
        if name != "affinity"
    }
    return Case(lambda: SecondOfItsOwn(make(), swapped), draw, oracle, lengths=1, padded=(0,), without=halves)


test_what_must_hold = must_hold(
    {f"{name}, {'second' if swapped else 'first'}": case(name, swapped) for name in FORMS for swapped in (False, True)}
)


@pytest.fixture(params=FORMS)
def form(request):
    make, second = FORMS[request.param]
    torch.manual_seed(1)
    return make().double(), ORACLES[request.param], second


@pytest.mark.parametrize("times", [(0, 6), (6, 0), (0, 0), (1, 1), (97, 2)])
def test_any_sizes_of_both(form, times):
    layer, oracle, second = form
    a, b = (torch.randn(2, time, width).double() for time, width in zip(times, (4, second), strict=True))
    full = [torch.full((2,), time) for time in times]
    for found, wanted in zip(layer(a, b), oracle(layer, a, b, *full), strict=True):
        torch.testing.assert_close(found, wanted, rtol=1e-10, atol=1e-10)


def test_a_modality_with_nothing_in_it_is_0_and_gives_no_gradient_where_it_is_empty(form):
    layer, _, second = form
    a, b = (torch.randn(2, 5, width).double().requires_grad_() for width in (4, second))
    found = layer(a, b, torch.tensor([0, 5]), torch.tensor([3, 0]))
    grads = torch.autograd.grad(sum(x.square().sum() for x in found), [a, b, *layer.parameters()])
    assert all(grad.isfinite().all() for grad in grads)
    assert (found.first[0] == 0).all()
    assert (found.second[1] == 0).all()
    assert (grads[0][0] == 0).all()
    assert (grads[1][1] == 0).all()


def test_a_plain_loop_over_examples_cut_to_their_lengths(form):
    layer, oracle, second = form
    a, b, of_a, of_b = torch.randn(3, 5, 4).double(), torch.randn(3, 6, second).double(), [5, 2, 1], [3, 6, 1]
    found = layer(a, b, torch.tensor(of_a), torch.tensor(of_b))
    for row, (m, n) in enumerate(zip(of_a, of_b, strict=True)):
        alone = oracle(layer, a[row, None, :m], b[row, None, :n], torch.tensor([m]), torch.tensor([n]))
        for whole, one in zip(found, alone, strict=True):
            cut = whole[row][: one.shape[1]] if one.ndim == 3 else whole[row]
            torch.testing.assert_close(cut, one[0], rtol=1e-10, atol=1e-10)


def test_the_parts_fit_together(form):
    layer, _, second = form
    given = (
        torch.randn(2, 5, 4).double(),
        torch.randn(2, 6, second).double(),
        torch.tensor([5, 2]),
        torch.tensor([3, 6]),
    )
    alphas, found = layer.weights(*given), layer(*given)
    if isinstance(layer, CoAttention):
        torch.testing.assert_close(alphas.first @ given[1], found.first)
        torch.testing.assert_close(alphas.second @ given[0], found.second)
        return
    for alpha, e, states, context in zip(alphas, layer.scores(*given), given, found, strict=False):
        torch.testing.assert_close(torch.softmax(e, -1), alpha)
        torch.testing.assert_close((alpha[:, None] @ states)[:, 0], context)


def test_an_affinity_worked_by_hand():
    # A = [[log 3, 0], [0, log 2]]: rows give 3/4 1/4 and 1/3 2/3, columns 3/4 1/4 and 1/3 2/3.
    a, b = torch.eye(2).double()[None], torch.diag(torch.tensor([3.0, 2.0]).double().log())[None]
    alphas = CoAttention().weights(a, b)
    wanted = torch.tensor([[[3 / 4, 1 / 4], [1 / 3, 2 / 3]]]).double()
    torch.testing.assert_close(alphas.first, wanted)
    torch.testing.assert_close(alphas.second, wanted)
    torch.testing.assert_close(CoAttention()(a, b).second, wanted)
    torch.testing.assert_close(CoAttention()(a, b).first, wanted @ b)


def test_swapping_the_modalities_transposes_the_affinity():
    a, b = torch.randn(2, 5, 4).double(), torch.randn(2, 6, 4).double()
    of_a, of_b, layer = torch.tensor([5, 2]), torch.tensor([3, 6]), CoAttention()
    torch.testing.assert_close(layer.scores(a, b, of_a, of_b), layer.scores(b, a, of_b, of_a).mT)
    for found, swapped in zip(layer(a, b, of_a, of_b), layer(b, a, of_b, of_a)[::-1], strict=True):
        torch.testing.assert_close(found, swapped)


def test_swapping_the_modalities_of_the_parallel_form_swaps_its_weights():
    layer, other = ParallelCoAttention(4, 3, 5).double(), ParallelCoAttention(3, 4, 5).double()
    with torch.no_grad():
        other.affinity.weight.copy_(layer.affinity.weight.T)
        for mine, theirs in (("first", "second"), ("second", "first")):
            getattr(other, theirs).load_state_dict(getattr(layer, mine).state_dict())
            getattr(other, f"ask_{theirs}").copy_(getattr(layer, f"ask_{mine}"))
    a, b = torch.randn(2, 5, 4).double(), torch.randn(2, 6, 3).double()
    for found, swapped in zip(layer(a, b), other(b, a)[::-1], strict=True):
        torch.testing.assert_close(found, swapped)


def test_one_position_attended_by_hand():
    """With one position on each side every weight is 1."""
    for make, second in FORMS.values():
        layer, a, b = make(), torch.randn(1, 1, 4), torch.randn(1, 1, second)
        found = [x.reshape(-1) for x in layer(a, b)]
        wanted = (b, a) if isinstance(layer, CoAttention) else (a, b)
        torch.testing.assert_close(found, [x.reshape(-1) for x in wanted])


@pytest.mark.plain
def test_wrong_shapes_are_named(form):
    layer, _, second = form
    a, b = torch.randn(2, 5, 4).double(), torch.randn(2, 6, second).double()
    with pytest.raises(ValueError, match=r"first: expected \(batch, time, features\), got shape \(5, 4\)"):
        layer(a[0], b)
    with pytest.raises(ValueError, match="second_lengths: expected 2 whole numbers"):
        layer(a, b, None, torch.tensor([1]))
    with pytest.raises(ValueError, match="second: expected 2 batch rows"):
        layer(a, b[:1])
    with pytest.raises(ValueError, match=r"second: expected .* features"):
        layer(a, b[..., :2])
