"""CIFAR-10 in miniature: the files of the official layout, with a few pictures each."""

import numpy as np

from attncourse.tasks.cifar10 import BATCHES


def made_up(seed, count):
    """Rows as in a batch: red, green and blue planes of 32 x 32 bytes."""
    random = np.random.default_rng(seed)
    rows = random.integers(0, 256, (count, 3072), dtype=np.uint8)
    return rows, random.integers(0, 10, count).tolist()


NAMES = "airplane automobile bird cat deer dog frog horse ship truck".split()


def batches(count=3):
    """The files of the official layout, small."""
    stored = {}
    for seed, name in enumerate([*BATCHES["train"], *BATCHES["test"]]):
        rows, labels = made_up(seed, count)
        stored[name] = {"batch_label": name, "data": rows, "labels": labels}
    stored["batches.meta"] = {"label_names": NAMES, "num_vis": 3072}
    return stored
