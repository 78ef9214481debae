"""Sparse attention: each query looks at few positions, by a pattern, by the best scores, or in the literal form."""

__all__ = ["SparseAttention"]

from jaxtyping import Bool
from torch import Tensor

from regard.equation.mask import Mask
from regard.equation.masks import as_mask
from regard.equation.normalisers import Normaliser, TopK
from regard.equation.precision import full
from regard.equation.scores import Dot, Score
from regard.layers.source import Focus, Memory, SourceAttention


class SparseAttention(SourceAttention):
    """c_i = Σ_j softmax_j(q_i · k_j / √D) v_j over the pairs (i, j) of a pattern only; the others have weight 0.

        layer = SparseAttention(strided(8))
        y = layer(x, x, lengths)                       # queries, keys; `values=` where they are not the keys

    Patterns are masks: `strided` and `fixed` (Child 2019), `window(256, 256) | tokens(places)` (Beltagy 2020),
    `bigbird` (Zaheer 2020), `blocks(layout, size)`, any other. With projections and heads: `MultiHeadAttention`, called
    with `mask=strided(8)`.

    With `literal=True` it is softmax(M ⊙ QKᵀ) V, word for word: M is 1 on the pattern and 0 elsewhere, and there is no
    1/√D. **A pair that M removes has the score 0 and so the weight exp(0) / Z, which is not 0**: it still mixes in, and
    outweighs every kept pair that scores below 0. Padding is removed in both forms.

    Args:
        pattern: A mask, or a bool tensor (queries, keys) or (batch, 1, queries, keys), True where a query may look.
        top_k: Only so many best scores of each query count, of those that the pattern admits (Gupta 2021).
        scale: What q · k is multiplied by; 1/√D unless given.
        literal: As above.

    Raises:
        ValueError: Neither pattern nor top_k; or literal with top_k, with a scale, or without a pattern.
    """

    allowed: Tensor

    def __init__(
        self,
        pattern: Mask | Bool[Tensor, "..."] | None = None,
        *,
        top_k: int | None = None,
        scale: float | None = None,
        literal: bool = False,
    ):
        super().__init__()
        if pattern is None and top_k is None:
            raise ValueError("pattern: expected a mask such as strided(8), a bool tensor, or top_k=..., got neither")
        if literal and (pattern is None or top_k is not None or scale is not None):
            raise ValueError(
                f"literal: it is softmax(M ⊙ QKᵀ) V, of a pattern alone, got top_k={top_k}, scale={scale}, "
                f"pattern={pattern}"
            )
        self.rule = None if pattern is None else as_mask(pattern)
        if isinstance(pattern, Tensor):
            self.register_buffer("allowed", pattern, persistent=False)  # moves with the layer
        self.best = None if top_k is None else TopK(top_k)
        self.scale, self.literal = scale, literal

    def pattern(self) -> Mask | None:
        """The mask, where the layer is."""
        return as_mask(self.allowed) if "allowed" in self._buffers else self.rule

    def score(self) -> Score:
        """q · k / √D; in the literal form M ⊙ q · k."""
        pattern = self.pattern()
        return Multiplied(pattern) if self.literal and pattern is not None else Dot(self.scale)

    def focus(self, query: Tensor, memory: Memory, position: Tensor | None) -> Focus:
        """The pattern; everywhere in the literal form, which removes nothing."""
        return Focus() if self.literal else Focus(self.pattern())

    def normaliser(self) -> Normaliser:
        """Softmax, over the best `top_k` where given."""
        return super().normaliser() if self.best is None else self.best


class Multiplied(Score):
    """e = M_ij · (q_i · k_j), M 1 where the mask admits and 0 elsewhere: what it hides still scores 0."""

    def __init__(self, mask: Mask) -> None:
        self.mask = mask
        self.key = ("multiplied", mask.key)

    def compare(self, q: Tensor, k: Tensor) -> Tensor:
        """See `Score.compare`."""
        e = full(q) @ full(k).mT
        B, H, Tq, Tk = e.shape
        self.mask.check(B, H, Tq, Tk)
        return e * self.mask.dense(B, H, Tq, Tk, e.device)

    def __repr__(self) -> str:
        return f"Multiplied({self.mask})"
