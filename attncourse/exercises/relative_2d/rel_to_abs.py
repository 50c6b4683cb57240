"""The skew: from one column an offset to one column a key, by padding and reshaping."""

import torch
from torch.nn import functional as F

from attncourse.exercises.edits import Wrong, wrong
from attncourse.exercises.record import Exercise, Trial
from solutions.relative_2d import offsets, rel_to_abs


def skew_trials():
    def trial(name, front="b", **sizes):
        r = 2 * sizes["i"] - 1
        return Trial(name, sizes | dict(r=r, j=sizes["i"]), dict(x=f"{front} i r"))

    return (
        trial("for 4 queries and 7 offsets", b=2, i=4),
        trial("with an axis of heads, 5 queries", "b head", b=2, head=3, i=5),
        trial("for one query", b=3, i=1),
    )


def instead(name: str, lines: str, message: str) -> Wrong:
    """What is written instead of both lines of the skew."""
    skew = (
        'line = rearrange(F.pad(x, (0, 1)), "... i r -> ... (i r)")[..., n - 1 : -1]\n'
        'return rearrange(line, "... (i r) -> ... i r", i=n)[..., :n]'
    )
    return wrong(name, skew, lines, message)


# fmt: off
PADDINGS = (
    wrong("padded_on_the_left", "(0, 1)", "(1, 0)",
          "You put the column of zeros on the left. It goes to the right, so that each row begins"
          " one step later than the one above: `F.pad(x, (0, 1))`."),
    wrong("offsets_reversed", "F.pad(x, ", "F.pad(x.flip(-1), ",
          "You read the offsets from the other end: i - j. Column r is the offset r - (n - 1), key"
          " minus query."),
    wrong("one_offset_too_far", "F.pad(x, ", "F.pad(x.roll(-1, -1), ",
          "You are one column late: the diagonal shows offset 1. Offset 0 is column n - 1."),
    wrong("one_offset_short", "F.pad(x, ", "F.pad(x.roll(1, -1), ",
          "You are one column early: the diagonal shows offset -1. Offset 0 is column n - 1."),
)

CUTS = (
    wrong("line_cut_late", "n - 1 : -1", "n:",
          "You cut the line one number late: the diagonal shows offset 1. It begins at number"
          " n - 1, where offset 0 of the first query stands."),
    wrong("first_columns_kept", "n - 1 : -1", ":-n",
          "After the reshape you keep the first n columns. The wanted ones are the last n: from"
          " column n - 1 on."),
    instead("first_row_dropped",
            'line = F.pad(rearrange(F.pad(x, (0, 1)), "... i r -> ... (i r)"), (0, n - 1))\n'
            'return rearrange(line, "... (i r) -> ... i r", r=r)[..., 1:, n - 1 :]',
            "After the reshape you drop the first row. It is the last that is too many: it holds"
            " padding."),
    instead("reshaped_without_padding", "return x.reshape(*x.shape[:-2], r, n)[..., :n, :]",
            "You reshape without padding: rows stay aligned as they were read, and numbers of"
            " different queries mix. One number more in each row makes each begin one step later."),
    instead("cut_into_rows_of_n",
            "return F.pad(x, (0, 1)).reshape(*x.shape[:-2], 2 * n, n)[..., :n, :]",
            "You pad and cut the line into rows of n: 2n of them, which mixes queries. Rows of"
            " 2n - 1 move each query by one."),
    instead("music_transformer",
            "line = F.pad(x[..., :n], (1, 0)).flatten(-2)\n"
            "return line.unflatten(-1, (n + 1, n))[..., 1:, :]",
            "You skew as in chapter 3, one-sided: with negative offsets only, and garbage above"
            " the diagonal. Here there are 2n - 1 offsets: later keys have columns of their own."),
)

MOVES = (
    instead("not_skewed", "return x[..., :n]",
            "Your rows are not moved: column r is still an offset. In row i key 0 is column"
            " n - 1 - i."),
    instead("not_skewed_from_the_middle", "return x[..., n - 1 :]",
            "You cut off the negative offsets and move nothing: in row i key 0 is column"
            " n - 1 - i."),
    instead("moved_the_other_way",
            "return torch.stack([x[..., i, i : i + n] for i in range(n)], -2)",
            "Your rows move the wrong way: row i begins at column i. It begins at column"
            " n - 1 - i: each row one further to the left."),
)

