"""Which learning rate chapter 6 trains with, chosen where the chapter does not look.

    python benchmarks/spatial_rates.py    writes results/spatial_rates.json

CBAM in its three orders on the task of `attncourse.tasks.spatial`, with three learning rates
and three seeds each, judged on images for validation. The chapter shows other seeds and images.
"""

import json
import platform
import statistics
import time
from functools import partial
from pathlib import Path

import torch

from attncourse.tasks import spatial as tasks
from solutions.spatial import CBAM

OUT = Path(__file__).parent.parent / "results" / "spatial_rates.json"
RATES, SEEDS, IMAGES, STEPS = (5e-3, 1e-2, 2e-2), (100, 101, 102), 5000, 600


def main() -> None:
    """Train all, keep what came out, and the rate whose nine runs have the best mean."""
    torch.set_num_threads(1)
    begin, runs = time.time(), []
    for order in CBAM.ORDERS:
        for rate in RATES:
            for seed in SEEDS:
                make = partial(CBAM, 8, 1, order=order)
                reader = tasks.train_reader(make, seed, steps=STEPS, rate=rate)
                right = tasks.accuracy(reader, images=IMAGES)
                runs.append(dict(order=order, rate=rate, seed=seed, right=round(right, 4)))
                print(runs[-1], flush=True)

    mean = {
        rate: statistics.mean(run["right"] for run in runs if run["rate"] == rate)
        for rate in RATES
    }
    kept = dict(
        settings=dict(rates=RATES, images=IMAGES, steps=STEPS, batch=32),
        seeds=SEEDS,
        versions=dict(python=platform.python_version(), torch=torch.__version__),
        hardware=dict(processor=platform.machine(), threads=1),
        minutes=round((time.time() - begin) / 60, 1),
        runs=runs,
        chosen=max(mean, key=mean.get),
    )
    OUT.write_text(json.dumps(kept, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
