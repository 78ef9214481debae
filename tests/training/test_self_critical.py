"""Self-critical training: its gradient is the expected reward's, exactly, and what plays no part plays none."""

import copy

import pytest
import torch
from small import every_output, model

from regard.config import ModelConfig
from regard.data.batches import pad
from regard.data.tokenizer import BOS, EOS, PAD
from regard.decoding.greedy import greedy
from regard.decoding.options import Decoding
from regard.decoding.protocol import Hypothesis
from regard.errors import UserError
from regard.models.seq2seq import Seq2Seq
from regard.training.self_critical import (
    SelfCritic,
    evaluating,
    leave_one_out,
    policy_loss,
    sequence_log_probs,
)

WORDS, STEPS = 6, 2  # UNK and two words, an end, and what is never drawn: 13 outputs
SOURCE = [[4, 5, 3], [5, 5]]
LENGTHS = torch.tensor([3, 2])


def text(tokens):
    return " ".join(map(str, tokens))


def graded(hypotheses, references):
    """A reward that tells every output from every other, and hangs on the reference."""
    return [
        float(sum((i + 2) * int(w) for i, w in enumerate(h.split())) % 7) / 3 + 0.5 * len(h.split()) + float(r[0])
        for h, r in zip(hypotheses, references, strict=True)
    ]


REFERENCES = [["0"], ["1"]]


def critic(**options):
    return SelfCritic(graded, text, max_length=STEPS, **options)


def every():
    return [Hypothesis(tokens, 0.0, 0.0, complete, None) for tokens, complete in every_output(WORDS, STEPS)]


def gradients(value, net):
    found = torch.autograd.grad(value, list(net.parameters()), allow_unused=True)
    return [torch.zeros_like(p) if g is None else g for g, p in zip(found, net.parameters(), strict=True)]


def all_log_probs(net, row):
    """log p of every output there is, of one source sentence."""
    outputs = every()
    source = torch.tensor([SOURCE[row]]).expand(len(outputs), -1)
    return sequence_log_probs(net, source, LENGTHS[[row]].expand(len(outputs)), outputs)


def rewards_of(row):
    outputs = every()
    return torch.tensor(
        graded([text(y.tokens) for y in outputs], [REFERENCES[row]] * len(outputs)), dtype=torch.float64
    )


def step_by_step(net, row, output):
    """log p of one output by the step protocol, with gradient, word by word: the oracle for the one pass."""
    source = torch.tensor([SOURCE[row]])
    encoded = net.encode(source, LENGTHS[[row]])
    state, last, total = net.start(encoded, 1), BOS, 0.0
    for word in [*output.tokens, *([EOS] if output.complete else [])]:
        answer = net.step(torch.tensor([[last]]), state, encoded, weights=False)
        logits, state, last = answer.logits[0, 0], answer.state, word
        drawn = [i for i in range(WORDS) if i not in (PAD, BOS)]
        total = total + logits[word] - logits[drawn].logsumexp(0)
    return total


@pytest.mark.parametrize("settings", [{}, {"attention": "general"}, {"attention": "none"}, {"attention": "local-p"}])
def test_every_outputs_probability_is_the_steps_one_and_all_sum_to_one(settings):
    net = model(words=WORDS, sharp=2.0, **settings)
    for row in range(2):
        log_p = all_log_probs(net, row)
        torch.testing.assert_close(log_p.exp().sum(), torch.tensor(1.0, dtype=torch.float64))
        for value, output in zip(log_p, every(), strict=True):
            expected = step_by_step(net, row, output)
            torch.testing.assert_close(value, expected)
        for ours, theirs in zip(gradients(value, net), gradients(expected, net), strict=True):
            torch.testing.assert_close(ours, theirs)


def expected_reward(net):
    """E[R(y)] summed over the sentences, by enumeration."""
    return sum((all_log_probs(net, row).exp() * rewards_of(row)).sum() for row in range(2))