INDICES = (
    instead("one_column_late_at_most_the_last",
            "column = (offsets(n) + 1).clamp(max=r - 1)\n"
            "return x.gather(-1, column.expand(*x.shape[:-1], n))",
            "You are one column late, and cut off what is beyond the table: the diagonal shows"
            " offset 1. Offset 0 is column n - 1."),
    instead("one_column_early_at_least_the_first",
            "column = (offsets(n) - 1).clamp(min=0)\n"
            "return x.gather(-1, column.expand(*x.shape[:-1], n))",
            "You are one column early, and cut off what is before the table: the diagonal shows"
            " offset -1. Offset 0 is column n - 1."),
    instead("only_how_far_on_a_line",
            "column = (offsets(n) - (n - 1)).abs() + n - 1\n"
            "return x.gather(-1, column.expand(*x.shape[:-1], n))",
            "You take the absolute distance: left and right neighbours share a column. Column r is"
            " the offset r - (n - 1), with its sign."),
    instead("distances_from_column_0",
            "column = (offsets(n) - (n - 1)).abs()\n"
            "return x.gather(-1, column.expand(*x.shape[:-1], n))",
            "You take the absolute distance, counted from column 0. Column r is the offset r -"
            " (n - 1), with its sign."),
    instead("without_n_minus_1",
            "column = (offsets(n) - (n - 1)) % r\n"
            "return x.gather(-1, column.expand(*x.shape[:-1], n))",
            "You read column j - i: a negative index counts from the end, so the diagonal is the"
            " most negative offset. Column j - i + n - 1."),
    instead("queries_and_keys_mixed_up",
            "return x.gather(-1, offsets(n).mT.expand(*x.shape[:-1], n)).mT.contiguous()",
            "You take row j of x for query i: the number at offset j - i that the *key* gives. It"
            " is row i, the query's own."),
)

ENDS = (
    wrong("later_keys_alone", "i=n)[..., :n]", "i=n)[..., :n].triu()",
          "You set earlier keys to 0. In a picture all keys are there, before and after."),
    wrong("last_columns_kept", "i=n)[..., :n]", "i=n)[..., -n:]",
          "You keep the last n columns. After the cut, the first n are those of the keys."),
    wrong("earlier_keys_alone", "i=n)[..., :n]", "i=n)[..., :n].tril()",
          "You set later keys to 0, as in the Transformer's decoder. In a picture all keys are"
          " there."),
    wrong("keys_go_down", "i=n)[..., :n]", "i=n)[..., :n].mT",
          "Your rows are keys: j i. The queries go down, i j."),
    wrong("queries_turned", "i=n)[..., :n]", "i=n)[..., :n].flip(-2)",
          "Your queries are upside down: row i holds what belongs to query n - 1 - i."),
)
# fmt: on


def refuse_other(x):
    n, r = x.shape[-2:]
    if r != 2 * n - 1:
        raise ValueError(f"{n=} and {r=}")


def skew_by_gather(x):
    refuse_other(x)
    n = x.shape[-2]
    return x.gather(-1, offsets(n, x.device).expand(*x.shape[:-1], n))


def skew_by_rows(x):
    refuse_other(x)
    n = x.shape[-2]
    return torch.stack([x[..., i, n - 1 - i : 2 * n - 1 - i] for i in range(n)], dim=-2)


def skew_as_in_the_paper(x):
    refuse_other(x)
    n = x.shape[-2]
    flat = F.pad(F.pad(x, (0, 1)).reshape(*x.shape[:-2], -1), (0, n - 1))
    return flat.reshape(*x.shape[:-2], n + 1, 2 * n - 1)[..., :n, n - 1 :]


def other_tables():
    return (
        Trial("4 queries and 6 offsets", dict(b=2), dict(x="b 4 6"), says=(4, 6)),
        Trial("3 queries and 8 offsets", dict(b=2), dict(x="b 3 8"), says=(3, 8)),
    )


EXERCISE = Exercise(
    id="relative_2d.rel_to_abs",
    solution=rel_to_abs,
    probes={"rel_to_abs": "b i j"},
    trials=skew_trials,
    slips=(*PADDINGS, *CUTS, *MOVES, *INDICES, *ENDS),
    hints=(
        (
            "Write the offsets of three queries into their cells: -2 -1 0 1 2 in each row."
            " Which three belong to row 0, which to row 1, which to row 2?"
        ),
        (
            "Row i begins at column n - 1 - i: one further left in each row. Read the table"
            " as one long line. With one number more in each row, a step of 2n instead of"
            " 2n - 1, cutting the line every 2n - 1 numbers moves each row by one."
        ),
        (
            "F.pad(x, (0, 1)), read as one line\n"
            "from number n - 1 on, without the last one, cut into n rows\n"
            "the first n columns of that"
        ),
    ),
    minutes=12,
    difficulty=3,
    otherwise=(skew_by_gather, skew_by_rows, skew_as_in_the_paper),
    laws=("examples_do_not_mix",),
    refuses=other_tables,
    tied=("i j",),
)
