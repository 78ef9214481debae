"""Row 12: hard attention."""

from __future__ import annotations

from regard.guide.page import Page, Picture, Proof, Session, Source, array


def _picture(session: Session) -> Picture:
    import torch

    count = len(session["soft"])
    columns = [f"{kind} {i + 1}" for i in range(count) for kind in ("soft", "hard")]
    both = torch.stack([session["soft"], session["hard"]], 1).flatten(0, 1)
    return Picture(
        array(both),
        [f"position {i + 1}" for i in range(5)],
        columns,
        "Columns: four queries, each with soft and with hard weights. Rows: positions. Each column sums to 1.",
    )


def _check() -> list[Proof]:
    import torch
    from torch.nn.functional import one_hot

    from regard.guide.oracle import largest
    from regard.layers import HardAttention
    from regard.layers.reinforce import Reinforce, entropy

    query, states = torch.randn(2, 3, 4).double(), torch.randn(2, 7, 4).double()
    ours = HardAttention().eval().weights(query, states)
    worst = largest([ours], [one_hot((query @ states.mT).argmax(-1), 7).double()])
    # REINFORCE: its loss for every possible draw, weighted by the draw's probability, against −∇(E[R] + λH).
    one, reward, loss = torch.randn(1, 1, 4).double().requires_grad_(), torch.randn(7).double(), Reinforce(entropy=0.1)
    loss.double().baseline += 0.3
    loss.eval()
    found = HardAttention(learn="reinforce").train().attended(one, states[:1])
    log_p, spread = found.log_prob[0, 0, 0], entropy(found)[0, 0, 0]
    draws = [log_p[s].exp().detach() * loss(reward[s], log_p[s], spread) for s in range(7)]
    mean = torch.autograd.grad(torch.stack(draws).sum(), one, retain_graph=True)[0]
    p = torch.softmax((one @ states[:1].mT)[0, 0], -1)
    exact = torch.autograd.grad(-(p @ reward) - 0.1 * -(p * p.log()).sum(), one)[0]
    return [
        Proof(max(worst, largest([mean], [exact])), "argmax by torch; REINFORCE's mean by enumeration of all draws")
    ]


PAGE = Page(
    number=12,
    name="hard",
    title="Hard attention",
    line="all of a query's attention on one position",
    definition="The position with the highest score gets weight 1, all others 0; of equal ones the first.",
    latex=r"\alpha_t(s) = \begin{cases} 1 & s = \arg\max_{s'} h_t^\top h_{s'} \\ 0 & \text{otherwise} \end{cases}",
    equation="α_t(s) = 1 at s = argmax_s(h_tᵀ h_s), else 0",
    explanation="One position is read instead of a mixture of all. The choice has no gradient, so training needs a "
    "detour. Straight-through pretends that softmax had been used. Gumbel-softmax draws a position with noise that a "
    "gradient can pass. REINFORCE draws positions and makes those likelier that earned more than a moving average, "
    "with a bonus for staying undecided (entropy), so that it goes on trying.",
    analogy="A spotlight: one performer is lit, and the stage around is dark.",
    sources=(
        Source("Xu et al. 2015, Show, Attend and Tell", "https://arxiv.org/abs/1502.03044"),
        Source("Bengio et al. 2013, straight-through", "https://arxiv.org/abs/1308.3432"),
        Source("Jang et al. 2017, Gumbel-softmax", "https://arxiv.org/abs/1611.01144"),
    ),
    setup="""\
import torch
from regard.layers import HardAttention, SoftAttention

queries, states = torch.randn(1, 4, 3), torch.randn(1, 5, 3)
""",
    code="""\
layer = HardAttention().eval()
hard = layer.weights(queries, states)[0]
soft = SoftAttention().weights(queries, states)[0]
""",
    seen="The same scores twice: soft attention spreads over the positions, hard attention puts 1 where the soft "
    "weight is highest, however narrowly.",
    picture=_picture,
    check=_check,
)
