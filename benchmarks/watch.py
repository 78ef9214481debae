"""What `regard.watch` costs: closed, open over a whole model, and open over one layer at a length where no matrix fits.

Bars: a model that was watched and is no longer: the same bits, and no measurable time (within 2 %); 12 layers of 12
heads at T 512 with entropy and mass: at most 1.6 times the forward pass; one layer of 8 heads at T 32,768 in a Llama:
at most 300 MB more at the peak, and at most 3 times the time of that layer's own attention. Run it alone:

    python benchmarks/watch.py --out benchmarks/results/watch.json
"""

from __future__ import annotations

import argparse
import copy
import json
import platform
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

import regard
from regard.layers import MultiHeadAttention

T, LAYERS, HEADS, FEATURES = 512, 12, 12, 768
LONG, LONG_HEADS, LONG_FEATURES = 32_768, 8, 256
MAX_CLOSED, MAX_OPEN, MAX_LONG, MAX_MEGABYTES = 1.02, 1.6, 3.0, 300
Row = dict[str, Any]


class Ours(nn.Module):
    """A Transformer encoder of our attention, BERT's size."""

    def __init__(self) -> None:
        super().__init__()
        self.attention = nn.ModuleList(MultiHeadAttention(FEATURES, HEADS) for _ in range(LAYERS))
        self.wide = nn.ModuleList(
            nn.Sequential(nn.Linear(FEATURES, 4 * FEATURES), nn.GELU(), nn.Linear(4 * FEATURES, FEATURES))
            for _ in range(LAYERS)
        )

    def forward(self, x: Tensor) -> Tensor:
        for attention, wide in zip(self.attention, self.wide, strict=True):
            x = F.layer_norm(x + attention(x), x.shape[-1:])
            x = F.layer_norm(x + wide(x), x.shape[-1:])
        return x


def bert() -> nn.Module:
    """Hugging Face's, at random."""
    from transformers import BertConfig, BertModel

    return BertModel(BertConfig(attn_implementation="sdpa"), add_pooling_layer=False)


def encoder() -> nn.Module:
    """torch's own."""
    layer = nn.TransformerEncoderLayer(FEATURES, HEADS, 4 * FEATURES, batch_first=True, activation="gelu")
    return nn.TransformerEncoder(layer, LAYERS, enable_nested_tensor=False)


MODELS: dict[str, tuple[Callable[[], nn.Module], Callable[[], Tensor]]] = {
    "ours": (Ours, lambda: torch.randn(1, T, FEATURES)),
    "torch.nn.TransformerEncoder": (encoder, lambda: torch.randn(1, T, FEATURES)),
    "Hugging Face BERT, sdpa": (bert, lambda: torch.randint(1, 1000, (1, T))),
}


def tensor(output: Any) -> Tensor:
    return output if isinstance(output, Tensor) else output.last_hidden_state


def seconds(call: Callable[[], object]) -> float:
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def compared(plain: Callable[[], object], other: Callable[[], object], rounds: int) -> Row:
    """The best time of each, and the rounds' ratios."""
    pairs = []
    for number in range(rounds):
        if number % 2:
            late = seconds(other)
            pairs.append((seconds(plain), late))
        else:
            early = seconds(plain)
            pairs.append((early, seconds(other)))
    low, middle, high = statistics.quantiles([b / a for a, b in pairs], n=4)
    least = [min(one) for one in zip(*pairs, strict=True)]
    return {"plain_s": least[0], "other_s": least[1], "ratio": middle, "ratio_low": low, "ratio_high": high}


@torch.no_grad()
def of_a_model(name: str, rounds: int) -> list[Row]:
    """A watch that is open, and one that was closed, against a twin of the model that never knew of any."""
    make, inputs = MODELS[name]
    model = make().eval()
    twin, x = copy.deepcopy(model), inputs()
    with regard.watch(model, topk=0) as seen:
        watched = tensor(model(x))
    assert len(seen) == LAYERS
    assert not seen.unread
    plain, closed = tensor(twin(x)), tensor(model(x))

    def watching() -> None:
        with regard.watch(model, topk=0):
            model(x)

    rows = [
        {"case": "closed", "model": name, "bar": MAX_CLOSED, "same": torch.equal(closed, plain)},
        {"case": "entropy and mass", "model": name, "bar": MAX_OPEN, "same": torch.equal(watched, plain)},
    ]
    rows[1]["difference"] = float((watched - plain).abs().max())
    rows[0] |= compared(lambda: twin(x), lambda: model(x), 2 * rounds)
    rows[1] |= compared(lambda: twin(x), watching, rounds)
    for row in rows:
        row["met"] = row["ratio"] <= row["bar"]
    rows[0]["met"] = rows[0]["met"] and rows[0]["same"]
    return rows


def the_door(times: int = 20_000) -> Row:
    """What looking for a listener costs a call of `attend` at T 1 where there is none: the least of many times."""
    door = sys.modules["regard.attend"]
    q = torch.randn(1, 1, 1, 64)

    def least(call: Callable[[], object], often: int) -> float:
        return min(seconds(lambda: [call() for _ in range(often)]) / often for _ in range(20))

    bare = compile("_listeners and _listening.listener is not None", "door", "eval")
    nothing = compile("None", "door", "eval")
    look = least(lambda: eval(bare, door.__dict__), times) - least(lambda: eval(nothing, door.__dict__), times)
    whole = least(lambda: regard.attend(q, q, q), 200)
    return {"case": "one look for a listener", "look_ns": look * 1e9, "attend_us": whole * 1e6}


