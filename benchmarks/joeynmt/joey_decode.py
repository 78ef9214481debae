"""JoeyNMT's side of `decode.py`: its own `predict` on weights and subwords that were handed over. Run by its Python.

    PYTHON benchmarks/joeynmt/joey_decode.py SETTINGS.yaml BATCH OUT.json

Two things are as in regard and not as JoeyNMT would train them: no end mark after the source, and a bias in the output
layer, which cost it nothing.
"""

import json
import sys
import time
from functools import partial
from pathlib import Path

import torch
from joeynmt.config import load_config, parse_global_args
from joeynmt.data import load_data
from joeynmt.model import build_model
from joeynmt.prediction import predict


def main() -> None:
    """Build, load, translate, write seconds and lines."""
    settings, batch, out = Path(sys.argv[1]), int(sys.argv[2]), Path(sys.argv[3])
    config = load_config(settings)
    config["testing"]["batch_size"] = batch
    args = parse_global_args(config, rank=0, mode="test")
    source, target, _, _, data = load_data(cfg=args.data, datasets=["test"])
    model = build_model(args.model, src_vocab=source, trg_vocab=target)
    output = model.decoder.output_layer
    model.decoder.output_layer = torch.nn.Linear(output.in_features, output.out_features)
    model.load_state_dict(torch.load(settings.parent / "joey.ckpt", weights_only=True)["model_state"])
    model.loss_function = (args.train.loss, args.train.label_smoothing)
    data.sequence_encoder["en"] = partial(source.sentences_to_ids, bos=False, eos=False)
    data.reset_indices(random_subset=-1)
    start = time.perf_counter()
    _, _, lines, _, _, _ = predict(
        model=model,
        data=data,
        compute_loss=False,
        device=args.device,
        n_gpu=args.n_gpu,
        normalization="none",
        num_workers=0,
        args=args.test,
        autocast=args.autocast,
    )
    seconds = time.perf_counter() - start
    lines = [line if isinstance(line, str) else " ".join(line) for line in lines]
    out.write_text(json.dumps({"seconds": seconds, "lines": lines}), encoding="utf-8")


if __name__ == "__main__":
    main()
