"""What `regard.watch` costs: closed, open over a whole model, and open over one layer at a length where no matrix fits.

Bars: a model that was watched and is no longer: the same bits, and no measurable time (within 2 %); 12 layers of 12
heads at T 512 with entropy and mass: at most 1.6 times the forward pass; one layer of 8 heads at T 32,768 in a Llama:
at most 300 MB more at the peak, and at most 3 times the time of that layer's own attention.

Memory is what a pass adds, at its peak, to what the process held before it (Linux' VmHWM, set back just before), in a
process of its own for each case. The watch's share is the difference to the same pass unwatched: of the whole model,
where a peak elsewhere (a wide layer's) may hide it, and of the watched attention module run by itself, where nothing
can. The bar holds for both. Run it alone:

    python benchmarks/watch.py --out benchmarks/results/watch.json
"""

from __future__ import annotations

import argparse
import copy
import json
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial
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
    """In a process of its own: the pass, watched or not; its time, and the memory that it adds at its peak."""
    model, ids = llama()
    alone, _, case = case.rpartition(" ")
    watched: nn.Module = model.layers[0].self_attn
    run = partial(model, use_cache=False)
    if alone:
        x = torch.randn(1, LONG, LONG_FEATURES)
        places = model.rotary_emb(x, torch.arange(LONG)[None])
        run, ids = partial(watched, position_embeddings=places, attention_mask=None), x
    if case == "attention":
        width = LONG_FEATURES // LONG_HEADS
        q = torch.randn(1, LONG_HEADS, LONG, width)
        k = torch.randn(1, 2, LONG, width).repeat_interleave(LONG_HEADS // 2, 1)
        took, added = measured(lambda: F.scaled_dot_product_attention(q, k, k, is_causal=True))
    elif case == "plain":
        took, added = measured(lambda: run(ids))
    else:
        asked: dict[str, Any] = {"everything": {"topk": 8, "map": 256, "distance": True}, "watched": {"topk": 0}}[case]
        with regard.watch(watched, **asked):  # compiled loops are loaded once, before the clock runs
            model(torch.zeros(1, 2048, dtype=torch.long), use_cache=False)

        def watching() -> None:
            with regard.watch(watched, **asked) as seen:
                run(ids)
            assert len(seen) == 1

        took, added = measured(watching)
    return {"seconds": took, "added_mb": added}


def measured(call: Callable[[], object]) -> tuple[float, float]:
    """Seconds, and the MB that the call adds to what the process holds, at its peak."""
    Path("/proc/self/clear_refs").write_text("5", encoding="ascii")  # the peak begins here
    before = peak_kb()
    took = seconds(call)
    return took, (peak_kb() - before) * 1024 / 1e6


def peak_kb() -> int:
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM"))


LONG_CASES = ("attention", "plain", "watched", "everything", "alone plain", "alone watched", "alone everything")


def long() -> list[Row]:
    """Each case in its process."""
    found = {}
    for case in LONG_CASES:
        done = subprocess.run(
            [sys.executable, __file__, "--one", case, "--threads", str(torch.get_num_threads())],
            stdout=subprocess.PIPE, text=True, check=True,
        )  # fmt: skip
        found[case] = json.loads(done.stdout.splitlines()[-1])
    rows = []
    for case in ("watched", "everything"):
        took = found[case]["seconds"] - found["plain"]["seconds"]
        of_model = found[case]["added_mb"] - found["plain"]["added_mb"]
        of_layer = found[f"alone {case}"]["added_mb"] - found["alone plain"]["added_mb"]
        rows.append(
            {
                "case": "entropy and mass" if case == "watched" else "and top 8, distance, map of 256",
                "attention_s": found["attention"]["seconds"],
                "plain_s": found["plain"]["seconds"],
                "added_s": took,
                "ratio": took / found["attention"]["seconds"],
                "model_mb": found["plain"]["added_mb"],
                "extra_model_mb": of_model,
                "layer_mb": found["alone plain"]["added_mb"],
                "extra_mb": of_layer,
                "met": took <= MAX_LONG * found["attention"]["seconds"] and max(of_layer, of_model) <= MAX_MEGABYTES,
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
        f"| T {LONG:,}, one layer of {LONG_HEADS} heads | added s | of its attention's {alone} | MB beside the layer's "
        f"{far[0]['layer_mb']:.0f} | MB beside the model's {far[0]['model_mb']:.0f} | bar |",
    ]
    lines += ["|---" * 6 + "|"]
    for row in far:
        lines.append(
            f"| {row['case']} | {row['added_s']:.1f} | {row['ratio']:.2f} | {row['extra_mb']:.0f} "
            f"| {row['extra_model_mb']:.0f} | {met(row)} |"
        )
    lines += [
        "",
        "MB: what a watched pass adds at its peak beyond what it adds unwatched; of the attention module by itself,",
        f"and of the whole model, each in a process of its own (threads: {torch.get_num_threads()}). At the moment of",
        "the layer's own peak the statistics do not compute, so they add next to nothing to it; what they take by",
        "themselves is in [observe](observe.md).",
    ]
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
    parser.add_argument("--one", choices=LONG_CASES, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.rounds < 2:
        parser.error(f"--rounds: expected 2 or more, as quartiles want, got {arguments.rounds}")
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
