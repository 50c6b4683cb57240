"""Digits predicted pixel by pixel: dense, local, strided and fixed attention at equal weights.

    python benchmarks/sparse_images.py          writes results/sparse_images.json

Bits a pixel on digits that were not trained on, for several seeds; beside them independent
pixels and causal convolutions, trained alike. And who copies from far back. About eight
minutes. With --keep, what is in the file already is not trained again.
"""

import argparse
import json
import platform
import time
from pathlib import Path

import torch

from attncourse.tasks.sequences import (
    CausalConvolutions,
    bits,
    bits_of_independent_pixels,
    copies,
    learn_pictures,
    learn_to_copy,
    pixel_streams,
    right,
)
from solutions.sparse import SparseSelfAttention, SparseTransformer

OUT = Path(__file__).parent.parent / "results" / "sparse_images.json"
PICTURES = "convolutions", "dense", "local", "strided", "fixed", "strided, stride 7"
PICTURES += (
    "strided, stride 7, true places",
)  # a control: only the keys are those of stride 7
LEVELS, STEPS, SEEDS = 4, 400, range(4)
HALF, SYMBOLS, COPY_STEPS, COPY_STRIDE = 16, 4, 600, 6


def pictures(name: str):
    """The maker of a model for pixels."""
    if name == "convolutions":
        return lambda: CausalConvolutions(LEVELS)
    name, control, _ = name.partition(", true places")
    pattern, _, stride = name.partition(", stride ")

    def make():
        width = 8 if control else int(stride or 8)  # of rows and columns, as the model has them
        model = SparseTransformer(LEVELS, 64, pattern=pattern, stride=width)
        for layer in model.modules():
            if isinstance(layer, SparseSelfAttention):
                layer.stride = int(stride or 8)
        return model

    return make


COPIERS = {
    "dense": dict(pattern="dense"),
    "local": dict(pattern="local"),
    "strided, merged": dict(pattern="strided"),
    "strided, interleaved": dict(pattern="strided", way="interleaved"),
    "strided, split": dict(pattern="strided", way="split"),
    "fixed, merged": dict(pattern="fixed"),
    "fixed, merged, 3 summaries": dict(pattern="fixed", summaries=3),
    "fixed, merged, 3 layers, 4 heads": dict(pattern="fixed", layers=3, heads=4),
}


def copier(**settings):
    """The maker of a model for copies."""
    return lambda: SparseTransformer(SYMBOLS, 2 * HALF, stride=COPY_STRIDE, **settings)


def main(keep: bool) -> None:
    """Train everything and write down what came out."""
    torch.set_num_threads(1)
    train, test = pixel_streams(LEVELS), pixel_streams(LEVELS, test=True)
    found = {
        "levels": LEVELS,
        "steps": STEPS,
        "independent": round(bits_of_independent_pixels(train, test, LEVELS), 4),
        "pictures": {},
        "half": HALF,
        "symbols": SYMBOLS,
        "copy_steps": COPY_STEPS,
        "copies": {},
        "seeds": list(SEEDS),
        "hardware": f"{platform.processor() or platform.machine()}, one thread",
        "versions": {"torch": torch.__version__},
    }
    if keep and OUT.is_file():
        found |= json.loads(OUT.read_text(encoding="utf-8"))
    for name in PICTURES:
        if name in found["pictures"]:
            continue
        row = {"train": [], "test": [], "seconds": []}
        for seed in SEEDS:
            start = time.process_time()
            model = learn_pictures(pictures(name), seed, LEVELS, STEPS)
            row["seconds"].append(round(time.process_time() - start, 1))
            row["train"].append(round(bits(model, train), 4))
            row["test"].append(round(bits(model, test), 4))
        row["weights"] = sum(p.numel() for p in model.parameters())
        found["pictures"][name] = row
        print(name, row, flush=True)
        OUT.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    for name, settings in COPIERS.items():
        if name in found["copies"]:
            continue
        row = {"right": [], "seconds": []}
        for seed in SEEDS:
            start = time.process_time()
            model = learn_to_copy(copier(**settings), seed, HALF, SYMBOLS, COPY_STEPS)
            row["seconds"].append(round(time.process_time() - start, 1))
            torch.manual_seed(1000)
            row["right"].append(round(right(model, copies(500, HALF, SYMBOLS), HALF), 3))
        found["copies"][name] = row
        rows = [*found["pictures"].values(), *found["copies"].values()]
        found["minutes"] = round(sum(sum(row["seconds"]) for row in rows) / 60, 1)
        print(name, row, flush=True)
        OUT.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--keep", action="store_true", help="train only what is missing")
    main(parser.parse_args().keep)
