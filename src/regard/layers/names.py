"""Few classes, many names: attentions known by a name of their own, each a few defaults on one of two classes.

`MultiHeadAttention` projects queries, keys and values; `DotAttention` and `GeneralAttention` take them as they are.
"""

__all__ = [
    "CrossAttention",
    "GlobalAttention",
    "MaskedSelfAttention",
    "ScaledDotProductAttention",
    "SelfAttention",
    "SoftAttention",
]

from regard.equation.masks import causal
from regard.layers.dot import DotAttention, GeneralAttention
from regard.layers.multihead import MultiHeadAttention
from regard.layers.positions import Positions


class SelfAttention(MultiHeadAttention):
    """y = softmax(Q Kᵀ / √d_k) V with Q = X W_Q, K = X W_K, V = X W_V: every step of X looks at every other.

    One head and no projection behind it unless said; see `MultiHeadAttention` for calling it. Source: Vaswani 2017.
    """

    def __init__(
        self,
        features: int,
        heads: int = 1,
        *,
        bias: bool = False,
        output: bool = False,
        positions: Positions | None = None,
        dropout: float = 0.0,
    ):
        super().__init__(features, heads, bias=bias, output=output, positions=positions, dropout=dropout)


class MaskedSelfAttention(SelfAttention):
    """y = softmax(Q Kᵀ / √d_k + M) V, M = −∞ wherever the key comes after the query: nobody looks ahead.

    A `mask=` given when calling holds beside it, and `bias=` is an M of any other numbers. With a memory that grows
    (`prepare(x_t, after=memory)`) the last query stands on the last key. Source: Vaswani 2017.
    """

    always = causal()


class CrossAttention(MultiHeadAttention):
    """y = Attention(H_d W_Q, H_e W_K, H_e W_V): queries from one sequence, keys and values from another.

        memory = layer.prepare(encoder_states, lengths)   # once
        y = layer(decoder_states, memory)                 # many times

    `key` and `value` are the features of H_e where they differ. One head and no projection behind it unless said;
    without any projection, Attention(H_d, H_e, H_e), it is `ScaledDotProductAttention`. Source: Vaswani 2017.
    """

    def __init__(
        self,
        features: int,
        heads: int = 1,
        *,
        key: int | None = None,
        value: int | None = None,
        bias: bool = False,
        output: bool = False,
        dropout: float = 0.0,
    ):
        super().__init__(features, heads, key=key, value=value, bias=bias, output=output, dropout=dropout)


class ScaledDotProductAttention(DotAttention):
    """c_t = Σ_s softmax_s(q_t · k_s / √d_k) v_s: Attention(Q, K, V) itself, without projections.

    `layer(q, k, values=v)`; the scale keeps large products from starving gradients. Source: Vaswani 2017.
    """

    def __init__(self) -> None:
        super().__init__(scale=None)


class SoftAttention(DotAttention):
    """c_t = Σ_s α_t(s) h_s with α_t = softmax_s(h_tᵀ h_s): the expectation over positions, and so differentiable.

    The same numbers as `DotAttention`; hard attention picks one position instead. Source: Xu 2015.
    """

    def __init__(self) -> None:
        super().__init__(scale=1.0)


class GlobalAttention(GeneralAttention):
    """c_t = Σ_s α_t(s) h_s with α_t(s) = softmax_s(h_tᵀ W h_s), over the whole source: Luong's global attention.

    The same numbers as `GeneralAttention`; `LocalAttention` looks at a window only. Source: Luong 2015.
    """
