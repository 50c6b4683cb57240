"""The course in order: its chapters, and every exercise by its id. The one list.

Notebooks, checks, hints, tests and commands all start here. An exercise `channel.squeeze` has
its record in `attncourse/exercises/channel/squeeze.py`, loaded when somebody asks for it.
"""

from dataclasses import dataclass
from functools import cache
from importlib import import_module
from typing import TYPE_CHECKING

from attncourse.errors import UnknownExercise, nearest

if TYPE_CHECKING:
    from attncourse.exercises.record import Exercise


@dataclass(frozen=True)
class Chapter:
    """One chapter: its name runs across `solutions`, `exercises`, `notebooks` and `tests`."""

    number: int
    name: str
    title: str
    writes: str  # what the learner writes, for the table of the README
    sees: str  # what the learner sees with it
    minutes: int
    exercises: tuple[str, ...]  # their names, in the order of the notebook

    @property
    def stem(self) -> str:
        """The file name of its notebook, without suffix: `01_scaled_dot_product`."""
        return f"{self.number:02}_{self.name}"

    @property
    def ids(self) -> tuple[str, ...]:
        """The ids of its exercises, in its order."""
        return tuple(f"{self.name}.{name}" for name in self.exercises)


CHAPTERS: tuple[Chapter, ...] = (
    Chapter(
        0,
        "shapes",
        "Shapes",
        "patches, tiles, pools and an einsum, in einops",
        "a photograph taken apart and put together again",
        60,
        (
            "strip",
            "patches",
            "mosaic",
            "pool",
            "enlarge",
            "channel_means",
            "grey",
            "similarity",
        ),
    ),
    Chapter(
        1,
        "scaled_dot_product",
        "Scaled dot-product attention",
        "softmax, additive and dot-product scores, masks, attention",
        "a photograph whose patches denoise each other",
        120,
        (
            "softmax",
            "additive_attention",
            "dot_product_scores",
            "causal_mask",
            "padding_mask",
            "attention_weights",
            "scaled_dot_product_attention",
        ),
    ),
    Chapter(
        2,
        "multi_head",
        "Multi-head attention",
        "heads split and merged, self- and cross-attention",
        "a task that one head cannot solve and two can",
        90,
        (
            "split_heads",
            "merge_heads",
            "multi_head_attention",
            "parameters",
            "multiply_adds",
        ),
    ),
    Chapter(
        3,
        "positional",
        "Positions",
        "sinusoidal, learned, relative and rotary positions, skewing, CoordConv",
        "who still finds a neighbour in a longer sequence, and why",
        180,
        (
            "sinusoidal",
            "learned_positions",
            "relative_index",
            "relative_attention",
            "skew",
            "relative_logits",
            "rotary",
            "rotary_attention",
            "sinusoidal_2d",
            "coord_conv",
        ),
    ),
    Chapter(
        4,
        "transformer",
        "The Transformer",
        "encoder and decoder, label smoothing, warm-up, greedy and beam decoding, a cache",
        "dates that are translated, and where the model looks for each figure",
        240,
        (
            "feed_forward",
            "residual",
            "encoder_layer",
            "decoder_layer",
            "transformer",
            "parameters",
            "label_smoothing_loss",
            "learning_rate",
            "greedy",
            "length_penalty",
            "beam_step",
            "attend_and_remember",
        ),
    ),
    Chapter(
        5,
        "channel",
        "Channel attention",
        "squeeze-and-excitation, its four placements, gather-excite, ECA",
        "gains that undo a change of light, and the papers' tables coming out",
        120,
        (
            "squeeze",
            "squeeze_excite",
            "added_parameters",
            "residual",
            "placement_of",
            "gather",
            "gather_excite",
            "eca",
        ),
    ),
    Chapter(
        6,
        "spatial",
        "Spatial attention",
        "CBAM's two gates and their order, BAM, SResNet's layer, GALA, Grad-CAM",
        "a task that needs both what and where, and what a network looks at in clutter",
        150,
        (
            "channel_gate",
            "spatial_gate",
            "cbam",
            "channel_branch",
            "spatial_branch",
            "bam",
            "spatial_layer",
            "gala",
            "grad_cam",
        ),
    ),
    Chapter(
        7,
        "non_local",
        "Non-local and dual attention",
        "the non-local block in four forms, DANet's position and channel attention, its head",
        "maps that can only be read by their legend, and which pixel looks where",
        150,
        (
            "mean_iou",
            "gaussian_weights",
            "dot_product_mixture",
            "concatenation_weights",
            "non_local",
            "multiply_adds",
            "position_attention",
            "channel_attention",
            "danet_head",
        ),
    ),
    Chapter(
        8,
        "relative_2d",
        "Relative positions in the plane",
        "relative logits gathered, skewed and as one product; the augmented convolution",
        "who finds a thing where it never was in training, and what memory that takes",
        150,
        (
            "gathered_logits",
            "axis_logits",
            "rel_to_abs",
            "relative_logits_1d",
            "relative_logits_2d",
            "relative_weights",
            "augmented_pair",
            "attention_widths",
            "attention_augmented_conv",
        ),
    ),
    Chapter(
        9,
        "stand_alone",
        "Stand-alone self-attention",
        "windows, local attention with relative embeddings, a stem, the cost law",
        "a network without convolutions, and what its windows can and cannot read",
        150,
        (
            "windows",
            "inside",
            "relative_embeddings",
            "local_weights",
            "local_attention",
            "stand_alone_self_attention",
            "multiply_adds",
            "largest_window",
            "spatial_values",
        ),
    ),
    Chapter(
        10,
        "sparse",
        "Sparse attention",
        "local, strided and fixed patterns, two hops, heads, attention in blocks",
        "who copies from far back, what memory allows, and digits drawn pixel by pixel",
        150,
        (
            "map_bytes",
            "local_mask",
            "strided_mask",
            "block_mask",
            "summary_mask",
            "reachable",
            "factorised_attention",
            "with_previous",
            "local_attention",
            "strided_attention",
        ),
    ),
    Chapter(
        11,
        "fast",
        "Fast attention",
        "online softmax, tiles, halos, a kernel in Triton, patterns for FlexAttention",
        "where the time goes on this machine, and how near to its floor one comes",
        300,
        (
            "online_softmax",
            "merge",
            "attention_by_tiles",
            "attention_gradients",
            "traffic",
            "floor_seconds",
            "halo_attention",
            "augmented_attention",
            "online_step",
            "local_mod",
            "sparse_mod",
            "relative_mod",
            "ratio",
        ),
    ),
    Chapter(
        12,
        "united",
        "Convolution and attention as one",
        "heads that are a convolution, ViT, Swin's windows, ConViT's gate, CoAtNet's kernel",
        "attention that computes a convolution up to a bound, and a gate that trains",
        270,
        (
            "offset_encoding",
            "shift_vectors",
            "leak",
            "attention_as_convolution",
            "patch_embedding",
            "grid_positions",
            "vision_transformer",
            "attention_distance",
            "split_windows",
            "shift_mask",
            "relative_bias_index",
            "shifted_window_attention",
            "gated_positional_attention",
            "relative_attention_2d",
        ),
    ),
    Chapter(
        13,
        "capstone",
        "Capstone",
        "the width for a budget, paired tests, a Pareto front, a detector",
        "one network with every mechanism at one budget, and which differences are real",
        240,
        (
            "stage_multiply_adds",
            "width_for",
            "paired_difference",
            "sign_test",
            "pareto_front",
            "box_iou",
            "anchors",
            "encode",
            "decode",
            "match",
            "focal_loss",
            "feature_pyramid",
            "non_maximum_suppression",
        ),
    ),
)


