"""`MultiHeadAttention` beside `nn.MultiheadAttention` and x-transformers' `Attention`, on eight shapes.

    python benchmarks/multihead.py [--out FILE.json] [--table FILE.md] [--rounds N]

The layers have the same sizes and weights, float32, and no biases, and the three run in this process, in turns;
the order changes from round to round, and a round's ratio compares neighbours in time. Reported are the medians of the
rounds with their quartiles, inference (no gradient) and training (forward, backward to input and weights). Before
anything is timed the results are compared. What a peer cannot do is said in its row; a step of decoding, with a cache,
is inference alone, and `nn.MultiheadAttention`, which has no cache, projects all keys again. x-transformers' fused
attention is on (`flash=True`); grouped key heads it shares out in another order, so its weights are sorted.

Bar: slower than either in no case by more than 3 %. Run it alone: a busy core spoils the comparison.
"""

import argparse
import json
import platform
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from regard import causal
from regard.layers import MultiHeadAttention

FEATURES, HEADS, MOST = 512, 8, 1.03
Call = Callable[[], Tensor]
TORCH, XT = "nn.MultiheadAttention", "x-transformers"


@dataclass(frozen=True)
class Shape:
    """B rows, Tq queries; Tk keys of another sequence, or none; and what else is asked."""

    name: str
    B: int
    Tq: int
    Tk: int | None = None
    causal: bool = False
    padded: bool = False
    key_heads: int = HEADS
    cached: bool = False
    """The Tk keys were projected at earlier steps; the query's own key and value join them. Inference alone."""


SHAPES = [
    Shape("decoding step, 255 keys before it", 16, 1, 255, cached=True),
    Shape("one short sentence", 1, 16),
    Shape("sentences", 32, 32),
    Shape("sentences, padded", 32, 32, padded=True),
    Shape("sentences, causal", 32, 32, causal=True),
    Shape("across: 32 queries, 64 keys, padded", 16, 32, 64, padded=True),
    Shape("long, causal", 1, 1024, causal=True),
    Shape("long, 2 key heads for 8", 1, 1024, key_heads=2),
]
CASES = [(learn, shape) for learn in (False, True) for shape in SHAPES if not (learn and shape.cached)]


def layers(shape: Shape) -> tuple[MultiHeadAttention, nn.MultiheadAttention | None, nn.Module | None]:
    """Ours and the peers', with the same weights; no biases, so that all three compute the same."""
    theirs = None
    if shape.key_heads == HEADS:
        theirs = nn.MultiheadAttention(FEATURES, HEADS, bias=False, batch_first=True)
        ours = MultiHeadAttention.from_torch(theirs)
    else:
        ours = MultiHeadAttention(FEATURES, HEADS, key_heads=shape.key_heads, bias=False)
    return ours, theirs, like_ours(ours, shape)


