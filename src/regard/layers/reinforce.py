"""Learning from a reward where attention draws its position: REINFORCE with a moving baseline and an entropy bonus.

    found = layer.attended(query, memory)               # HardAttention(learn="reinforce"), in training
    reward = ...found.context...                        # (B,): how good was what came of it
    loss = reinforce(reward, log_prob(found)[:, 0].sum(1), entropy(found)[:, 0].sum(1))

Whatever the reward's own parameters learn (Xu's decoder: −log p(y)) is a loss beside this one.
"""

__all__ = ["Reinforce"]

import torch
from jaxtyping import Float
from torch import Tensor, nn

from regard.equation.reference import Attended


def log_prob(found: Attended) -> Float[Tensor, "batch heads queries"]:
    """log p(s_t) of the position that each query drew; 0 and without gradient where it had none to draw."""
    drawn = found.weights != 0
    return torch.where(drawn, found.log_prob, 0).sum(-1)


def entropy(found: Attended) -> Float[Tensor, "batch heads queries"]:
    """−Σ_s p(s) log p(s) in nats, of what each query draws from; 0 where it has nothing to draw."""
    logs = found.log_prob
    possible = logs > -torch.inf
    logs = torch.where(possible, logs, 0)
    return -(torch.where(possible, logs.exp(), 0) * logs).sum(-1)


class Reinforce(nn.Module):
    """loss = −mean((R − b) log p) − λ mean(H): its gradient's mean is that of −E[R] − λ H; Xu 2015 (arXiv 1502.03044).

    b, the baseline, is the moving average of rewards seen before, b ← decay · b + (1 − decay) · mean(R), updated after
    each call in training; it changes how much the gradient varies and not its mean. It is part of the state_dict.

    Args:
        decay: Of the moving average; Xu's is 0.9.
        entropy: λ, how much a spread of draws is worth, in units of reward per nat.
    """

    baseline: Tensor

    def __init__(self, decay: float = 0.9, entropy: float = 0.01):
        super().__init__()
        if not 0 <= decay < 1:
            raise ValueError(f"decay: expected 0 or more and below 1, got {decay}")
        self.decay, self.entropy = decay, entropy
        self.register_buffer("baseline", torch.zeros(()))

    def forward(
        self, reward: Float[Tensor, "*draws"], log_prob: Float[Tensor, "*draws"], entropy: Float[Tensor, "*draws"]
    ) -> Float[Tensor, ""]:
        """The loss. For a sequence rewarded as a whole, all three are (B,), sums over its steps.

        `reward` is taken as a number: no gradient flows into it. Raises ValueError where the shapes differ.
        """
        if not reward.shape == log_prob.shape == entropy.shape:
            raise ValueError(
                f"reward, log_prob, entropy: expected one shape, got {tuple(reward.shape)}, {tuple(log_prob.shape)} "
                f"and {tuple(entropy.shape)}"
            )
        reward = reward.detach()
        loss = -((reward - self.baseline) * log_prob).mean() - self.entropy * entropy.mean()
        if self.training and reward.numel():
            mean = reward.mean().to(self.baseline.dtype)
            self.baseline = self.decay * self.baseline + (1 - self.decay) * mean
        return loss
