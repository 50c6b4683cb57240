"""The record of `sparse.map_bytes`."""

import math

import torch

from attncourse.exercises.families import family
from attncourse.exercises.record import Exercise, Trial
from attncourse.exercises.sparse.shared import NO_TENSORS
from solutions.sparse import (
    map_bytes,
)


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


def whole(n):
    return n * n


def four(layers, heads):
    return 4


def all_layers(layers, recompute):
    return 1 if recompute else layers


def all_heads(heads):
    return heads


def bytes_recipe(sizing=whole, weighing=four, keeping=all_layers, heading=all_heads):
    """`map_bytes` with some of its steps replaced."""

    def answer(n, layers, heads, recompute=False):
        return sizing(n) * weighing(layers, heads) * keeping(layers, recompute) * heading(heads)

    return answer


def tokens_once(n):
    """n comes in once. A map has a number for every query and every key: n²."""
    return n


def half_the_map(n):
    """You count the keys up to the query alone, about half of the map. Dense attention builds
    it all and masks it afterwards: n²."""
    return n * (n + 1) // 2


def root(n):
    """That is sparse attention already, n sqrt(n). Dense attention has n² numbers a map."""
    return n * math.isqrt(n)


def numbers_not_bytes(layers, heads):
    """You count numbers. Each takes 4 bytes."""
    return 1


def two_bytes(layers, heads):
    """You get half of it. A number has 4 bytes, not 2; and the map is built whole, though half
    of it is masked."""
    return 2


def bits_not_bytes(layers, heads):
    """You take 32 a number: those are bits. It is 4 bytes."""
    return 32


def eight_bytes(layers, heads):
    """You take 8 bytes a number. Single precision has 4."""
    return 8


def recompute_ignored(layers, recompute):
    """`recompute` changes nothing in yours. With it, the maps of one layer are kept at a
    time."""
    return layers


def recompute_inverted(layers, recompute):
    """`recompute` works the wrong way round: with it, one layer is kept, without it all."""
    return layers if recompute else 1


def one_layer(layers, recompute):
    """`layers` is not used: without `recompute` the maps of every layer are kept for the way
    back."""
    return 1


def nothing_kept(layers, recompute):
    """With `recompute` you keep nothing. While a layer is made anew, its own maps are there."""
    return 0 if recompute else layers


def one_head(heads):
    """`heads` is not used. Every head has a map of its own."""
    return 1


def root_of_layers(layers, recompute):
    """With `recompute` you keep sqrt(layers) of them: that is another scheme. Here the maps of
    one layer are kept at a time."""
    return int(layers**0.5) if recompute else layers


def one_head_made_anew(n, layers, heads, recompute=False):
    """With `recompute` you keep one head. The heads of a layer are there at the same time."""
    return (1 if recompute else layers * heads) * n**2 * 4


def in_mebibytes(n, layers, heads, recompute=False):
    """You return MiB. Bytes are asked for."""
    return map_bytes(n, layers, heads, recompute) // 2**20


def with_decimals(n, layers, heads, recompute=False):
    """You return a float. Bytes are counted: a whole number."""
    return float(map_bytes(n, layers, heads, recompute))


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
    slips=(
        *family(
            bytes_recipe,
            sizing=(tokens_once, half_the_map, root),
            weighing=(numbers_not_bytes, two_bytes, bits_not_bytes, eight_bytes),
            keeping=(
                recompute_ignored,
                recompute_inverted,
                one_layer,
                nothing_kept,
                root_of_layers,
            ),
            heading=(one_head,),
        ),
        one_head_made_anew,
        in_mebibytes,
        with_decimals,
    ),
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
