"""Slips of several exercises of the chapter: spatial."""

from attncourse.exercises.edits import often, wrong

# fmt: off
SQUASHES = often(
    wrong("no_sigmoid", ".sigmoid()", "",
          "The sigmoid is missing: your gains are any numbers. They are between 0 and 1."),
)

LIFTS = (
    wrong("shifted_sigmoid", ".sigmoid()", ".sigmoid() + 1",
          "You add 1 to the sigmoid, as BAM does. Here the gains are between 0 and 1."),
)

SCALES = often(
    wrong("residual_added", "return x * ", "return x + x * ",
          "You add x to the scaled x. The gain is all: y = s x."),
)
# fmt: on

SQUASHED_EARLY = (
    "You squash by a sigmoid here. The branch returns logits: the sigmoid comes after the two"
    " branches are added."
)
