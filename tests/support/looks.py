"""What a watch might have seen, made from scores that look like those of trained heads, without any model."""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from regard.observe.record import Map, Observed, TopK
from regard.observe.report.pack import pooled
from regard.observe.seen import Look, Seen


def words_of(text: str) -> list[str]:
    return text.split()


SENTENCE = words_of(
    "The animal didn ' t cross the street because it was too tir ##ed , so the ox ##en waited near the gate"
)
SOURCE = words_of("Das kleine Mäd ##chen liest ein altes Buch im Garten . </s>")
TARGET = words_of("<s> The little girl reads an old book in the gar ##den .")
READS = (0, 0, 1, 2, 4, 5, 6, 7, 8, 8, 9, 9, 10)
HOSTILE = [
    "</script>", '"><img src=x onerror=window.hacked=1>', "\u202eevil", "\x00\x1b[31m\n", "<!--", "]]>", "",
    "<script>window.hacked=1</script>", "x" * 10_000, "&lt;b&gt;", "{{7*7}}", "عربي", "東京", "'; --", "@@data@@",
]  # fmt: skip
BASE = words_of("the river ran slow and cold under a grey bridge while two boats waited for rain that never came")


def words(count: int) -> list[str]:
    return [BASE[i] for i in np.random.default_rng(0).integers(len(BASE), size=count)]


def scores(heads: int, length: int, layer: int = 0) -> Tensor:
    """(1, heads, length, length): heads that look back one place, at the first token, nearby, at a few, everywhere."""
    noise = torch.Generator().manual_seed(layer)
    i, j = torch.arange(length)[:, None].float(), torch.arange(length)[None].float()
    found = []
    for head in range(heads):
        e = torch.randn(length, length, generator=noise) * 1.2
        kind = (head + 3 * layer) % 6
        e = {0: e - (i - 1 - j).abs() * 1.5, 2: e - (i - j).abs() * 0.25, 3: e * 2.5, 5: e * 0.4}.get(kind, e)
        if kind == 1:
            e[:, 0] += 5.5
        if kind == 4:
            e[:, ::7] += 3
        found.append(e)
    return torch.stack(found)[None]


def observed(
    e: Tensor, allowed: Tensor | None = None, *, topk: int = 0, map: int = 0, weights: bool = True, cross: bool = False
) -> Observed:
    """What would have been recorded of the weights softmax(e), by definition."""
    if allowed is not None:
        e = e.masked_fill(~allowed, -torch.inf)
    alpha = torch.softmax(e, -1).nan_to_num(0.0)
    keys, queries = alpha.shape[-1], alpha.shape[-2]
    place = torch.arange(queries) + keys - queries
    found = None
    if topk:
        most, positions = alpha.topk(min(topk, keys), -1)
        found = TopK(most, positions.masked_fill(most == 0, -1).int())
    return Observed(
        tuple(e.shape),
        e.logsumexp(-1),
        topk=found,
        entropy=-(alpha * alpha.clamp_min(1e-30).log()).sum(-1),
        mass=alpha.sum(-2),
        distance=None if cross else (alpha * (torch.arange(keys)[None] - place[:, None]).abs()).sum(-1),
        map=_map(alpha, allowed, map) if map else None,
        weights=alpha if weights else None,
        allowed=allowed if weights else None,
    )


