"""What one may ask of decoding: every option once, with its default, its formula and what is valid."""

from __future__ import annotations

import dataclasses
import math

from regard.errors import UserError


@dataclasses.dataclass(frozen=True)
class Decoding:
    """How translations are looked for, and which is the best.

    A finished output y of n words (subwords, its end included) is ranked by

        score(y) = log p(y | x) / n^length_penalty + coverage_penalty · Σ_s log min(max(Σ_t α_t(s), 10⁻⁶), 1)

    where α_t(s) is how much step t read of source subword s; log p is the model's own, whatever the other options are.
    The second term (Wu 2016) costs an output what it never read; it needs a model with attention.
    """

    beam: int = 5
    """Hypotheses kept at each step; 1 is greedy. Sampling keeps none beside its own."""
    length_penalty: float = 1.0
    """0 ranks by log p, which favours short outputs; 1 by its mean per word."""
    coverage_penalty: float = 0.0
    """Its weight; 0.2 is usual."""
    no_repeat: int = 0
    """No sequence of so many subwords comes twice in an output (what a prefix holds counts); 0 allows all."""
    max_length: int | None = None
    """Words (subwords, the end included) an output may have; None: twice the source's, and ten, and the prefix's."""
    sample: bool = False
    """Draw each word from p(word) at `temperature` in the place of searching for the best output."""
    temperature: float = 1.0
    """p(word) ∝ exp(logit / temperature): below 1 sharper, above 1 flatter."""
    top_k: int = 0
    """Draw among the so many most probable words; 0: among all."""
    top_p: float = 1.0
    """Draw among the fewest words that together, after `top_k`, have this probability (Holtzman 2020)."""
    seed: int = 0
    """Of the draws. A sentence's draws depend on it and on the sentence alone, not on the others beside it."""
    replace_unknown: bool = False
    """Put the source word most attended to in the place of each unknown word; needs a model with attention."""

    def __post_init__(self) -> None:
        for name, least in (("beam", 1), ("no_repeat", 0), ("top_k", 0), ("seed", 0)):
            self._check(name, _is_whole(getattr(self, name)) and getattr(self, name) >= least, f"{least} or more")
        for name in ("length_penalty", "coverage_penalty"):
            self._check(name, _is_finite(getattr(self, name)) and getattr(self, name) >= 0, "a number, 0 or more")
        most = self.max_length
        self._check("max_length", most is None or (_is_whole(most) and most >= 1), "1 or more, or None")
        self._check("temperature", _is_finite(self.temperature) and self.temperature > 0, "a number above 0")
        self._check("top_p", _is_finite(self.top_p) and 0 < self.top_p <= 1, "a probability above 0, at most 1")
        if not self.sample:
            for name, default in (("temperature", 1.0), ("top_k", 0), ("top_p", 1.0), ("seed", 0)):
                if getattr(self, name) != default:
                    raise UserError(f"{name}: it shapes how words are drawn, and nothing is drawn without sample")

    @property
    def needs_attention(self) -> bool:
        """Whether a model without attention cannot do this."""
        return self.coverage_penalty > 0 or self.replace_unknown

    def _check(self, name: str, good: bool, wanted: str) -> None:
        if not good:
            raise UserError(f"{name}: expected {wanted}, got {getattr(self, name)!r}")


def _is_whole(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_finite(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