@pytest.mark.parametrize("standard", [0.0, 5.0])
def test_weighted_by_their_probability_all_outputs_give_the_exact_gradient(standard):
    """Every output as a sample, as often as it is probable: the loss has the gradient of −E[R], for any baseline."""
    net = model(words=WORDS, sharp=2.0)
    loss = 0.0
    for row in range(2):
        log_p, rewards = all_log_probs(net, row), rewards_of(row)
        often = len(log_p) * log_p.detach().exp()  # policy_loss takes the mean over samples
        loss = loss + policy_loss(log_p[None], (often * (rewards - standard))[None])
    for ours, exact in zip(gradients(loss, net), gradients(-expected_reward(net), net), strict=True):
        torch.testing.assert_close(ours, exact, rtol=1e-10, atol=1e-12)


def test_leave_one_out_is_exact_over_every_pair_of_samples():
    """The expectation over all pairs (y_1, y_2) of two samples' loss: its gradient is that of −E[R]."""
    net = model(words=WORDS, sharp=2.0)
    loss = 0.0
    for row in range(2):
        log_p, rewards = all_log_probs(net, row), rewards_of(row)
        n = len(log_p)
        first, second = torch.arange(n).repeat_interleave(n), torch.arange(n).repeat(n)
        pairs = torch.stack([rewards[first], rewards[second]], 1)
        chance = (log_p[first] + log_p[second]).detach().exp()
        advantages = (pairs - leave_one_out(pairs)) * chance[:, None]
        loss = loss + policy_loss(torch.stack([log_p[first], log_p[second]], 1), advantages)
    for ours, exact in zip(gradients(loss, net), gradients(-expected_reward(net), net), strict=True):
        torch.testing.assert_close(ours, exact, rtol=1e-10, atol=1e-12)


def estimates(net, critic, draws):
    source = pad(SOURCE)
    for seed in range(draws):
        yield critic.loss(net, source, LENGTHS, REFERENCES, seed)


@pytest.mark.parametrize("baseline", ["greedy", "leave-one-out"])
def test_the_mean_of_many_estimates_is_the_gradient_of_the_expected_reward(baseline):
    """Within five standard errors of the mean, along the exact gradient and along every bias."""
    net = model(words=WORDS, sharp=2.0)
    exact = torch.cat([g.flatten() for g in gradients(-expected_reward(net), net)])
    ask = critic(baseline=baseline, samples=100)
    found = torch.stack([torch.cat([g.flatten() for g in gradients(e.loss, net)]) for e in estimates(net, ask, 40)])
    error = found.std(0) / 40**0.5
    assert ((found.mean(0) - exact).abs() <= 5 * error + 1e-12).all()
    along = found @ exact / exact.norm()
    assert abs(along.mean() - exact.norm()) <= 4 * along.std() / 40**0.5
    assert along.std() / 40**0.5 < 0.05 * exact.norm()  # it would see an error of a fifth


def test_a_baseline_takes_noise_away():
    net = model(words=WORDS, sharp=2.0)
    spread = {}
    for name in ("none", "greedy", "leave-one-out"):
        ask = critic(baseline="leave-one-out" if name == "none" else name, samples=5)
        found = []
        for estimate in estimates(net, ask, 25):
            loss = estimate.loss
            if name == "none":  # the same samples, judged by their rewards alone
                rows, outputs = torch.arange(2).repeat_interleave(5), [y for ys in estimate.samples for y in ys]
                log_p = sequence_log_probs(net, pad(SOURCE)[rows], LENGTHS[rows], outputs)
                loss = policy_loss(log_p.view(2, 5), estimate.rewards)
            found.append(torch.cat([g.flatten() for g in gradients(loss, net)]))
        spread[name] = float(torch.stack(found).var(0).sum())
    assert spread["leave-one-out"] < spread["none"]
    assert spread["greedy"] < spread["none"]


# ---- what users of other software were bitten by ----


def test_the_end_mark_is_scored():
    """Of two outputs with the same words, the one that ends costs log p(end) more, and teaches the end's bias."""
    net = model(words=WORDS)
    ended, cut = (Hypothesis([4], 0.0, 0.0, complete, None) for complete in (True, False))
    source, lengths = torch.tensor([SOURCE[0]] * 2), LENGTHS[[0, 0]]
    log_p = sequence_log_probs(net, source, lengths, [ended, cut])
    torch.testing.assert_close(log_p[0], step_by_step(net, 0, ended))
    assert log_p[0] < log_p[1]
    (grad,) = torch.autograd.grad(log_p[0] - log_p[1], net.output_bias)
    assert grad[EOS] > 0


