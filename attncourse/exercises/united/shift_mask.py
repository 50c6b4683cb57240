"""Who may see whom in a window that the roll has put together."""

import torch

from attncourse.exercises.edits import often, wrong
from attncourse.exercises.record import Exercise, Trial
from solutions.united.windows import shift_mask, split_windows


def mask_trials():
    def trial(h, w, window, shift):
        name = f"on {h} x {w} tokens, windows of {window}, shifted by {shift[0]} and {shift[1]}"
        sizes = dict(win=(h // window) * (w // window), i=window**2, j=window**2)
        return Trial(name, sizes, dict(height=h, width=w, window=window, shift=shift))

    return (
        trial(8, 12, 4, (2, 1)),
        trial(9, 6, 3, (1, 2)),
        trial(4, 8, 4, (0, 3)),
        trial(6, 4, 2, (0, 0)),
    )


# fmt: off
LABELS = (
    *often(
        wrong("rows_alone", "came = rearrange(down, \"h -> h 1\") + 2 * rearrange(across, \"w -> 1 w\")",
              "came = rearrange(down, \"h -> h 1\") + 0 * rearrange(across, \"w -> 1 w\")",
              "You ask for the rows alone. Columns have been rolled too."),
        wrong("one_off", "torch.arange(height) >= height - shift[0]", "torch.arange(height) > height - shift[0]",
              "You are one row off: the last `shift` rows came from the other edge, from height -"
              " shift on."),
    ),
    wrong("same_label_for_both", "2 * rearrange(across, \"w -> 1 w\")", "1 * rearrange(across, \"w -> 1 w\")",
          "What came around the top edge and what came around the left one have the same label, so"
          " they see each other. Four parts need four labels."),
    wrong("one_edge_is_enough", "return label == rearrange(label, \"win j 1 -> win 1 j\")",
          "other = rearrange(label, \"win j 1 -> win 1 j\")\n"
          "return (label % 2 == other % 2) | (label // 2 == other // 2)",
          "You let two see each other where one of the edges is not between them. Neither the upper"
          " nor the left one may be: `&`, not `|`."),
    wrong("one_row_more", "torch.arange(height) >= height - shift[0]", "torch.arange(height) >= height - shift[0] - 1",
          "Your border is one off: the last `shift` rows and columns came from the other edge, from"
          " height - shift on.",
          ("torch.arange(width) >= width - shift[1]", "torch.arange(width) >= width - shift[1] - 1")),
    wrong("one_row_less", "torch.arange(height) >= height - shift[0]", "torch.arange(height) > height - shift[0]",
          "Your border is one off: the last `shift` rows and columns came from the other edge, from"
          " height - shift on.",
          ("torch.arange(width) >= width - shift[1]", "torch.arange(width) > width - shift[1]")),
    wrong("windows_before_the_roll", "return label == rearrange(label, \"win j 1 -> win 1 j\")",
          "y = (torch.arange(height) + shift[0]) % height // window\nx = (torch.arange(width) + shift[1]) % width // window\n"
          "old = rearrange(y, \"h -> h 1\") * width + rearrange(x, \"w -> 1 w\")\n"
          "old = split_windows(rearrange(old, \"h w -> 1 h w 1\"), window)[0]\n"
          "return old == rearrange(old, \"win j 1 -> win 1 j\")",
          "Only tokens that shared a window before the roll see each other with you: then the shift"
          " connects nothing. Hide only what an edge of the map has come between."),
    wrong("or_for_both", "rearrange(down, \"h -> h 1\") + 2 * rearrange(across, \"w -> 1 w\")",
          "(rearrange(down, \"h -> h 1\") | rearrange(across, \"w -> 1 w\")).long()",
          "You have two labels: came around an edge, or not. What came around the top edge and"
          " what came around the left one must not see each other either: four labels."),
    wrong("hidden_for_seen", "label == rearrange", "label != rearrange",
          "Yours is True where nobody may look. A mask is True where a query may attend."),
    wrong("rolled_down", "torch.arange(height) >= height - shift[0]", "torch.arange(height) < shift[0]",
          "You mark the first rows. The map was rolled up: what came from the other edge stands at"
          " the end.",
          ("torch.arange(width) >= width - shift[1]", "torch.arange(width) < shift[1]")),
    wrong("shifts_exchanged", "height - shift[0]", "height - shift[1]",
          "Rows and columns of the shift are exchanged: (rows, columns).",
          ("width - shift[1]", "width - shift[0]")),
    wrong("window_for_shift", "height - shift[0]", "height - window",
          "You mark the whole last windows. Within them the border lies `shift` before the end.",
          ("width - shift[1]", "width - window")),
)
# fmt: on


def mask_by_places(height, width, window, shift):
    """Two tokens were near before the roll if they were less than a window apart."""
    y, x = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    places = torch.stack([y, x], -1).roll((-shift[0], -shift[1]), (0, 1))
    tokens = split_windows(places[None], window)[0]
    away = (tokens[:, :, None] - tokens[:, None]).abs()
    return (away < window).all(-1)


def mask_by_slices(height, width, window, shift):
    label = torch.zeros(1, height, width, 1)
    if shift[0]:
        label[:, -shift[0] :] += 1
    if shift[1]:
        label[:, :, -shift[1] :] += 5
    cut = split_windows(label, window)[0].squeeze(-1)
    return cut.unsqueeze(1) - cut.unsqueeze(2) == 0


EXERCISE = Exercise(
    id="united.shift_mask",
    solution=shift_mask,
    probes={"shift_mask": "win i j"},
    trials=mask_trials,
    slips=LABELS,
    hints=(
        "After the roll, which rows of the map stand next to rows that they were never near?",
        "The last `shift[0]` rows came from the top, the last `shift[1]` columns from the left:"
        " that makes four parts of the map. Within a window, tokens of one part may see each"
        " other.",
        "down = row number >= height - shift[0]; across the same of columns\n"
        "a label for each token: down + 2 across, as a map 1 h w 1\n"
        "split_windows of it; True where the labels of i and j are equal",
    ),
    minutes=10,
    difficulty=3,
    otherwise=(mask_by_places, mask_by_slices),
    skip=frozenset({"gradients", "large"}),
    tied=("i j",),
)