def _map(alpha: Tensor, allowed: Tensor | None, cells: int) -> Map:
    rows, columns = -(-alpha.shape[-2] // cells), -(-alpha.shape[-1] // cells)
    if allowed is None and not alpha.shape[-2] % rows and not alpha.shape[-1] % columns:
        return Map(F.avg_pool2d(alpha, (rows, columns)), F.max_pool2d(alpha, (rows, columns)), rows, columns)
    seen = alpha if allowed is None else alpha.masked_fill(~allowed, torch.nan)
    both = [
        torch.stack([torch.from_numpy(pooled(one.numpy(), rows, columns, largest)) for one in seen]).float()
        for largest in (False, True)
    ]
    return Map(both[0], both[1], rows, columns)


def causal(length: int) -> Tensor:
    return torch.ones(length, length, dtype=torch.bool).tril()[None, None]


def sentence(layers: int = 2, heads: int = 3, tokens: list[str] | None = None) -> Seen:
    """Causal self-attention over a short text, weights kept."""
    tokens = SENTENCE if tokens is None else tokens
    looks = [
        Look(f"model.layers.{layer}.self_attn", 0, observed(scores(heads, len(tokens), layer), causal(len(tokens))))
        for layer in range(layers)
    ]
    return Seen(looks, tokens=list(tokens))


def encoder(layers: int = 12, heads: int = 12, length: int = 512) -> Seen:
    """What `watch(model, topk=8, entropy=True, mass=True, map=256)` would have seen of an encoder."""
    looks = [
        Look(
            f"encoder.layer.{layer}.attention.self", 0,
            observed(scores(heads, length, layer), topk=8, map=256, weights=False),
        )
        for layer in range(layers)
    ]  # fmt: skip
    return Seen(looks, tokens=words(length))


def translation() -> Seen:
    """An encoder and a decoder that wrote a sentence, a step at a time."""
    looks = [Look("encoder.layers.0.self_attn", 0, observed(scores(2, len(SOURCE))))]
    inward = scores(2, len(TARGET), 1)
    across = torch.randn(1, 2, len(TARGET), len(SOURCE), generator=torch.Generator().manual_seed(3))
    across[:, :, range(len(TARGET)), READS] += 4
    for step in range(len(TARGET)):
        here = slice(step, step + 1)
        looks.append(Look("decoder.layers.0.self_attn", step, observed(inward[:, :, here, : step + 1].clone())))
        looks.append(Look("decoder.layers.0.encoder_attn", step, observed(across[:, :, here], cross=True), cross=True))
    return Seen(looks, {"pooler.attention": "compiled: its weights cannot be read"}, list(TARGET), list(SOURCE))


def long(length: int = 100_000, k: int = 8, cells: int = 256) -> Seen:
    """One causal head over a long text: strongest weights, a map and strips, as a streamed pass would leave them."""
    noise = torch.Generator().manual_seed(0)
    query = torch.arange(length)
    near = (query[:, None] - torch.randint(0, 400, (length, k - 2), generator=noise)).clamp_min(0)
    far = (torch.rand(length, 1, generator=noise) * query[:, None]).long()
    positions = torch.cat([torch.zeros(length, 1, dtype=torch.long), far, near], 1)
    weights = torch.rand(length, k, generator=noise) * torch.tensor([0.5, 0.08] + [0.06] * (k - 2))
    weights, order = weights.sort(-1, descending=True)
    positions = positions.gather(1, order)
    cell = -(-length // cells)
    rows = -(-length // cell)
    i, j = torch.arange(rows)[:, None].float(), torch.arange(rows)[None].float()
    mean = 3e-4 / (1 + (i - j) ** 2) + 2e-6 * torch.rand(rows, rows, generator=noise)
    mean[:, 0] = 0.25 / cell
    mean = mean.masked_fill(j > i, torch.nan)[None, None]
    mass = torch.zeros(length).index_add_(0, positions.reshape(-1), weights.reshape(-1))
    seen = Observed(
        (1, 1, length, length),
        torch.zeros(1, 1, length),
        topk=TopK(weights[None, None], positions[None, None].int()),
        entropy=((6 + 2 * torch.sin(query / 3000)) * (query / (query + 50)))[None, None],
        mass=mass[None, None],
        distance=(query * 0.2 * torch.rand(length, generator=noise))[None, None],
        map=Map(mean, mean * 40, cell, cell),
    )
    return Seen([Look("model.layers.7.self_attn", 0, seen)], tokens=words(length))


def hostile() -> Seen:
    """Tokens and names that would break a page that did not treat them as text."""
    length = len(HOSTILE)
    name = 'layers.{}."><img src=x onerror=window.hacked=1></script>'
    looks = [Look(name.format(layer), 0, observed(scores(3, length, layer))) for layer in range(2)]
    return Seen(looks, {"</script><script>window.hacked=1</script>": "<b>why</b>"}, list(HOSTILE))
