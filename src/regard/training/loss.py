"""Cross-entropy of a large vocabulary, with its gradient made while the scores are still in the cache.

The scores of a batch are its largest tensor by far (2,000 tokens × 10,000 words), and the plain way reads and writes it
a dozen times. Here a few rows at a time become probabilities and then, in place, the gradient p − target; two products
turn that into the gradients of features and words. It is `F.linear` and `F.cross_entropy`, which the tests hold it to.

Products lay their factors out as oneDNN multiplies bfloat16 at its best: the large one as it stands, its rows side by
side, the small one turned. As `F.linear` has it, the scores and the words' gradient take up to twice as long.

Scores in bfloat16 on a CPU go through compiled loops (`loss_loops.py`) in half the time, where numba is installed.
"""

from types import ModuleType
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor

from regard.data.tokenizer import PAD
from regard.machine.loops import tried
from regard.training.turned import both_ways, turned_back

ROWS = 64  # scored at a time: 64 × 10,000 float32 are 2.5 MB
BLOCKS = 8  # of rows, each with its own sum of the bias' gradient
FEW = 2**18  # scores that take less than a millisecond, and no import


def word_loss(
    features: Float[Tensor, "tokens width"],
    words: Float[Tensor, "vocabulary width"],
    bias: Float[Tensor, " vocabulary"],
    targets: Int[Tensor, " tokens"],
    label_smoothing: float = 0.0,
) -> Float[Tensor, ""]:
    """Σ_t −Σ_w q_t(w) log softmax(W f_t + b)_w in nats, over the targets that are not padding.

    q is 1 at the target, or with label smoothing ε: 1 − ε there and ε/V everywhere (Szegedy 2016).
    """
    if not torch.is_grad_enabled():
        logits = F.linear(features, words, bias)
        logits = logits.to(torch.promote_types(logits.dtype, torch.float32))
        return F.cross_entropy(logits, targets, ignore_index=PAD, reduction="sum", label_smoothing=label_smoothing)
    kind = features.device.type
    dtype = torch.get_autocast_dtype(kind) if torch.is_autocast_enabled(kind) else features.dtype
    return _WordLoss.apply(features.to(dtype), words, bias, targets, label_smoothing)


class _WordLoss(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, features: Tensor, words: Tensor, bias: Tensor, targets: Tensor, smoothing: float) -> Tensor:
        features = F.pad(features, (0, 0, 0, -len(features) % ROWS))  # products of odd sizes are copied first
        wanted = F.pad(targets, (0, -len(targets) % ROWS), value=PAD)
        ctx.dtype = words.dtype
        words, words_turned = both_ways(words, features.dtype)
        scores = features @ words_turned  # becomes its own gradient, rows by rows
        half = scores.dtype == torch.bfloat16 and scores.device.type == "cpu" and scores.numel() >= FEW
        total, d_bias = (_by_loops if half and _loops() else _by_rows)(scores, bias, wanted, smoothing)
        d_words_turned = features.mT.contiguous() @ scores
        ctx.save_for_backward((scores @ words)[: len(targets)], d_words_turned, d_bias.to(bias.dtype))
        return total

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple:
        d_features, d_words_turned, d_bias = ctx.saved_tensors
        d_words = turned_back(d_words_turned, grad, ctx.dtype)
        return d_features * grad.to(d_features.dtype), d_words, d_bias * grad.to(d_bias.dtype), None, None


def _by_rows(scores: Tensor, bias: Tensor, targets: Tensor, smoothing: float) -> tuple[Tensor, Tensor]:
    """The summed loss and the bias' gradient; the scores become their gradient."""
    exact = torch.promote_types(scores.dtype, torch.float32)
    total = torch.zeros((), dtype=exact, device=scores.device)
    d_bias = torch.zeros_like(bias, dtype=exact)
    for rows, targets_of_rows in zip(scores.split(ROWS), targets.split(ROWS), strict=True):
        loss, gradient = _loss_and_gradient(rows.to(exact, copy=True).add_(bias), targets_of_rows, smoothing)
        total += loss
        d_bias += gradient.sum(0)
        rows.copy_(gradient)
    return total, d_bias


def _by_loops(scores: Tensor, bias: Tensor, targets: Tensor, smoothing: float) -> tuple[Tensor, Tensor]:
    """`_by_rows` of bfloat16 scores, compiled; whatever the number of threads, the sums are the same."""
    loops = _loops()
    assert loops is not None
    loops.use_threads()
    d_bias = torch.zeros(BLOCKS, len(bias))
    halves = scores.detach().view(torch.uint16).numpy()
    found = loops.losses(halves, bias.detach().float().numpy(), targets.numpy(), PAD, smoothing, d_bias.numpy())
    return torch.from_numpy(found).sum(), d_bias.sum(0)


@tried
def _loops() -> ModuleType:
    """The compiled loops."""
    from regard.training import loss_loops

    nothing = torch.zeros(1, 1).numpy()
    loss_loops.losses(nothing.astype("uint16"), nothing[0], nothing[0].astype("int64"), PAD, 0.0, nothing)
    return loss_loops


def _loss_and_gradient(e: Tensor, targets: Tensor, smoothing: float) -> tuple[Tensor, Tensor]:
    """The rows' loss, and its gradient in the place of their scores `e`."""
    counted = (targets != PAD).to(e.dtype)
    e -= e.amax(1, keepdim=True)
    at_target = e.gather(1, targets[:, None])[:, 0]
    mean = e.mean(1) if smoothing else 0.0
    total = e.exp_().sum(1)
    loss = total.log() - (1 - smoothing) * at_target - smoothing * mean
    e *= (counted / total)[:, None]  # softmax, 0 in rows of padding
    if smoothing:
        e -= (smoothing / e.shape[1]) * counted[:, None]
    e.scatter_add_(1, targets[:, None], -(1 - smoothing) * counted[:, None])
    return (loss * counted).sum(), e
