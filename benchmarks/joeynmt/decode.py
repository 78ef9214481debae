"""Translating with beam 5, regard against JoeyNMT: the same weights, sentences and machine, in turns within minutes.

    .venv/bin/python benchmarks/joeynmt/decode.py \\
        --joey-python PYTHON --model FOLDER --source FILE --target FILE --work FOLDER

The model is one that `regard train --config benchmarks/joeynmt/regard.yaml` made. With those settings the two networks
are the same equations, so its weights are handed to JoeyNMT (to `joey_decode.py`, run by the Python that has JoeyNMT
2.3.0), and both translate the same subwords to the same output, up to what their searches differ in. JoeyNMT runs at
each of the batch sizes given and its best counts; regard runs as its users run it. Importing and reading the model are
timed on neither side; the import of numba's loops, of which JoeyNMT has none, is told beside it. Both have the same
threads and allocator settings. Run it with nothing else on the machine.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

import yaml
from compare import ALLOCATOR

HERE = Path(__file__).resolve().parent
JOEY_SPECIAL = [3, 0, 1, 2]  # JoeyNMT's <unk> <pad> <s> </s>, by our numbers
NAMES = {  # JoeyNMT's name: ours, the columns of several side by side
    "decoder.rnn.weight_ih_l0": ["decoder.cells.0.known.weight", "decoder.cells.0.feed.weight"],
    "decoder.rnn.weight_hh_l0": ["decoder.cells.0.recur.weight"],
    "decoder.rnn.bias_ih_l0": ["decoder.cells.0.known.bias"],
    "decoder.rnn.bias_hh_l0": ["decoder.cells.0.recur.bias"],
    "decoder.att_vector_layer.weight": ["decoder.readout.weight"],
    "decoder.att_vector_layer.bias": ["decoder.readout.bias"],
    "decoder.attention.key_layer.weight": ["decoder.context.attention.key.weight"],
    "decoder.attention.query_layer.weight": ["decoder.context.attention.query.weight"],
    "decoder.attention.energy_layer.weight": ["decoder.context.attention.v"],
    "decoder.bridge_layer.weight": ["decoder.bridge.0.weight"],
    "decoder.bridge_layer.bias": ["decoder.bridge.0.bias"],
}
TABLES = {
    "src_embed.lut.weight": "tables.source.weight",
    "trg_embed.lut.weight": "tables.target.weight",
    "decoder.output_layer.weight": "tables.output.weight",
    "decoder.output_layer.bias": "output_bias",
}


def hand_over(model: Path, source: list[str], work: Path) -> None:
    """Write the weights under JoeyNMT's names, its vocabulary, its settings, and the sentences cut into subwords."""
    import torch

    from regard.data.tokenizer import SPECIAL, Tokenizer
    from regard.folder import TOKENIZER, read_weights

    ours = read_weights(model)
    weights = {name: torch.cat([ours[part] for part in parts], -1) for name, parts in NAMES.items()}
    weights["decoder.attention.energy_layer.weight"] = weights["decoder.attention.energy_layer.weight"][None]
    weights |= {name: tensor for name, tensor in ours.items() if name.startswith("encoder.rnn")}
    order = [*JOEY_SPECIAL, *range(len(SPECIAL), len(ours["output_bias"]))]
    weights |= {name: ours[table][order] for name, table in TABLES.items()}
    torch.save({"model_state": weights}, work / "joey.ckpt")

    tokenizer = Tokenizer.load(model / TOKENIZER)
    words = tokenizer.pieces(range(len(SPECIAL), len(tokenizer)))
    (work / "joey.vocab").write_text("".join(f"{word}\n" for word in words), encoding="utf-8")
    cut = [" ".join(tokenizer.pieces(ids)) for ids in tokenizer.encode(source)]
    for language in ("en", "fr"):  # JoeyNMT wants a target file; it plays no part
        (work / f"joey.{language}").write_text("".join(f"{line}\n" for line in cut), encoding="utf-8")

    settings = yaml.safe_load((HERE / "gru_additive.yaml").read_text(encoding="utf-8"))
    settings["model_dir"] = str(work)
    settings["data"] |= {"dev": str(work / "joey"), "test": str(work / "joey")}
    for side in ("src", "trg"):
        settings["data"][side] |= {"level": "word", "voc_file": str(work / "joey.vocab")}
        del settings["data"][side]["tokenizer_type"], settings["data"][side]["tokenizer_cfg"]
    settings["testing"] |= {"load_model": str(work / "joey.ckpt"), "eval_metrics": []}
    (work / "joey.yaml").write_text(yaml.safe_dump(settings), encoding="utf-8")


def joey(python: Path, work: Path, batch: int, environment: dict[str, str]) -> tuple[float, list[str]]:
    """JoeyNMT's seconds and translations, the subwords joined as ours are."""
    command = [str(python), str(HERE / "joey_decode.py"), str(work / "joey.yaml"), str(batch), str(work / "joey.out")]
    run(command, environment)
    found = json.loads((work / "joey.out").read_text(encoding="utf-8"))
    return found["seconds"], [line.replace(" ", "").replace("▁", " ").strip() for line in found["lines"]]


