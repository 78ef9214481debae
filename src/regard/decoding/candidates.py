"""The best continuations among all words of all hypotheses, without sorting the vocabulary or writing it twice.

Logits in bfloat16 on a CPU are read by compiled loops (`candidates_loops.py`) where they lie, if numba is installed;
so are the best of many in float32. PyTorch does the rest. What comes of a sentence never hangs on how many there are.
"""

from types import ModuleType

import torch
from jaxtyping import Float, Int
from torch import Tensor

from regard.equation.precision import full
from regard.machine.loops import numbers, tried

FEW = 2**18  # logits in float32, below which PyTorch takes less than a millisecond, and no import
BLOCK = 100  # words; a vocabulary of 10,000 is then 100 blocks, and both halves of the work are small
AT_ONCE = 200_000  # numbers: what is written of so many stays in the processor's cache
LEAST = 1e-20  # of a sum of exponentials: what float32 drops beside it is nothing


def normaliser(logits: Float[Tensor, "batch beam vocabulary"]) -> Float[Tensor, "batch beam"]:
    """log Σ_v exp logit_v, in at least float32."""
    return Continuations(logits).normalisers


class Continuations:
    """What may follow each hypothesis of each sentence.

    logits: (batch, beam, vocabulary). normalisers: (batch, beam), their log Σ_v exp logit_v in at least float32.
    Afterwards logits may be lowered, in place; the normalisers stay.
    """

    def __init__(self, logits: Float[Tensor, "batch beam vocabulary"]):
        self.logits = logits
        self._highest: Tensor | None = None  # of every strip of words, where loops have read the logits
        loops = _loops_for(logits) if logits.dtype == torch.bfloat16 else None  # float32's would round otherwise
        if loops is None:
            self.normalisers = _normaliser(full(logits))
        else:
            self.normalisers = logits.new_empty(logits.shape[:2], dtype=torch.float32)
            self._highest = _strips(logits, loops)
            loops.normalisers(numbers(logits), numbers(self.normalisers), numbers(self._highest))

    def best(
        self, scores: Float[Tensor, "batch beam"], count: int
    ) -> tuple[Float[Tensor, "batch found"], Int[Tensor, "batch found"], Int[Tensor, "batch found"]]:
        """The `count` best of score + logit − normaliser in each sentence, best first: totals, hypotheses and words.

        Fewer are found only where there are fewer words. Totals are float64; what is −∞ may be any word.
        """
        logits, vocabulary = self.logits, self.logits.shape[-1]
        offset, count = scores.double() - self.normalisers.double(), min(count, logits[0].numel())
        loops = _loops_for(logits)
        if loops is None:
            totals, places = _best(offset, full(logits), count)
        else:
            if self._highest is None:
                self._highest = _strips(logits, loops)
                loops.maxima(numbers(logits), offset.numel(), numbers(self._highest))
            totals = offset.new_empty(len(offset), count)
            places = torch.empty_like(totals, dtype=torch.long)
            given = (offset.contiguous().numpy(), numbers(logits), numbers(self._highest))
            loops.best(*given, totals.numpy(), places.numpy())
        return totals, places // vocabulary, places % vocabulary


def _strips(logits: Tensor, loops: ModuleType) -> Tensor:
    strips = -(-logits.shape[-1] // loops.STRIP)
    return logits.new_empty(*logits.shape[:2], strips, dtype=torch.float32)


def _normaliser(logits: Tensor) -> Tensor:
    """Some sentences at a time.

    Logits of a trained model are far from where exp overflows or vanishes, so they are added up as they are, without
    the two passes that find and take off the largest; where the sum says otherwise, with them.
    """
    sentences = max(1, AT_ONCE // max(1, logits[0].numel()))
    total = torch.cat([part.exp().sum(-1) for part in logits.split(sentences)])
    tame = (total > LEAST) & (total < 1 / LEAST)
    return total.log() if tame.all() else torch.where(tame, total.log(), logits.logsumexp(-1))


def _best(offset: Tensor, logits: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """The best of offset + logit in each sentence, and hypothesis · vocabulary + word of each.

    They lie in the `count` blocks of words whose maxima are the best, so nothing else is looked at twice.
    """
    vocabulary = logits.shape[-1]
    whole = vocabulary // BLOCK
    if whole * logits.shape[1] <= count:  # too few blocks to leave any out
        totals, places = (offset[..., None] + logits).flatten(1).topk(count)
        return totals, places
    maxima = logits[..., : whole * BLOCK].unflatten(-1, (BLOCK, whole)).amax(-2)  # a block is every whole-th word
    rest = logits[..., whole * BLOCK :]
    if rest.shape[-1]:
        maxima = torch.cat([maxima, rest], -1)  # the words over are blocks of one
    blocks = maxima.shape[-1]
    _, places = (offset[..., None] + maxima).flatten(1).topk(count)
    beam, block = places // blocks, places % blocks
    step = torch.arange(BLOCK, device=logits.device) * whole
    single = (block >= whole)[..., None]
    words = torch.where(single, block[..., None] + whole * (BLOCK - 1), block[..., None] + step)
    at = (beam[..., None] * vocabulary + words).flatten(1)
    totals = logits.flatten(1).gather(1, at) + offset.gather(1, beam).repeat_interleave(BLOCK, 1)
    doubled = (single & (step > 0)).flatten(1)  # a block of one was written out BLOCK times
    totals, chosen = totals.masked_fill(doubled, -torch.inf).topk(count)
    return totals, at.gather(1, chosen)


def _loops_for(logits: Tensor) -> ModuleType | None:
    """The compiled loops, told how many threads PyTorch computes with, if they can read these."""
    many = logits.dtype == torch.bfloat16 or (logits.dtype == torch.float32 and logits.numel() >= FEW)
    if not many or not logits.numel() or logits.device.type != "cpu":
        return None
    loops = _loops() if logits.is_contiguous() and not torch.compiler.is_compiling() else None
    if loops is not None:
        loops.use_threads()
    return loops


@tried
def _loops() -> ModuleType:
    """The compiled loops."""
    from regard.decoding import candidates_loops

    found, highest = torch.zeros(2, 1, dtype=torch.float32)
    candidates_loops.normalisers(numbers(found.bfloat16()), numbers(found), numbers(highest))
    return candidates_loops