@cache
def exercises() -> "dict[str, Exercise]":
    """Every exercise by its id, in course order."""
    return {ex.id: ex for chapter in CHAPTERS for ex in of_chapter(chapter)}


def of_chapter(chapter: Chapter) -> "tuple[Exercise, ...]":
    """The exercises of one chapter, in its order."""
    return tuple(record(chapter, name) for name in chapter.exercises)


def exercise(id: str) -> "Exercise":
    """One exercise by its id. Raises UnknownExercise with the nearest id."""
    for chapter in CHAPTERS:
        if id in chapter.ids:
            return record(chapter, id.partition(".")[2])
    raise UnknownExercise(f'There is no exercise "{id}".{nearest(id, known_ids())}')


def known_ids() -> list[str]:
    """The id of every exercise, in course order; no record is loaded."""
    return [id for chapter in CHAPTERS for id in chapter.ids]


def record(chapter: Chapter, name: str) -> "Exercise":
    """The exercise of this name, from its file."""
    return import_module(f"attncourse.exercises.{chapter.name}.{name}").EXERCISE


def chapter(name: str) -> Chapter:
    """A chapter by its name, number or notebook stem: "shapes", "0", "00", "00_shapes"."""
    wanted = str(name).removesuffix(".ipynb")
    for one in CHAPTERS:
        if wanted in {one.name, str(one.number), f"{one.number:02}", one.stem}:
            return one
    raise UnknownExercise(
        f'There is no chapter "{name}".{nearest(wanted, (one.stem for one in CHAPTERS))}'
    )
