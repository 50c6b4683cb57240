"""The proof as a layer: a head for each place of the kernel."""

import torch
from einops import rearrange
from torch.nn import functional as F

from attncourse.exercises.edits import often, same, wrong
from attncourse.exercises.record import Exercise, Trial
from solutions.united.as_convolution import (
    attention_as_convolution,
    offset_encoding,
    shift_vectors,
)


def attention_trials():
    def trial(name, window, sharpness, **sizes):
        sizes |= dict(dy=window, dx=window)
        inputs = dict(x="b c h w", kernel="f c dy dx", sharpness=sharpness)
        return Trial(name, sizes, inputs)

    return (
        trial("with sharp heads, window = 3", 3, 9.0, b=2, c=4, f=5, h=11, w=7),
        trial("with dull heads, window = 3", 3, 0.5, b=2, c=5, f=4, h=6, w=7),
        trial("for window = 5", 5, 2.0, b=3, c=2, f=4, h=6, w=7),
        trial("for window = 1", 1, 1.0, b=2, c=3, f=7, h=4, w=5),
    )


def even_kernels():
    sizes = dict(b=2, c=3, f=5, h=6, w=7)
    inputs = dict(x="b c h w", kernel="f c 4 4", sharpness=2.0)
    return (Trial("an even kernel", sizes, inputs, says=(4,)),)


# fmt: off
HEADS = (
    *often(
        wrong("without_the_edge", "F.pad(x, 4 * (reach,))", "x",
              "Your keys are the pixels of the picture alone: at the edges a head reads the nearest"
              " pixel instead of 0. Pad the values, and let the offsets have the same reach.",
              ("*x.shape[-2:], reach", "*x.shape[-2:]")),
        wrong("kernel_turned", "rearrange(kernel, \"f c dy dx -> (dy dx) f c\")",
              "rearrange(kernel.flip(-1, -2), \"f c dy dx -> (dy dx) f c\")",
              "You turn the kernel round, as mathematicians do. In deep learning place 0, 0 of the"
              " kernel meets the pixel above and to the left."),
        wrong("places_in_columns", "-> (dy dx) f c", "-> (dx dy) f c",
              "The heads' matrices are in order of columns, their shifts in order of rows: (dy"
              " dx)."),
        wrong("edge_repeated", "F.pad(x, 4 * (reach,))", "F.pad(x, 4 * (reach,), mode=\"replicate\")",
              "Beyond the edges you repeat the last pixel. A convolution with padding reads zeros"
              " there."),
    ),
    wrong("no_softmax", "logits.softmax(-1)", "logits",
          "The softmax is missing: logits are no weights."),
    wrong("softmax_over_queries", "logits.softmax(-1)", "logits.softmax(-2)",
          "Your softmax is over the queries. A query shares its weight among the keys j: the last"
          " axis."),
    wrong("softmax_over_heads", "logits.softmax(-1)", "logits.softmax(0)",
          "Your softmax is over the heads. Each head shares its weight among the keys j."),
    wrong("convolution_itself", "return rearrange(y, \"b f (h w) -> b f h w\", h=x.shape[-2])",
          "return F.conv2d(x, kernel, padding=reach)",
          "You return the convolution. It is what attention comes to when the heads are sharp; with"
          " a finite sharpness the two differ, and by how much is the point."),
    wrong("scaled", "logits.softmax(-1)", "(logits / 3**0.5).softmax(-1)",
          "You divide the logits by the square root of 3. Here nothing is scaled: sharpness is the"
          " scale."),
    wrong("mean_of_heads", "return rearrange(y, \"b f (h w) -> b f h w\", h=x.shape[-2])",
          "return rearrange(y / window**2, \"b f (h w) -> b f h w\", h=x.shape[-2])",
          "You take the mean over the heads. What they read is summed, each with its own matrix."),
)

WAYS = (
    same("einsum(matrices, read, \"head f c, b head i c -> b f i\")",
         "(rearrange(read, \"b head i c -> head b i c\") @ rearrange(matrices, \"head f c -> head 1 c f\")).sum(0).mT"),
)
# fmt: on


def refuse_even(kernel):
    if kernel.shape[-1] % 2 == 0:
        raise ValueError(f"a kernel of {kernel.shape[-1]} has no middle")


def attention_by_heads(x, kernel, sharpness):
    refuse_even(kernel)
    window = kernel.shape[-1]
    reach = window // 2
    h, w = x.shape[-2:]
    keys = F.pad(x, (reach, reach, reach, reach)).flatten(2).mT
    offset = offset_encoding(h, w, reach).to(x)
    y = 0
    for head, vector in enumerate(shift_vectors(window, sharpness).to(x)):
        read = torch.softmax(offset @ vector, dim=-1) @ keys
        dy, dx = divmod(head, window)
        y = y + read @ kernel[:, :, dy, dx].T
    return y.mT.unflatten(-1, (h, w))


def attention_by_gaussians(x, kernel, sharpness):
    """A head's weights are a product of those of its rows and of its columns."""
    refuse_even(kernel)
    window = kernel.shape[-1]
    reach = window // 2

    def along(n):
        place = torch.arange(-reach, n + reach)
        wanted = torch.arange(n)[None] + torch.arange(-reach, reach + 1)[:, None]
        away = (place - wanted[..., None]).to(x)
        return (-sharpness * away**2).softmax(-1)  # d i j

    padded = F.pad(x, (reach, reach, reach, reach))
    down, across = along(x.shape[-2]), along(x.shape[-1])
    read = torch.einsum("ayv,ezu,bcvu->baecyz", down, across, padded)
    return rearrange(torch.einsum("fcae,baecyz->bfyz", kernel, read), "b f y z -> b f y z")


EXERCISE = Exercise(
    id="united.attention_as_convolution",
    solution=attention_as_convolution,
    probes={"attention_as_convolution": "b f h w"},
    trials=attention_trials,
    slips=(*HEADS, *WAYS),
    hints=(
        "How many heads does a 3 x 3 kernel need, and which matrix does each of them have?",
        "Logits are products of `shift_vectors` and `offset_encoding`, head i j. The values are the"
        " pixels of the padded picture themselves. What head (dy dx) reads goes through the matrix"
        " kernel[:, :, dy, dx], and the heads are summed.",
        "ValueError for an even window; reach = window // 2\n"
        "weights = softmax over j of vectors · offsets (with reach), head i j\n"
        "v = the padded picture as b (y x) c\n"
        "y = Σ over heads of (weights v) times its matrix f c, b f (h w)",
    ),
    minutes=15,
    difficulty=3,
    otherwise=(attention_by_heads, attention_by_gaussians),
    refuses=even_kernels,
    laws=("examples_do_not_mix",),
    tied=("dy dx",),
)
