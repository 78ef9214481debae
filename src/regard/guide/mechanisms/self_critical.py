"""Row 18: self-critical sequence training."""

from __future__ import annotations

from regard.guide.page import Page, Picture, Proof, Session, Source, array


def _picture(session: Session) -> Picture:
    import torch

    line = compile(_CODE, "the page self-critical, again", "exec")
    seen, when = [], (0, 25, 100, 400)
    for step in range(max(when) + 1):
        exec(line, session)
        if step in when:
            seen.append(session["log_p"].detach().exp())
        session["learn"](session["loss"])
    return Picture(
        array(torch.stack(seen)),
        [f"word {i + 1}, reward {r:g}" for i, r in enumerate(session["reward"].tolist())],
        [f"step {step}" for step in when],
        "Columns: the attention's weights after so many steps of training. Rows: what may be drawn. Each column sums "
        "to 1.",
    )


def _check() -> list[Proof]:
    import itertools

    import torch

    from regard.guide.oracle import largest
    from regard.training.self_critical import leave_one_out, policy_loss

    scores, reward = torch.randn(4).double().requires_grad_(), torch.randn(4).double()
    log_p = torch.log_softmax(scores, 0)
    exact = -torch.autograd.grad(log_p.exp() @ reward, scores, retain_graph=True)[0]
    means = []
    for baseline in ("greedy", "leave-one-out"):
        total = scores.new_zeros(())
        for drawn in itertools.product(range(4), repeat=3):  # every possible set of three samples
            chosen = list(drawn)
            R = reward[chosen][None]
            b = leave_one_out(R) if baseline == "leave-one-out" else reward[log_p.argmax()]
            total = total + log_p[chosen].sum().exp().detach() * policy_loss(log_p[chosen][None], R - b)
        means.append(torch.autograd.grad(total, scores, retain_graph=True)[0])
    error = largest(means, [exact, exact])
    return [Proof(error, "the expected reward's gradient, by enumeration; greedy and leave-one-out baselines")]


_CODE = """\
log_p = layer.attended(query, states).log_prob[0, 0, 0]
drawn = torch.multinomial(log_p.exp(), 10, replacement=True)
loss = policy_loss(log_p[drawn][None], reward[drawn][None] - reward[log_p.argmax()])  # R − b, b the greedy reward
"""

PAGE = Page(
    number=18,
    name="self-critical",
    title="Self-critical sequence training",
    line="training by reward: better than one's own best guess is made likelier",
    definition="An objective, not a layer: outputs are drawn from the model and made likelier by as much as their "
    "reward exceeds that of the model's own greedy output.",
    latex=r"\nabla L = -\,\mathbb{E}_{y \sim p}\big[(R(y) - b)\,\nabla \log p(y)\big],"
    r"\qquad b = R(\hat y_{\text{greedy}})",
    equation="L = −(R(y) − b) log p(y), y drawn from p, b = R(greedy output)",
    explanation="Cross-entropy teaches a model to guess the next word of a given text; what is wanted is an output "
    "that scores well as a whole (BLEU, ROUGE, CIDEr, word error rate), and such a score has no gradient. So the model "
    "tries, and what did better than its standard is reinforced. The standard b changes nothing in the gradient's "
    "mean, only its noise; the mean of the other samples (leave-one-out) is offered too. The gradient reaches "
    "everything that made the probabilities, attention included. `regard.training.self_critical` does this for every "
    "sequence model of the package; `pip install 'regard[train]'` brings what it needs.",
    analogy="A coach who replays the game and rewards what scored more than the team's usual play.",
    sources=(
        Source("Rennie et al. 2017, Self-critical Sequence Training", "https://arxiv.org/abs/1612.00563"),
        Source("Leave-one-out: Kool et al. 2019", "https://openreview.net/forum?id=r1lgTGL5DE"),
    ),
    setup="""\
import torch
from regard.layers import SoftAttention
from regard.training.self_critical import policy_loss

layer, states = SoftAttention(), torch.eye(4)[None]
query = torch.tensor([[[1.0, 0.5, 0.0, 0.0]]], requires_grad=True)  # at first it likes word 1
reward = torch.tensor([0.2, 0.5, 1.0, 0.0])  # but word 3 is the best
optimiser = torch.optim.SGD([query], lr=0.2)


def learn(loss):
    optimiser.zero_grad()
    loss.backward()
    optimiser.step()
""",
    code=_CODE,
    seen="The three lines again and again, with a step of gradient descent (`learn(loss)`) after each. The attention "
    "starts on the wrong word and ends on the one with the highest reward, which nobody had pointed out to it.",
    picture=_picture,
    check=_check,
)
