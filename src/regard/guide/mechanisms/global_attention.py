"""Row 2: global attention."""

from __future__ import annotations

from regard.guide.page import Page, Picture, Proof, Session, Source, array


def _picture(session: Session) -> Picture:
    return Picture(
        array(session["weights"]),
        session["english"],
        session["french"],
        "Columns: the decoder's states h_t. Rows: the source's states h_s. Each column sums to 1.",
    )


def _check() -> list[Proof]:
    import torch

    from regard.guide.oracle import KERAS_BAR, difference, keras
    from regard.layers import GlobalAttention

    layer = GlobalAttention(4, 6).double()
    inputs = [torch.randn(2, 3, 4), torch.randn(2, 7, 6)]
    plain = difference(layer, lambda q, h: torch.softmax(q @ layer.key(h).mT, -1) @ h, inputs, layer.parameters())
    proofs = [Proof(plain, "softmax of q · W h_s by torch")]
    library = keras()
    if library is not None:
        oracle = library.layers.Attention(dtype="float64")
        error = difference(layer, lambda q, h: oracle([q, h, layer.key(h)]), inputs, layer.parameters())
        proofs.append(Proof(error, "keras.layers.Attention, given W h_s", KERAS_BAR))
    return proofs


PAGE = Page(
    number=2,
    name="global",
    title="Global attention",
    line="the decoder weighs every position of the source, through a learned matrix",
    definition="At each step the decoder's state is compared, through a matrix W, with every state of the source; "
    "nothing is left out.",
    latex=r"\alpha_t(s) = \operatorname{softmax}_s\!\left(h_t^\top W h_s\right),\qquad c_t = \sum_s \alpha_t(s)\, h_s",
    equation="α_t(s) = softmax_s(h_tᵀ W h_s)\nc_t = Σ_s α_t(s) h_s",
    explanation="W is a dictionary between two spaces: it says which feature of the source answers which feature of "
    "the decoder, and the two may have different sizes. W h_s is computed once a source. This is Luong's score "
    "`general`; with W the identity it is his `dot` (row 9), and his `concat` is the additive score (row 8). Local "
    "attention (row 3) looks at a window only. Luong trained it by plain gradient descent; with Adam give it a "
    "`scale` of 1/√query, or its steps throw the weights from one end of the source to the other.",
    analogy="A teacher who listens to every student in the room before deciding what to answer.",
    sources=(Source("Luong, Pham and Manning 2015", "https://arxiv.org/abs/1508.04025"),),
    setup="""\
import torch
from regard.layers import GlobalAttention

english, french = "the black cat".split(), "le chat noir".split()
states, queries = torch.eye(3)[None], torch.eye(3)[None]  # each word a feature of its own, in its own language
dictionary = torch.tensor([[4, 0, 0], [0, 0, 4], [0, 4, 0.0]])  # rows French features, columns English ones
""",
    code="""\
layer = GlobalAttention(query=3, key=3)
layer.key.weight.data = dictionary
weights = layer.weights(queries, states)[0]
""",
    seen="*chat* finds *cat* and *noir* finds *black*, though the two languages share no feature and order their words "
    "differently: W knows which belongs to which.",
    picture=_picture,
    check=_check,
)