def regard(
    model: Path, source: Path, work: Path, environment: dict[str, str], precision: str
) -> tuple[float, float, list[str]]:
    """Our seconds, those that importing the loops takes, and translations; in a process of its own."""
    script = (
        "import json, sys, time, torch\n"
        "from regard import load\n"
        "start = time.perf_counter()\n"
        "import regard.decoding.candidates_loops, regard.kernels.additive_loops, regard.models.cells_loops\n"
        "importing = time.perf_counter() - start\n"
        "translator = load(sys.argv[1]).to(getattr(torch, sys.argv[4]))\n"
        "lines = open(sys.argv[2], encoding='utf-8').read().splitlines()\n"
        "start = time.perf_counter()\n"
        "found = [t.text for t in translator.translate(lines, beam=5, attention=False)]\n"
        "seconds = time.perf_counter() - start\n"
        "with open(sys.argv[3], 'w', encoding='utf-8') as file:\n"
        "    json.dump({'seconds': seconds, 'importing': importing, 'lines': found}, file)\n"
    )
    run([sys.executable, "-c", script, str(model), str(source), str(work / "ours.out"), precision], environment)
    found = json.loads((work / "ours.out").read_text(encoding="utf-8"))
    return found["seconds"], found["importing"], found["lines"]


def run(command: list[str], environment: dict[str, str]) -> None:
    """Run a command to its end, or end with what it said."""
    done = subprocess.run(command, env=os.environ | environment, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"{' '.join(command)} ended with {done.returncode}:\n{done.stderr[-2000:]}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--joey-python", type=Path, required=True, help="a Python that has JoeyNMT 2.3.0")
    parser.add_argument("--model", type=Path, required=True, help="a model trained with regard.yaml's settings")
    parser.add_argument("--source", type=Path, required=True, help="sentences to translate, one a line")
    parser.add_argument("--target", type=Path, required=True, help="their reference translations")
    parser.add_argument("--work", type=Path, required=True, help="folder for what is handed over (made if absent)")
    parser.add_argument("--batches", type=int, nargs="+", default=[64, 128, 256, 512], help="JoeyNMT's batch sizes")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--precision", choices=("float32", "bfloat16"), default="float32", help="regard's products")
    parser.add_argument("--json", type=Path, help="write the result there too")
    given = parser.parse_args()
    from regard.evaluation.scores import bleu

    given.work.mkdir(parents=True, exist_ok=True)
    work = given.work.resolve()
    environment = ALLOCATOR | {"OMP_NUM_THREADS": str(given.threads), "MKL_NUM_THREADS": str(given.threads)}
    source = given.source.read_text(encoding="utf-8").splitlines()
    target = given.target.read_text(encoding="utf-8").splitlines()
    hand_over(given.model, source, work)
    tried = {batch: joey(given.joey_python, work, batch, environment)[0] for batch in given.batches}
    best = min(tried, key=tried.__getitem__)
    print("JoeyNMT:", ", ".join(f"batch {batch} {seconds:.1f} s" for batch, seconds in tried.items()), flush=True)

    seconds, imports, texts = [], [], {}
    for number in range(given.rounds):
        theirs, texts["joeynmt"] = joey(given.joey_python, work, best, environment)
        ours, importing, texts["regard"] = regard(given.model, given.source, work, environment, given.precision)
        seconds.append((theirs, ours))
        imports.append(importing)
        print(f"round {number + 1}: JoeyNMT {theirs:.1f} s, regard {ours:.1f} s, ratio {theirs / ours:.2f}", flush=True)
    ratios = [theirs / ours for theirs, ours in seconds]
    with_imports = [theirs / (ours + more) for (theirs, ours), more in zip(seconds, imports, strict=True)]
    same = sum(a == b for a, b in zip(texts["joeynmt"], texts["regard"], strict=True))
    result = {
        "sentences": len(source),
        "joeynmt_batch": best,
        "joeynmt_seconds": [a for a, _ in seconds],
        "regard_seconds": [b for _, b in seconds],
        "ratio": statistics.median(ratios),
        "ratio_low": min(ratios),
        "ratio_high": max(ratios),
        "regard_import_seconds": imports,
        "ratio_with_imports": statistics.median(with_imports),
        "same_translations": same,
        "bleu": {side: bleu(found, target, tokenize="none").value for side, found in texts.items()},
        "threads": given.threads,
        "precision": given.precision,
        "date": datetime.now(UTC).date().isoformat(),
        "versions": {"joeynmt": "2.3.0", "torch": version("torch"), "python": platform.python_version()},
    }
    print(json.dumps(result, indent=2))
    if given.json:
        given.json.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
