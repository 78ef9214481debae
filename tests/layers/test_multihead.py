"""Multi-head attention and its names: what must hold, and the same numbers from others' layers."""

import math

import keras
import pytest
import torch
import torch.nn.functional as F
from cases import Case, must_hold
from torch import nn

from regard.equation.biases import alibi
from regard.equation.masks import causal, dense, documents, padding, tokens, window
from regard.kernels.plan import kernel
from regard.layers.multihead import MultiHeadAttention
from regard.layers.names import CrossAttention, MaskedSelfAttention, SelfAttention
from regard.layers.positions import Alibi, Rotary, T5Relative
from regard.layers.torch_convention import torch_masks

E, S = 12, 10  # features of queries, of a source


def lengths_of(batch, time):
    return torch.randint(1, time + 1, (batch,)) if time else torch.zeros(batch).long()


def itself(batch, time):
    return torch.randn(batch, time, E), None, lengths_of(batch, time)


def across(batch, time):
    return torch.randn(batch, 5, E), torch.randn(batch, time, S), lengths_of(batch, time)


def turned(x, base=10000.0):
    """Rotary, by complex numbers: (x_i + i x_{i+D/2}) · exp(i p base^(−2i/D))."""
    half = x.shape[-1] // 2
    angle = torch.arange(x.shape[2])[:, None] * base ** (-2 * torch.arange(half).double() / x.shape[-1])
    z = torch.complex(x[..., :half].double(), x[..., half:].double()) * torch.polar(torch.ones_like(angle), angle)
    return torch.cat((z.real, z.imag), -1).to(x.dtype)