def test_what_follows_the_first_end_plays_no_part():
    """Whatever an output's row holds after its end, and however wide its batch: no bit and no gradient changes."""
    net = model(words=WORDS)
    short, long = Hypothesis([4], 0.0, 0.0, True, None), Hypothesis([5, 3, 4, 5, 5], 0.0, 0.0, True, None)
    source, lengths = torch.tensor([SOURCE[0]] * 2), LENGTHS[[0, 0]]
    alone = sequence_log_probs(net, source[:1], lengths[:1], [short])
    beside = sequence_log_probs(net, source, lengths, [short, long])
    torch.testing.assert_close(beside[:1], alone, rtol=1e-12, atol=1e-12)
    for a, b in zip(gradients(beside[0], net), gradients(alone[0], net), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-12, atol=1e-12)

    found = []
    for filler in (0.0, 7.0, torch.nan, torch.inf):
        log_p = sequence_log_probs(SpoiledAfter(net, filler, [2, 6]), source, lengths, [short, long])
        found.append((log_p.detach(), *gradients(log_p.sum(), net)))
    assert found[0][0].isfinite().all()
    for other in found[1:]:
        assert all(torch.equal(a, b) for a, b in zip(found[0], other, strict=True))


class SpoiledAfter:
    """A network whose readouts are something else behind each output's last word."""

    def __init__(self, net, filler, steps):
        self.net, self.filler, self.steps, self.logits = net, filler, torch.tensor(steps), net.logits

    def __call__(self, *arguments):
        readout = self.net(*arguments)
        there = torch.arange(readout.shape[1]) < self.steps[:, None]
        assert not there.all()
        return torch.where(there[..., None], readout, self.filler)


def test_baseline_and_samples_are_made_in_evaluation_mode_and_without_gradient():
    net = model(words=WORDS, dropout=0.5).train()
    net.decoder.dropout.eval()  # a part that its owner has frozen stays so
    modes = [module.training for module in net.modules()]
    quiet = copy.deepcopy(net).eval()
    ask = critic(baseline="greedy", samples=3)
    found = ask.loss(net, pad(SOURCE), LENGTHS, REFERENCES, seed=1)
    plain = ask.loss(quiet, pad(SOURCE), LENGTHS, REFERENCES, seed=1)
    assert [module.training for module in net.modules()] == modes
    assert found.samples == plain.samples
    assert torch.equal(found.baselines, plain.baselines)
    best = greedy(quiet, pad(SOURCE), LENGTHS, Decoding(max_length=STEPS))
    expected = graded([text(h.tokens) for h in best], REFERENCES)
    assert found.baselines.tolist() == [[value] * 3 for value in expected]
    assert not found.baselines.requires_grad
    assert not found.rewards.requires_grad
    assert found.loss.requires_grad
    with pytest.raises(ZeroDivisionError), evaluating(net):
        1 / 0  # noqa: B018
    assert [module.training for module in net.modules()] == modes


def test_rewards_are_centred():
    """A constant added to every reward changes no gradient; equal rewards teach nothing."""
    net = model(words=WORDS, sharp=1.0)
    for baseline in ("greedy", "leave-one-out"):
        plain, lifted, level = (
            SelfCritic(reward, text, baseline, 4, STEPS).loss(net, pad(SOURCE), LENGTHS, REFERENCES, 3)
            for reward in (graded, lambda h, r: [x + 100 for x in graded(h, r)], lambda h, r: [2.5] * len(h))
        )
        torch.testing.assert_close(lifted.loss, plain.loss, rtol=1e-9, atol=1e-9)
        assert plain.loss != 0
        assert level.loss == 0
    rewards = torch.tensor([[1.0, 2.0, 6.0]])
    torch.testing.assert_close(leave_one_out(rewards), torch.tensor([[4.0, 3.5, 1.5]]))


