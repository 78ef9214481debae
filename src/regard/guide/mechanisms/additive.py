"""Row 8: additive attention."""

from __future__ import annotations

from regard.guide.page import Page, Picture, Proof, Session, Source, array


def _picture(session: Session) -> Picture:
    keys = [f"{float(x):.0f} °C" for x in session["keys"].flatten()]
    queries = [f"near {float(x):.0f}?" for x in session["queries"].flatten()]
    return Picture(
        array(session["weights"]), keys, queries, "Columns: the queries. Rows: the keys. Each column sums to 1."
    )


def _check() -> list[Proof]:
    import torch

    from regard.guide.oracle import KERAS_BAR, difference, keras
    from regard.layers import AdditiveAttention

    layer = AdditiveAttention(4, 5, 6).double()
    inputs = [torch.randn(2, 3, 4), torch.randn(2, 7, 5)]

    def plain(q: torch.Tensor, h: torch.Tensor) -> torch.Tensor:
        e = torch.stack([torch.tanh(layer.query(q) + layer.key(h[:, s : s + 1])) @ layer.v for s in range(7)], -1)
        return torch.softmax(e, -1) @ h

    proofs = [Proof(difference(layer, plain, inputs, layer.parameters()), "a loop over positions by torch")]
    library = keras()
    if library is not None:
        oracle = library.layers.AdditiveAttention(dtype="float64")
        oracle.build([(2, 3, 6), (2, 7, 5), (2, 7, 6)])
        oracle.scale.assign(layer.v.detach())
        shared = [layer.query.weight, layer.key.weight]  # v is another tensor there
        error = difference(layer, lambda q, h: oracle([layer.query(q), h, layer.key(h)]), inputs, shared)
        proofs.append(Proof(error, "keras.layers.AdditiveAttention, given W_1 h_t and W_2 h_s", KERAS_BAR))
    return proofs


PAGE = Page(
    number=8,
    name="additive",
    title="Additive attention (Bahdanau)",
    line="a small network with one hidden layer scores each pair",
    definition="Query and key are projected into a common space and added there; tanh and a vector v make a score of "
    "the sum.",
    latex=r"\alpha_t(s) = \operatorname{softmax}_s\!\left(v^\top \tanh(W_1 h_t + W_2 h_s)\right),\qquad "
    r"c_t = \sum_s \alpha_t(s)\, h_s",
    equation="α_t(s) = softmax_s(vᵀ tanh(W_1 h_t + W_2 h_s))\nc_t = Σ_s α_t(s) h_s",
    explanation="What fits is learned and need not be likeness: query and key may differ in size and meaning, and the "
    "hidden layer can express relations that no product of the two can. The price is a hidden layer for each pair of "
    "positions, where a dot product is one number; W_2 h_s alone is computed once a source. It was the first attention "
    "in translation. A bias inside tanh is an option. Measured on a CPU, 64 × 64 positions, 512 features, forward and "
    "backward (`benchmarks/additive.py`): written plainly it costs 70 times a dot product, with this package's "
    "compiled loops 2.4 times.",
    analogy="A chef who combines ingredients: the query and the key go into one pot, and the taste of the mixture "
    "decides.",
    sources=(Source("Bahdanau, Cho and Bengio 2014", "https://arxiv.org/abs/1409.0473"),),
    setup="""\
import torch
from regard.layers import AdditiveAttention

keys = torch.tensor([0, 10, 20, 30, 40.0]).view(1, 5, 1)  # temperatures, one number each
queries = torch.tensor([0, 18, 25, 40.0]).view(1, 4, 1)
hidden = {"query.weight": [[-0.1], [-0.1]], "key.weight": [[0.1], [0.1]], "query.bias": [1, -1], "v": [4, -4]}
""",
    code="""\
layer = AdditiveAttention(query=1, key=1, hidden=2, bias=True)
layer.load_state_dict({name: torch.tensor(values).float() for name, values in hidden.items()})
weights = layer.weights(queries, keys)[0]
""",
    seen="Two hidden units are enough to ask which keys are *near* the query: one rises just below it, the other just "
    "above. A product of the two numbers could only ask for larger or smaller.",
    picture=_picture,
    check=_check,
)
