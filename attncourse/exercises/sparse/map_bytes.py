"""How many bytes the maps of dense attention take while training."""

import math

import torch

from attncourse.exercises.edits import often, wrong
from attncourse.exercises.record import Exercise, Trial
from attncourse.exercises.sparse.shared import NO_TENSORS
from solutions.sparse import map_bytes


def bytes_trials():
    chosen = ((1024, 64, 4, False), (1024, 64, 4, True), (3072, 5, 3, False), (700, 2, 7, True))
    return tuple(
        Trial(
            f"for {n} tokens, {layers} layers, {heads} heads, recompute={recompute}",
            {},
            dict(n=n, layers=layers, heads=heads, recompute=recompute),
        )
        for n, layers, heads, recompute in chosen
    )


# fmt: off
SIZES = often(
    wrong("tokens_once", "n**2", "n",
          "n comes in once. A map has a number for every query and every key: n²."),
    wrong("half_the_map", "n**2", "(n * (n + 1) // 2)",
          "You count the keys up to the query alone, about half of the map. Dense attention builds"
          " it all and masks it afterwards: n²."),
    wrong("root", "n**2", "n * math.isqrt(n)",
          "That is sparse attention already, n sqrt(n). Dense attention has n² numbers a map."),
)

NUMBERS = often(
    wrong("numbers_not_bytes", " * 4", "",
          "You count numbers. Each takes 4 bytes."),
    wrong("two_bytes", "* 4", "* 2",
          "You get half of it. A number has 4 bytes, not 2; and the map is built whole, though half"
          " of it is masked."),
    wrong("bits_not_bytes", "* 4", "* 32",
          "You take 32 a number: those are bits. It is 4 bytes."),
    wrong("eight_bytes", "* 4", "* 8",
          "Your map takes twice as much: 8 bytes a number, where single precision has 4, or two"
          " maps."),
)

LAYERS = often(
    wrong("recompute_ignored", "1 if recompute else layers", "layers",
          "`recompute` changes nothing in yours. With it, the maps of one layer are kept at a"
          " time."),
    wrong("recompute_inverted", "1 if recompute else layers", "layers if recompute else 1",
          "`recompute` works the wrong way round: with it, one layer is kept, without it all."),
    wrong("one_layer", "1 if recompute else layers", "1",
          "`layers` is not used: without `recompute` the maps of every layer are kept for the way"
          " back."),
    wrong("nothing_kept", "1 if", "0 if",
          "With `recompute` you keep nothing. While a layer is made anew, its own maps are there."),
    wrong("root_of_layers", "1 if", "math.isqrt(layers) if",
          "With `recompute` you keep sqrt(layers) of them: that is another scheme. Here the maps of"
          " one layer are kept at a time."),
)

HEADS = (
    *often(
        wrong("one_head", "* heads ", "",
              "`heads` is not used. Every head has a map of its own."),
    ),
    wrong("one_head_made_anew", "else layers", "else layers * heads",
          "With `recompute` you keep one head. The heads of a layer are there at the same time.",
          ("kept * heads", "kept")),
    wrong("in_mebibytes", "* 4", "* 4 // 2**20",
          "You return MiB. Bytes are asked for."),
)
# fmt: on


def bytes_by_shape(n, layers, heads, recompute=False):
    shape = (1 if recompute else layers, heads, n, n)
    return math.prod(shape) * torch.finfo(torch.float32).bits // 8


def bytes_by_meta(n, layers, heads, recompute=False):
    one = torch.empty(heads, n, n, device="meta")
    total = one.numel() * one.element_size()
    return total if recompute else total * layers


EXERCISE = Exercise(
    id="sparse.map_bytes",
    solution=map_bytes,
    probes={"map_bytes": ""},
    trials=bytes_trials,
    slips=(*SIZES, *NUMBERS, *LAYERS, *HEADS),
    hints=(
        "How many numbers has the map of one head of one layer?",
        "n² numbers of 4 bytes, for each head of each layer that is kept: all, or one.",
        "kept = 1 if recompute else layers\nkept * heads * n² * 4",
    ),
    minutes=4,
    difficulty=1,
    otherwise=(bytes_by_shape, bytes_by_meta),
    skip=NO_TENSORS,
)