def like_ours(ours: MultiHeadAttention, shape: Shape) -> nn.Module | None:
    """x-transformers' layer with our weights; None where it is not installed."""
    try:
        from x_transformers.x_transformers import Attention
    except ImportError:
        print("x-transformers is not installed: pip install 'regard[bench]'")
        return None
    grouped = {} if shape.key_heads == HEADS else {"kv_heads": shape.key_heads}
    layer = Attention(FEATURES, heads=HEADS, dim_head=FEATURES // HEADS, causal=shape.causal, flash=True, **grouped)
    assert ours.joint is not None
    assert ours.output is not None
    with torch.no_grad():
        maps = layer.to_q, layer.to_k, layer.to_v, layer.to_out
        q, k, v = ours.joint.weight.split(ours.joint.widths)
        for own, weight in zip(maps, (by_rank(q, shape), k, v, by_rank(ours.output.weight.mT, shape).mT), strict=True):
            own.weight.copy_(weight)
    return layer


def by_rank(rows: Tensor, shape: Shape) -> Tensor:
    """Our heads h, neighbours of one group, in x-transformers' order: the first of each group, then the second."""
    return rows.unflatten(0, (shape.key_heads, HEADS // shape.key_heads, -1)).transpose(0, 1).flatten(0, 2)


def calls(shape: Shape, learn: bool) -> tuple[dict[str, Call], dict[str, list[Tensor]]]:
    """For each layer that can: a call that gives (B, Tq, features), and what its gradients go to."""
    x = torch.randn(shape.B, shape.Tq, FEATURES, requires_grad=learn)
    source = None if shape.Tk is None else torch.randn(shape.B, shape.Tk, FEATURES, requires_grad=learn)
    keys = x if source is None else source
    width = keys.shape[1]
    lengths = torch.linspace(width // 2, width, shape.B).long() if shape.padded else None
    beyond = None if lengths is None else torch.arange(width) >= lengths[:, None]
    within = None if beyond is None else ~beyond
    ours, theirs, xt = (None if layer is None else layer.train(learn) for layer in layers(shape))
    hidden = torch.ones(shape.Tq, shape.Tq).triu(1).bool() if shape.causal else None
    mask = causal() if shape.causal else None
    if shape.cached:
        return of_step(x, source, ours, theirs, xt)

    def of_torch() -> Tensor:
        return theirs(
            x, keys, keys, key_padding_mask=beyond, need_weights=False, attn_mask=hidden, is_causal=shape.causal
        )[0]

    def of_xt() -> Tensor:
        return xt(x, mask=within) if source is None else xt(x, source, context_mask=within)

    found: dict[str, Call] = {"regard": lambda: ours(x, source, lengths, mask=mask)}
    found |= {} if theirs is None else {TORCH: of_torch}
    found |= {} if xt is None else {XT: of_xt}
    inputs = [x] if source is None else [x, source]
    owners = {"regard": ours, TORCH: theirs, XT: xt}
    return found, {name: [*inputs, *owners[name].parameters()] for name in found}


def of_step(x: Tensor, past: Tensor, ours: Any, theirs: Any, xt: Any) -> tuple[dict[str, Call], dict]:
    """A step of decoding: ours and x-transformers keep a cache; torch's layer has none and projects all again."""
    with torch.no_grad():
        memory = ours.prepare(past)
        seen = torch.cat([past, x], 1)
    found: dict[str, Call] = {
        "regard": lambda: ours(x, ours.prepare(x, after=memory)),
        TORCH: lambda: theirs(x, seen, seen, need_weights=False)[0],
    }
    if xt is not None:
        from x_transformers.attend import Intermediates

        cache = Intermediates(cached_kv=(memory.keys.k, memory.values))
        found[XT] = lambda: xt(x, cache=cache)
    return found, {name: [] for name in found}


def timed(call: Call, leaves: list[Tensor], along: Tensor, learn: bool) -> Callable[[], object]:
    """Forward, or forward and backward."""

    def forward() -> Tensor:
        with torch.no_grad():
            return call()

    return (lambda: torch.autograd.grad(call(), leaves, along)) if learn else forward


def seconds(call: Callable[[], object], times: int) -> float:
    """Seconds per call."""
    start = time.perf_counter()
    for _ in range(times):
        call()
    return (time.perf_counter() - start) / times


def measure(shape: Shape, learn: bool, rounds: int) -> list[dict[str, Any]]:
    """A row for each peer."""
    found, leaves = calls(shape, learn)
    outputs = {name: call().detach() for name, call in found.items()}
    width = outputs["regard"].shape[1]
    counts = torch.ones(shape.B, width, dtype=torch.bool)
    if shape.padded and shape.Tk is None:  # what padding asks is nobody's business, and each peer gives its own
        counts = torch.arange(width) < torch.linspace(width // 2, width, shape.B).long()[:, None]
    for name, out in outputs.items():
        torch.testing.assert_close(out[counts], outputs["regard"][counts], atol=1e-4, rtol=1e-4, msg=f"{shape}: {name}")
    along = torch.randn_like(outputs["regard"])
    runs = {name: timed(call, leaves[name], along, learn) for name, call in found.items()}
    for run in runs.values():
        seconds(run, 3)
    times = max(1, int(0.02 / seconds(runs["regard"], 3)))
    took: dict[str, list[float]] = {name: [] for name in runs}
    for number in range(rounds):
        names = list(runs)
        for name in names[number % len(names) :] + names[: number % len(names)]:
            took[name].append(seconds(runs[name], times))
    return [row(shape, learn, name, took) for name in (TORCH, XT)]


def row(shape: Shape, learn: bool, peer: str, took: dict[str, list[float]]) -> dict[str, Any]:
    """Our time beside a peer's."""
    base = {"shape": shape.name, "training": learn, "peer": peer, "ours_us": statistics.median(took["regard"]) * 1e6}
    if peer not in took:
        print(f"{shape.name:44} {'training' if learn else 'inference':10} {peer:22} cannot")
        return base
    low, middle, high = statistics.quantiles([a / b for a, b in zip(took["regard"], took[peer], strict=True)], n=4)
    base |= {"peer_us": statistics.median(took[peer]) * 1e6, "ratio": middle, "ratio_low": low, "ratio_high": high}
    print(
        f"{shape.name:44} {'training' if learn else 'inference':10} {peer:22} ours {base['ours_us']:9.1f} µs, theirs "
        f"{base['peer_us']:9.1f} µs: {middle:.3f} [{low:.3f}, {high:.3f}]{'' if middle <= MOST else '  NOT MET'}"
    )
    return base


def markdown(rows: list[dict[str, Any]]) -> str:
    """The table that docs/results.md shows."""
    lines = ["| case | pass | peer | ours µs | theirs µs | ours / theirs | at most 1.03 |", "|---" * 7 + "|"]
    for r in rows:
        head = f"| {r['shape']} | {'training' if r['training'] else 'inference'} | {r['peer']} | {r['ours_us']:,.0f} |"
        if "ratio" not in r:
            lines.append(f"{head} | it has no grouped key heads | |")
            continue
        ratio = f"{r['ratio']:.3f} ({r['ratio_low']:.3f} to {r['ratio_high']:.3f})"
        lines.append(f"{head} {r['peer_us']:,.0f} | {ratio} | {'met' if r['ratio'] <= MOST else '**not met**'} |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, help="write the figures here as JSON")
    parser.add_argument("--table", type=Path, help="write the table in Markdown here")
    parser.add_argument("--rounds", type=int, default=40)
    arguments = parser.parse_args()
    torch.manual_seed(0)
    rows = [row for learn, shape in CASES for row in measure(shape, learn, arguments.rounds)]
    missed = [r for r in rows if r.get("ratio", 0) > MOST]
    print(f"{len(missed)} of {len([r for r in rows if 'ratio' in r])} above {MOST}")
    if arguments.table:
        arguments.table.write_text(markdown(rows) + "\n", encoding="utf-8")
    if arguments.out:
        machine = {"torch": torch.__version__, "threads": torch.get_num_threads(), "python": platform.python_version()}
        arguments.out.write_text(json.dumps({"machine": machine, "rows": rows}, indent=2), encoding="utf-8")


if __name__ == "__main__":
    main()