def plainly(layer, query, memory, lengths):
    """The textbook's formula, with torch's operations alone."""
    own = memory is None
    memory = query if own else memory
    maps = [layer.joint] if layer.joint is not None else [layer.query, layer.key, layer.value]
    weight = [w for m in maps for w in m.weight.split(m.widths)]
    biases = [b for m in maps for b in ([None] * len(m.widths) if m.bias is None else m.bias.split(m.widths))]
    q, k, v = (F.linear(x, w, b) for x, w, b in zip((query, memory, memory), weight, biases, strict=True))
    q, k, v = (
        x.unflatten(-1, (n, -1)).transpose(1, 2)
        for x, n in ((q, layer.heads), (k, layer.key_heads), (v, layer.key_heads))
    )
    if isinstance(layer.positions, Rotary):
        q, k = turned(q), turned(k)
    k, v = (x.repeat_interleave(layer.heads // layer.key_heads, 1) for x in (k, v))
    e = q @ k.mT / math.sqrt(q.shape[-1])
    distance = torch.arange(k.shape[2]) - torch.arange(q.shape[2])[:, None]
    if isinstance(layer.positions, Alibi):
        slopes = torch.tensor([2 ** (-8 * (h + 1) / layer.heads) for h in range(layer.heads)])
        e = e - (slopes[:, None, None] * distance.abs()).to(e.dtype)
    if isinstance(layer.positions, T5Relative):
        e = e + t5_bucketed(layer.positions.table, distance)
    if layer.always is not None:
        e = e.masked_fill(distance > 0, -math.inf)
    beyond = torch.arange(k.shape[2]) >= lengths[:, None]
    e = e.masked_fill(beyond[:, None, None], -math.inf)
    y = (torch.softmax(e, -1) @ v).transpose(1, 2).flatten(2)
    y = y if layer.output is None else F.linear(y, layer.output.weight, layer.output.bias)
    return y.masked_fill(beyond[..., None], 0) if own else y


def t5_bucketed(table, distance):
    """T5's table of 8 buckets, both ways, by a loop: 0, 1 exact, then [2, 16), then [16, ∞) of 128."""
    buckets = [[(4 if d > 0 else 0) + min(abs(d), 2 + (abs(d) >= 16), 3) for d in row] for row in distance.tolist()]
    return table[torch.tensor(buckets)].permute(2, 0, 1)


class Zeroed(T5Relative):
    """T5's table with numbers in it."""

    def __init__(self, *sizes):
        super().__init__(*sizes)
        nn.init.normal_(self.table)


OUTPUT_BIAS = {"nothing": lambda layer: layer.output.bias}
OWN = {
    "own": lambda: MultiHeadAttention(E, 2),
    "no biases": lambda: MultiHeadAttention(E, 3, bias=False),
    "grouped": lambda: MultiHeadAttention(E, 4, key_heads=2),
    "multi-query, sizes of its own": lambda: MultiHeadAttention(
        E, 4, key_heads=1, head_features=6, value_head_features=5
    ),
    "rotary": lambda: MultiHeadAttention(E, 2, positions=Rotary()),
    "alibi": lambda: MultiHeadAttention(E, 4, positions=Alibi(4)),
    "t5": lambda: MultiHeadAttention(E, 2, positions=Zeroed(2, 8)),
    "self-attention": lambda: SelfAttention(E),
    "masked self-attention": lambda: MaskedSelfAttention(E, 2, positions=Rotary()),
}
OTHER = {
    "across": lambda: MultiHeadAttention(E, 2, key=S),
    "across, grouped": lambda: MultiHeadAttention(E, 6, key=S, key_heads=2, value_head_features=3),
}
test_what_must_hold = must_hold(
    {name: Case(make, itself, plainly, lengths=2, padded=(0,)) for name, make in OWN.items()}
    | {name: Case(make, across, plainly, lengths=2, padded=(1,), **OUTPUT_BIAS) for name, make in OTHER.items()}
    | {"cross-attention": Case(lambda: CrossAttention(E, key=S), across, plainly, lengths=2, padded=(1,))}
)


# ---- others' layers ----


def sequences(*widths, batch=3, time=7):
    return [torch.randn(batch, time, width, dtype=torch.float64, requires_grad=True) for width in widths]


def same_gradients(ours, theirs, leaves, tolerance=1e-10):
    seed = torch.randn_like(theirs)
    torch.testing.assert_close(ours, theirs, rtol=tolerance, atol=tolerance)
    for a, b in zip(torch.autograd.grad(ours, leaves, seed), torch.autograd.grad(theirs, leaves, seed), strict=True):
        torch.testing.assert_close(a, b, rtol=tolerance, atol=tolerance)


TORCH = {
    "plain": {},
    "no biases": {"bias": False},
    "keys of their own": {"kdim": S, "vdim": S},
    "values of their own": {"kdim": S, "vdim": 5},
    "sequence first": {"batch_first": False},
    "named as they are": {"kdim": E, "vdim": E},
}


@pytest.mark.parametrize("name", TORCH)
def test_torchs_weights_load_and_give_its_numbers(name):
    options = {"batch_first": True} | TORCH[name]
    theirs = nn.MultiheadAttention(E, 3, dtype=torch.float64, **options)
    for parameter in theirs.parameters():
        nn.init.normal_(parameter, std=0.5)
    ours = MultiHeadAttention.from_torch(theirs)
    q, k, v = sequences(E, theirs.kdim, theirs.vdim)
    hidden = torch.rand(7, 7) > 0.6
    hidden[0, 0] = False
    hidden.fill_diagonal_(False)
    beyond = torch.arange(7) >= torch.tensor([7, 6, 7])[:, None]
    given = (q, k, v) if theirs.batch_first else (x.transpose(0, 1) for x in (q, k, v))
    wanted, weights = theirs(*given, attn_mask=hidden, key_padding_mask=beyond, average_attn_weights=False)
    wanted = wanted if theirs.batch_first else wanted.transpose(0, 1)
    masks = torch_masks(hidden, beyond)
    same_gradients(ours(q, k, values=v, **masks), wanted, (q, k, v))
    torch.testing.assert_close(ours.weights(q, k, values=v, **masks), weights)
    assert weights.shape == (3, 3, 7, 7)


def test_self_attention_with_torchs_weights_a_mask_a_head_and_a_bias_of_numbers():
    theirs = nn.MultiheadAttention(E, 2, batch_first=True, dtype=torch.float64)
    ours = SelfAttention.from_torch(theirs)
    (x,) = sequences(E)
    hidden = torch.rand(3 * 2, 7, 7) > 0.5
    hidden[:, :, 0] = False
    same_gradients(ours(x, **torch_masks(hidden, heads=2)), theirs(x, x, x, attn_mask=hidden)[0], (x,))
    added = torch.randn(7, 7).double().masked_fill(torch.ones(7, 7).triu(1).bool(), -math.inf)
    padded = torch.zeros(3, 7).double().masked_fill(torch.arange(7) >= torch.tensor([7, 6, 5])[:, None], -math.inf)
    wanted = theirs(x, x, x, attn_mask=added, key_padding_mask=padded)[0]
    same_gradients(ours(x, **torch_masks(added, padded)), wanted, (x,))
    same_gradients(
        MaskedSelfAttention.from_torch(theirs)(x, bias=added.masked_fill(added.isinf(), 0)),
        theirs(x, x, x, attn_mask=added)[0],
        (x,),
    )


def test_torchs_masks_mean_the_opposite_and_are_inverted_once():
    hidden = torch.ones(7, 7).triu(1).bool()
    allowed = torch_masks(hidden)["mask"].dense(1, 1, 7, 7)
    assert torch.equal(allowed, causal().dense(1, 1, 7, 7))
    numbers = torch_masks(torch.zeros(7, 7).masked_fill(hidden, -math.inf))
    assert torch.equal(numbers["mask"].dense(1, 1, 7, 7), allowed)
    assert (numbers["bias"].dense(1, 1, 7, 7) == 0).all()
    learned = torch.randn(7, 7, requires_grad=True)
    assert torch_masks(learned)["bias"].requires_grad
    assert torch_masks() == {"mask": None, "bias": None}


def test_a_row_that_torchs_masks_hide_whole_gives_the_outputs_bias_where_torch_gives_nan():
    theirs = nn.MultiheadAttention(E, 2, batch_first=True, dtype=torch.float64)
    nn.init.normal_(theirs.out_proj.bias)
    (x,) = sequences(E)
    for masks in (torch_masks(None, torch.ones(3, 7).bool()), torch_masks(torch.full((7, 7), -math.inf))):
        y = MultiHeadAttention.from_torch(theirs)(x, **masks)
        assert torch.equal(y, theirs.out_proj.bias.expand_as(y))
        assert (torch.autograd.grad(y.sum(), x)[0] == 0).all()


@pytest.mark.parametrize("groups", [4, 2, 1])
def test_keras_multi_head_and_grouped_query_attention(groups):
    theirs = (
        keras.layers.MultiHeadAttention(4, 3, value_dim=5, dtype="float64")
        if groups == 4
        else keras.layers.GroupQueryAttention(3, 4, groups, dtype="float64")
    )
    q, k, v = sequences(E, S, S)
    theirs.build(q.shape, v.shape, k.shape)
    ours = MultiHeadAttention(
        E, 4, key=S, key_heads=groups, head_features=3, value_head_features=5 if groups == 4 else 3
    ).double()
    dense_of = {layer.name: layer for layer in theirs._flatten_layers(include_self=False)}
    with torch.no_grad():
        for name, mine in (("query", ours.query), ("key", ours.key), ("value", ours.value)):
            kernel_, bias_ = (x.value for x in dense_of[name].weights)
            bias_.normal_()
            mine.weight.copy_(kernel_.reshape(kernel_.shape[0], -1).T)
            mine.bias.copy_(bias_.flatten())
        kernel_, bias_ = (x.value for x in dense_of["attention_output"].weights)
        ours.output.weight.copy_(kernel_.reshape(-1, E).T)
        ours.output.bias.copy_(bias_.normal_())
    allowed = torch.rand(3, 7, 7) > 0.4
    allowed[..., 0] = True
    wanted, weights = theirs(q, v, k, attention_mask=allowed, return_attention_scores=True)
    same_gradients(ours(q, k, values=v, mask=allowed[:, None]), wanted, (q, k, v))
    torch.testing.assert_close(ours.weights(q, k, values=v, mask=allowed[:, None]), weights)


def test_llamas_attention_grouped_rotary_and_causal():
    from transformers import LlamaConfig
    from transformers.models.llama.modeling_llama import LlamaAttention

    config = LlamaConfig(hidden_size=16, num_attention_heads=4, num_key_value_heads=2, attn_implementation="sdpa")
    theirs = LlamaAttention(config, 0).double()
    ours = MultiHeadAttention(16, 4, key_heads=2, bias=False, positions=Rotary()).double()
    with torch.no_grad():
        ours.joint.weight.copy_(torch.cat([theirs.q_proj.weight, theirs.k_proj.weight, theirs.v_proj.weight]))
        ours.output.weight.copy_(theirs.o_proj.weight)
    (x,) = sequences(16)
    angles = torch.arange(7).double()[:, None] * 10000.0 ** (-torch.arange(2).double() / 2)
    turns = torch.cat([angles, angles], -1)[None]
    hidden = torch.zeros(7, 7).double().masked_fill(torch.ones(7, 7).triu(1).bool(), -math.inf)[None, None]
    wanted = theirs(x, position_embeddings=(turns.cos(), turns.sin()), attention_mask=hidden)[0]
    same_gradients(ours(x, mask=causal()), wanted, (x,))


def test_t5s_attention_with_its_table():
    from transformers import T5Config
    from transformers.models.t5.modeling_t5 import T5Attention

    config = T5Config(d_model=E, d_kv=4, num_heads=3, relative_attention_num_buckets=8, dropout_rate=0.0)
    config._attn_implementation = "eager"
    theirs = T5Attention(config, has_relative_attention_bias=True).double().eval()
    ours = MultiHeadAttention(E, 3, bias=False, positions=T5Relative(3, 8)).double()
    with torch.no_grad():
        for parameter in theirs.parameters():
            parameter.normal_(std=0.5)
        unscaled = theirs.q.weight * 2  # T5 has no 1/√D
        ours.joint.weight.copy_(torch.cat([unscaled, theirs.k.weight, theirs.v.weight]))
        ours.output.weight.copy_(theirs.o.weight)
        ours.positions.table.copy_(theirs.relative_attention_bias.weight)
    (x,) = sequences(E, time=40)
    same_gradients(ours(x), theirs(x)[0], (x,))


# ---- what the mechanism promises ----


@pytest.mark.parametrize(
    "name", [name for name in OWN if name not in ("rotary", "alibi", "t5", "masked self-attention")]
)
def test_permuting_the_input_permutes_the_output(name):
    layer, order = OWN[name]().double(), torch.randperm(7)
    (x,) = sequences(E)
    torch.testing.assert_close(layer(x[:, order]), layer(x)[:, order], rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize(
    "layer", [MaskedSelfAttention(E, 2), MaskedSelfAttention(E, 2, positions=Rotary(), output=True)]
)
def test_masked_output_at_t_knows_nothing_later_gradients_included(layer):
    layer = layer.double()
    (x,) = sequences(E)
    y = layer(x)
    for t in range(6):
        edited = x.detach().clone()
        edited[:, t + 1 :] = torch.randn_like(edited[:, t + 1 :])
        assert torch.equal(layer(edited)[:, : t + 1], y[:, : t + 1])
        (gradient,) = torch.autograd.grad(y[:, t].sum(), x, retain_graph=True)
        assert (gradient[:, t + 1 :] == 0).all()
        assert (gradient[:, : t + 1] != 0).any()
    assert (layer.weights(x).triu(1) == 0).all()


def test_a_masked_layers_own_mask_holds_beside_a_given_one():
    layer = MaskedSelfAttention(E).double()
    (x,) = sequences(E)
    given = torch.rand(7, 7) > 0.5
    assert ((layer.weights(x, mask=given) != 0) == (given & torch.ones(7, 7).tril().bool())).all()


@pytest.mark.parametrize("positions", [Rotary(), Alibi(2), Zeroed(2, 8)])
def test_scores_depend_on_distance_only(positions):
    """Whatever stands before: the same sequence further down the line has the same scores."""
    layer = MultiHeadAttention(E, 2, positions=positions).double()
    (x,) = sequences(E)
    (before,) = sequences(E, time=4)
    with torch.no_grad():
        later = layer.scores(torch.cat([before, x], 1))[:, :, 4:, 4:]
        torch.testing.assert_close(later, layer.scores(x), rtol=1e-12, atol=1e-12)
        assert not torch.allclose(layer.scores(x), MultiHeadAttention.scores(_without(layer), x))


def _without(layer):
    plain = MultiHeadAttention(E, 2).double()
    plain.load_state_dict({name: x for name, x in layer.state_dict().items() if "positions" not in name})
    return plain


def test_rotary_turns_a_one_of_the_first_pair_by_a_radian_a_position():
    x = torch.zeros(1, 1, 3, 4)
    x[..., 0] = 1
    y = Rotary().turn(x, 5)[0, 0]
    angle = torch.tensor([5.0, 6.0, 7.0])
    torch.testing.assert_close(y[:, [0, 2]], torch.stack([angle.cos(), angle.sin()], 1))
    assert (y[:, [1, 3]] == 0).all()


@pytest.mark.parametrize("name", [name for name in OWN if "masked" not in name])
def test_cached_equals_uncached(name):
    layer = OWN[name]().double()
    (x,) = sequences(E)
    whole = layer(x, mask=causal())
    memory, steps = None, []
    for t in range(7):
        earlier = memory
        memory = layer.prepare(x[:, t : t + 1], after=memory)
        steps.append(layer(x[:, t : t + 1], memory))
        assert earlier is None or earlier.keys.k.shape[2] == t  # untouched
    same_gradients(torch.cat(steps, 1), whole, [x, *layer.parameters()])
    memory = layer.prepare(x[:, :4])
    chunks = [layer(x[:, :4], memory, mask=causal())]
    chunks.append(layer(x[:, 4:], layer.prepare(x[:, 4:], after=memory), mask=causal()))
    torch.testing.assert_close(torch.cat(chunks, 1), whole)
    rows = torch.tensor([2, 0, 2])
    torch.testing.assert_close(layer(x[rows], memory.select(rows)), layer(x, memory)[rows])


def test_a_masked_layer_decodes_through_its_cache():
    layer = MaskedSelfAttention(E, 2, positions=Rotary()).double()
    (x,) = sequences(E)
    memory = layer.prepare(x[:, :5])
    rest = layer(x[:, 5:], layer.prepare(x[:, 5:], after=memory))
    torch.testing.assert_close(rest, layer(x)[:, 5:])


def test_rows_of_different_length_go_on_in_one_cache():
    layer = MultiHeadAttention(E, 2).double()
    x, more = sequences(E)[0], sequences(E, time=2)[0]
    lengths = torch.tensor([7, 3, 5])
    with torch.no_grad():
        x[torch.arange(7) >= lengths[:, None]] = math.nan
    memory = layer.prepare(more, after=layer.prepare(x, lengths))
    assert torch.equal(memory.lengths, lengths + 2)
    y = layer(more, memory)
    for row, length in enumerate(lengths.tolist()):
        alone = torch.cat([x[row : row + 1, :length], more[row : row + 1]], 1)
        torch.testing.assert_close(y[row], layer(more[row : row + 1], alone)[0])
    late = layer.prepare(x, lengths, after=layer.prepare(more))
    torch.testing.assert_close(layer(more, late), y)


def test_padding_on_the_left_is_a_mask_and_positions_need_no_care():
    layer = MultiHeadAttention(E, 2, positions=Rotary()).double()
    (x,) = sequences(E)
    there = torch.arange(7) >= torch.tensor([0, 4, 2])[:, None]
    y = layer(x, mask=causal() & dense(there[:, None, None]))
    for row, first in enumerate([0, 4, 2]):
        torch.testing.assert_close(y[row, first:], layer(x[row : row + 1, first:], mask=causal())[0])


@pytest.mark.parametrize("name", OWN)
def test_packed_sequences_equal_each_alone_and_a_mask_of_documents(name):
    layer = OWN[name]().double()
    lengths = [4, 1, 0, 7]
    x = torch.randn(12, E).double().requires_grad_()
    alone = torch.cat([layer(one[None])[0] for one in x.split(lengths)])
    same_gradients(layer.packed(x, lengths), alone, (x, *layer.parameters()))
    ids = torch.repeat_interleave(torch.arange(4), torch.tensor(lengths))
    torch.testing.assert_close(layer(x[None], mask=documents(ids))[0], alone)
    windowed = torch.cat([layer(one[None], mask=window(1, 0))[0] for one in x.split(lengths)])
    torch.testing.assert_close(layer.packed(x, lengths, mask=window(1, 0)), windowed)
    assert layer.packed(x[:0], []).shape == (0, alone.shape[1])


def test_a_source_prepared_once_is_asked_many_times():
    layer = CrossAttention(E, 2, key=S, value=5).double()
    query, keys, values = sequences(E, S, 5)
    memory = layer.prepare(keys, torch.tensor([7, 2, 0]), values=values)
    whole = layer(query, keys, torch.tensor([7, 2, 0]), values=values)
    steps = [layer(query[:, t : t + 1], memory) for t in range(7)]
    torch.testing.assert_close(torch.cat(steps, 1), whole)
    assert (whole[2] == 0).all()


def test_what_a_mask_keeps_out_of_everything_may_be_nan():
    layer = MultiHeadAttention(E, 2).double()
    query, memory = sequences(E, E)
    for x, y in ((query, memory), (query, None)):
        for mask in (padding([7, 3, 5], queries=[7, 3, 5]), causal() & padding([7, 3, 5], queries=[7, 3, 5])):
            found = []
            for filler in (0.0, math.nan):
                beyond = torch.arange(7) >= torch.tensor([7, 3, 5])[:, None]
                own = x.detach().masked_fill(beyond[..., None], filler).requires_grad_()
                other = None if y is None else y.detach().masked_fill(beyond[..., None], filler)
                out = layer(own, other, mask=mask)
                found.append([out, *torch.autograd.grad(out.square().sum(), [own, *layer.parameters()])])
            assert all(torch.equal(a, b) for a, b in zip(*found, strict=True))


def test_per_head_weights_and_scores():
    layer = MultiHeadAttention(E, 4, key_heads=2).double()
    (x,) = sequences(E)
    lengths = torch.tensor([7, 3, 1])
    found = layer.attended(x, lengths=lengths)
    assert layer.weights(x, lengths=lengths).shape == layer.scores(x, lengths=lengths).shape == (3, 4, 7, 7)
    joined = found.context.transpose(1, 2).flatten(2)
    wanted = layer.output(joined).masked_fill(torch.arange(7)[:, None] >= lengths[:, None, None], 0)
    torch.testing.assert_close(wanted, layer(x, lengths=lengths))
    assert (found.weights[1, :, 3:] == 0).all()
    assert (found.weights[1, :, :, 3:] == 0).all()


def test_the_fused_kernel_computes_it_and_dropout_is_for_training():
    layer = MultiHeadAttention(E, 2, dropout=0.5)
    x = torch.randn(3, 7, E)
    with kernel("sdpa"):
        assert not torch.equal(layer(x), layer(x))
        layer.eval()
        assert torch.equal(layer(x), layer(x))


def test_a_global_token_and_a_bias_when_calling():
    layer = MultiHeadAttention(E, 2, positions=Alibi(2)).double()
    (x,) = sequences(E)
    mask = window(1, 1) | tokens([0])
    added = torch.randn(7, 7).double()
    e = layer.scores(x, mask=mask, bias=added)
    both = _without(layer).scores(x, mask=mask, bias=alibi(2) + added)
    torch.testing.assert_close(e, both)


LAYER, X = MultiHeadAttention(E, 2), torch.zeros(3, 7, E)
OF_TWO, Y = MultiHeadAttention(E, 2, key=S), torch.zeros(3, 7, S)
PADDED = MultiHeadAttention(E, 2, positions=Rotary())
REFUSED = {
    r"heads: expected a divisor of the 12 features, or head_features=, got 5": lambda: MultiHeadAttention(E, 5),
    r"key_heads: expected a divisor of the 4 heads, got 3": lambda: MultiHeadAttention(E, 4, key_heads=3),
    r"dropout: expected a probability, 0 or more and below 1, got 1": lambda: MultiHeadAttention(E, 2, dropout=1),
    r"query: expected \(batch, time, 12 features\), got shape \(7, 12\)": lambda: LAYER(X[0]),
    r"query: expected \(batch, time, 12 features\), got shape \(3, 7, 10\)": lambda: LAYER(Y),
    r"query: expected torch.float32, as the layer is, got torch.float64": lambda: LAYER(X.double()),
    r"memory: expected torch.float32, as the layer is, got torch.int64": lambda: OF_TWO(X, Y.long()),
    r"values: expected on cpu, where the layer is, got on meta": lambda: OF_TWO(X, Y, values=Y.to("meta")),
    r"memory: expected \(batch, time, 10 features\), got shape \(3, 7, 12\)": lambda: OF_TWO(X, X),
    r"values: expected \(3, 7, features\), as memory, got \(3, 6, 10\)": lambda: OF_TWO(X, Y, values=Y[:, 1:]),
    r"values: they belong to a memory, and none was given": lambda: LAYER(X, values=X),
    r"memory: this layer's keys have 10 and values 10 features": lambda: OF_TWO(X),
    r"memory: expected 3 batch rows, as query has, got 2": lambda: LAYER(X, X[:2]),
    r"lengths: expected 3 whole numbers, .* got torch.int64 of shape \(2,\)": lambda: LAYER(
        X, lengths=torch.tensor([1, 2])
    ),
    r"lengths: expected 3 whole numbers, .* got \[1, 2, 3\]": lambda: LAYER(X, lengths=[1, 2, 3]),
    r"lengths: the memory was prepared with its lengths already": lambda: LAYER(
        X, LAYER.prepare(X), torch.tensor([1, 2, 3])
    ),
    r"mask: expected a rule .* got 1": lambda: LAYER(X, mask=1),
    r"dense: expected a shape that broadcasts to .* got \(1, 1, 5, 5\)": lambda: LAYER(X, mask=torch.ones(5, 5).bool()),
    r"alibi: made for 4 heads, but the queries have 2": lambda: MultiHeadAttention(E, 2, positions=Alibi(4))(X),
    r"positions: Rotary turns pairs of features, expected an even number, got 3": lambda: MultiHeadAttention(
        E, 4, positions=Rotary()
    )(X),
    r"after: it was prepared with lengths, and positions count": lambda: PADDED.prepare(
        X, after=PADDED.prepare(X, torch.tensor([1, 2, 3]))
    ),
    r"x: expected \(5, features\), the sum of lengths, got \(7, 12\)": lambda: LAYER.packed(X[0], [2, 3]),
    r"x: keys have 10 features .* give a memory": lambda: OF_TWO.packed(X[0], [7]),
    r"module: made with add_bias_kv or add_zero_attn": lambda: MultiHeadAttention.from_torch(
        nn.MultiheadAttention(E, 2, add_bias_kv=True)
    ),
    r"attn_mask: expected \(queries, keys\) or \(batch · 2 heads": lambda: torch_masks(X.bool(), heads=2),
    r"key_padding_mask: expected \(batch, keys\), got shape \(3, 7, 12\)": lambda: torch_masks(None, X.bool()),
}


@pytest.mark.plain
@pytest.mark.parametrize("says", REFUSED)
def test_a_mistake_is_named(says):
    with pytest.raises(ValueError, match=says):
        REFUSED[says]()


# ---- what users of other software were bitten by ----

HIDDEN = torch.rand(7, 7, generator=torch.Generator().manual_seed(0)) > 0.5
CALLS = {
    "nothing": lambda layer, x: layer(x),
    "lengths": lambda layer, x: layer(x, lengths=torch.tensor([7, 3, 0])),
    "causal": lambda layer, x: layer(x, mask=causal()),
    "causal and lengths": lambda layer, x: layer(x, lengths=torch.tensor([7, 3, 1]), mask=causal()),
    "a mask": lambda layer, x: layer(x, mask=~HIDDEN),
    "a mask and a bias": lambda layer, x: layer(x, mask=~HIDDEN, bias=torch.ones(7, 7).double().triu()),
    "another source": lambda layer, x: layer(x, x.flip(1), torch.tensor([7, 3, 1])),
    "a memory": lambda layer, x: layer(x, layer.prepare(x.flip(1), torch.tensor([7, 3, 1]))),
    "packed": lambda layer, x: layer.packed(x.flatten(0, 1), [20, 1]),
}


@pytest.mark.parametrize("name", CALLS)
def test_no_path_drifts_from_another(name):
    """Training or not, gradients or not, fused or plain: one number, and one tensor."""
    layer, (x,) = MultiHeadAttention(E, 2, positions=Alibi(2)).double(), sequences(E)
    call = CALLS[name]
    with kernel("reference"):
        wanted = call(layer, x)
    assert isinstance(wanted, torch.Tensor)
    for training in (True, False):
        layer.train(training)
        torch.testing.assert_close(call(layer, x), wanted, rtol=1e-12, atol=1e-12)
        with torch.no_grad():
            torch.testing.assert_close(call(layer, x), wanted, rtol=1e-12, atol=1e-12)
        with torch.inference_mode():
            torch.testing.assert_close(call(layer, x), wanted, rtol=1e-12, atol=1e-12)


def test_a_mask_of_this_file_hides_something_and_changes_the_result():
    assert 0.2 < HIDDEN.double().mean() < 0.8
    layer, (x,) = MultiHeadAttention(E, 2).double(), sequences(E)
    results = [call(layer, x) for name, call in CALLS.items() if name != "packed"]
    for i, one in enumerate(results):
        assert not any(torch.allclose(one, other) for j, other in enumerate(results) if j > i and {i, j} != {6, 7})


def test_weights_are_weights_and_the_log_sum_exp_is_another_thing():
    layer, (x,) = MultiHeadAttention(E, 2).double(), sequences(E)
    found = layer.attended(x)
    torch.testing.assert_close(found.weights.sum(-1), torch.ones(3, 2, 7).double())
    torch.testing.assert_close(found.lse, torch.logsumexp(layer.scores(x), -1))
    assert found.lse.shape == (3, 2, 7)
