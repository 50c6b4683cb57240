"""Numbers in words, English and German: a text that a small translator can learn."""

import random

from attncourse.tasks.text import Pairs
from attncourse.training.translation.options import Options
from attncourse.training.translation.running import TEST

ENGLISH = "one two three four five six seven eight nine ten".split()
GERMAN = "eins zwei drei vier fünf sechs sieben acht neun zehn".split()
OPTIONS = Options(
    source="en",
    target="de",
    epochs=2,
    patience=9,
    watch="loss",
    seed=0,
    dim=32,
    heads=2,
    hidden=32,
    layers=1,
    norm="pre",
    dropout=0.1,
    smoothing=0.1,
    vocabulary=60,
    tokens=200,
    warmup=40,
    longest=80,
    precision="float32",
    beam=2,
    alpha=0.6,
    save_every=3,
)


def counted(examples, seed):
    """Numbers in words, from three to six of them, in both languages."""
    choose = random.Random(seed)
    rows = [choose.choices(range(10), k=choose.randint(3, 6)) for _ in range(examples)]
    return Pairs(
        *([" ".join(names[i] for i in row) for row in rows] for names in (ENGLISH, GERMAN))
    )


def write_text(place, train, rest):
    """A folder of parallel text, with so many pairs to train on, and for the rest."""
    place.mkdir()
    for seed, (split, examples) in enumerate((("train", train), ("val", rest), (TEST, rest))):
        for language, lines in zip(("en", "de"), counted(examples, seed), strict=True):
            path = place / f"{split}.{language}"
            path.write_text("\n".join(lines) + "\n", encoding="utf-8", newline="\n")
    return place