def llama() -> tuple[nn.Module, Tensor]:
    """Two layers, the first is watched."""
    from transformers import LlamaConfig, LlamaModel

    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=99, hidden_size=LONG_FEATURES, intermediate_size=512, num_hidden_layers=2,
        num_attention_heads=LONG_HEADS, num_key_value_heads=2, max_position_embeddings=LONG,
    )  # fmt: skip
    return LlamaModel(config).eval(), torch.randint(99, (1, LONG))


@torch.no_grad()
def long_run(case: str) -> Row:
    """In a process of its own: the pass, watched or not; its time and the process's peak of memory."""
    model, ids = llama()
    if case == "attention":
        width = LONG_FEATURES // LONG_HEADS
        q = torch.randn(1, LONG_HEADS, LONG, width)
        k = torch.randn(1, 2, LONG, width).repeat_interleave(LONG_HEADS // 2, 1)
        took = seconds(lambda: F.scaled_dot_product_attention(q, k, k, is_causal=True))
    elif case == "plain":
        took = seconds(lambda: model(ids, use_cache=False))
    else:
        asked: dict[str, Any] = {"everything": {"topk": 8, "map": 256, "distance": True}, "watched": {"topk": 0}}[case]
        with regard.watch(model.layers[0].self_attn, **asked):  # compiled loops are loaded once, before the clock runs
            model(ids[:, :2048], use_cache=False)

        def watching() -> None:
            with regard.watch(model, layers=0, **asked) as seen:
                model(ids, use_cache=False)
            assert len(seen) == 1

        took = seconds(watching)
    return {"seconds": took, "peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024}


def long() -> list[Row]:
    """Each case alone."""
    found = {}
    for case in ("attention", "plain", "watched", "everything"):
        done = subprocess.run(
            [sys.executable, __file__, "--one", case, "--threads", str(torch.get_num_threads())],
            capture_output=True, text=True, check=True,
        )  # fmt: skip
        found[case] = json.loads(done.stdout.splitlines()[-1])
    rows = []
    for case in ("watched", "everything"):
        took = found[case]["seconds"] - found["plain"]["seconds"]
        extra = found[case]["peak_mb"] - found["plain"]["peak_mb"]
        rows.append(
            {
                "case": "entropy and mass" if case == "watched" else "and top 8, distance, map of 256",
                "attention_s": found["attention"]["seconds"],
                "plain_s": found["plain"]["seconds"],
                "added_s": took,
                "ratio": took / found["attention"]["seconds"],
                "extra_mb": extra,
                "met": took <= MAX_LONG * found["attention"]["seconds"] and extra <= MAX_MEGABYTES,
            }
        )
    return rows


def markdown(rows: list[Row], door: Row, far: list[Row]) -> str:
    """The tables that docs/results.md shows."""
    lines = ["| model | watch | pass s | with it s | ratio | bar |", "|---" * 6 + "|"]
    for row in rows:
        lines.append(
            f"| {row['model']} | {row['case']} | {row['plain_s']:.2f} | {row['other_s']:.2f} "
            f"| {row['ratio']:.3f} ({row['ratio_low']:.3f} to {row['ratio_high']:.3f}) | {met(row)} |"
        )
    alone = f"{far[0]['attention_s']:.1f} s"
    lines += [
        "",
        f"| T {LONG:,}, one layer of {LONG_HEADS} heads | added s | of its attention's {alone} | extra MB | bar |",
    ]
    lines += ["|---" * 5 + "|"]
    for row in far:
        lines.append(
            f"| {row['case']} | {row['added_s']:.1f} | {row['ratio']:.2f} | {row['extra_mb']:.0f} | {met(row)} |"
        )
    lines += ["", f"Where no watch is open, a call of `attend` ({door['attend_us']:.1f} µs at T 1) spends "
              f"{max(door['look_ns'], 0):.0f} ns on finding that out."]  # fmt: skip
    return "\n".join(lines)


def met(row: Row) -> str:
    return "met" if row["met"] else "**not met**"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, help="write the figures here as JSON")
    parser.add_argument("--table", type=Path, help="write the tables in Markdown here")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--one", choices=("attention", "plain", "watched", "everything"), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    if arguments.one:
        print(json.dumps(long_run(arguments.one)))
        return
    torch.manual_seed(0)
    rows = [row for name in MODELS for row in of_a_model(name, arguments.rounds)]
    door, far = the_door(), long()
    print(markdown(rows, door, far))
    if arguments.table:
        arguments.table.write_text(markdown(rows, door, far) + "\n", encoding="utf-8")
    if arguments.out:
        machine = {"torch": torch.__version__, "threads": torch.get_num_threads(), "python": platform.python_version()}
        figures = {"machine": machine, "rounds": arguments.rounds, "whole": rows, "door": door, "long": far}
        arguments.out.write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