@pytest.mark.parametrize("attention", ["additive", "dot", "general", "local-p"])
def test_the_gradient_reaches_the_attention(attention):
    net = model(words=WORDS, sharp=1.5, attention=attention)
    critic(samples=6).loss(net, pad(SOURCE), LENGTHS, REFERENCES, seed=0).loss.backward()
    of_attention = dict(net.decoder.context.named_parameters())
    assert of_attention or attention == "dot"  # which has none of its own: its keys are the encoder's states
    for name, parameter in {**of_attention, **dict(net.encoder.named_parameters())}.items():
        assert parameter.grad is not None, name
        assert parameter.grad.abs().sum() > 0, name


def test_the_same_seed_draws_the_same_and_a_batch_is_its_rows():
    net = model(words=WORDS)
    ask = critic(samples=4)
    both = ask.loss(net, pad(SOURCE), LENGTHS, REFERENCES, seed=5)
    again = ask.loss(net, pad(SOURCE), LENGTHS, REFERENCES, seed=5)
    assert torch.equal(both.loss, again.loss)
    parts = [ask.loss(net, torch.tensor([SOURCE[i]]), LENGTHS[[i]], [REFERENCES[i]], seed=5) for i in range(2)]
    torch.testing.assert_close(sum(part.loss for part in parts), both.loss)
    other = ask.loss(net, pad(SOURCE), LENGTHS, REFERENCES, seed=6)
    assert other.samples != both.samples


def test_what_it_refuses():
    with pytest.raises(UserError, match="samples: the leave-one-out baseline needs 2 or more a sentence, got 1"):
        critic(samples=1)
    with pytest.raises(UserError, match="baseline: expected 'greedy' or 'leave-one-out', got 'mean'"):
        critic(baseline="mean")
    with pytest.raises(UserError, match="2 sentences, but references of 1"):
        critic().loss(model(words=WORDS), pad(SOURCE), LENGTHS, REFERENCES[:1], seed=0)


# ---- it does what it is for ----


def reverses(count, seed):
    """A small task: say the source backwards. Enough of a language to be learnt halfway in a second."""
    draw = torch.Generator().manual_seed(seed)
    lengths = torch.randint(2, 5, (count,), generator=draw).tolist()
    return [torch.randint(4, 9, (n,), generator=draw).tolist() for n in lengths]


def test_from_a_cross_entropy_start_the_expected_and_the_greedy_reward_rise():
    from regard.data.batches import make_batch
    from regard.evaluation.rewards import reward
    from regard.training.module import token_loss

    torch.manual_seed(0)
    net = Seq2Seq(ModelConfig(embedding=16, encoder_hidden=16, decoder_hidden=32, dropout=0.0), 9)
    sources = reverses(256, 1)
    batch = make_batch(sources, [[*s[::-1], EOS] for s in sources])
    adam = torch.optim.Adam(net.parameters(), lr=1e-2)
    for _ in range(20):
        adam.zero_grad()
        (token_loss(net, batch) / batch.tokens).backward()
        adam.step()

    ask = SelfCritic(reward("rouge-l"), text, samples=5)
    held_out = reverses(200, 2)
    asked = pad(held_out), torch.tensor([len(s) for s in held_out]), [[text(s[::-1])] for s in held_out]
    before = float(ask.standard(net, *asked).mean())
    sampled_before = float(ask.loss(net, *asked, seed=0).rewards.mean())
    adam = torch.optim.Adam(net.parameters(), lr=2e-3)
    for step in range(40):
        chosen = sources[32 * (step % 8) : 32 * (step % 8 + 1)]
        references = [[text(s[::-1])] for s in chosen]
        adam.zero_grad()
        found = ask.loss(net, pad(chosen), torch.tensor([len(s) for s in chosen]), references, seed=step)
        (found.loss / len(chosen)).backward()
        adam.step()
    after = float(ask.standard(net, *asked).mean())
    sampled_after = float(ask.loss(net, *asked, seed=0).rewards.mean())
    assert 0.3 < before < 0.9
    assert after > before + 0.02
    assert sampled_after > sampled_before + 0.05
