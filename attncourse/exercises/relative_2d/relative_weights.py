"""The attention map with relative positions: a key is scored by what it holds and by where it is."""

from torch.nn import functional as F

from attncourse.exercises.edits import often, same, wrong
from attncourse.exercises.record import Exercise, Trial
from attncourse.exercises.relative_2d.shared import weights_late_scale
from solutions.relative_2d import augmented_pair, relative_logits_2d, relative_weights


def weight_trials():
    def trial(name, places=True, **sizes):
        inputs = dict(q="b head h w d", k="b head h w d")
        inputs |= dict(rows="r d", columns="s d") if places else {}
        h, w = sizes["h"], sizes["w"]
        sizes |= dict(r=2 * h - 1, s=2 * w - 1) if places else {}
        return Trial(name, sizes | dict(i=h * w, j=h * w), inputs)

    return (
        trial("on a map of 2 x 5 pixels", b=7, head=11, h=2, w=5, d=13),
        trial("on a map of 4 x 3 pixels", b=2, head=1, h=4, w=3, d=8),
        trial("without tables", False, b=2, head=3, h=4, w=5, d=7),
    )


# fmt: off
LATE = same("q = q / math.sqrt(q.shape[-1])\ni, j", "i, j",
            ("scores.softmax(-1)", "(scores / math.sqrt(q.shape[-1])).softmax(-1)"))

CONTENTS = (
    wrong("keys_flattened_column_by_column", "in (q, k)", "in (q, k.transpose(-3, -2))",
          "You flatten the keys column by column, (x y), and the queries row by row. Both are read"
          " row by row."),
    wrong("keys_ask", "q = q / math.sqrt(q.shape[-1])", "q, k = k / math.sqrt(q.shape[-1]), q",
          "q and k have changed roles: your rows belong to the keys. The query asks: it is q that"
          " is divided and that meets the tables."),
    wrong("place_alone", "scores = einsum", "scores = 0 * einsum",
          "What the keys hold plays no part: q · k is missing."),
)

PLACES = (
    *often(
        wrong("places_of_k", "logits(q,", "logits(k,",
              "You ask the tables with k. It is the query that knows how far it wants to look: q."),
        wrong("tables_turned", "rows, columns)", "rows.flip(0), columns.flip(0))",
              "Your tables are read from the other end: i - j. An offset is key minus query."),
    ),
    wrong("places_missing",
          "if rows is not None:\n    scores = scores + logits(q, rows, columns)\n", "",
          "The places are missing: you score keys by what they hold alone. Add `logits(q, rows,"
          " columns)`."),
    wrong("place_columns_missing", "rows, columns)", "rows, 0 * columns)",
          "The columns are missing in the places: only rows are told apart."),
    wrong("place_rows_missing", "rows, columns)", "0 * rows, columns)",
          "The rows are missing in the places: only columns are told apart."),
    wrong("places_transposed", "rows, columns)", "rows, columns).mT",
          "The map of the position scores is turned, j i. Its rows are queries, like those of q kᵀ: no"
          " transpose."),
    wrong("places_of_both", "logits(q,", "logits(q + k,",
          "You ask the tables with q and with k. The query alone knows where it looks: q."),
    wrong("places_by_the_key_turned", "logits(q, rows, columns)", "logits(k, rows, columns).mT",
          "You ask the tables with k and turn the result: the key then says where it wants to be"
          " seen from. It is the query that knows where it looks: logits(q, …)."),
    wrong("places_for_one_head", "scores = scores + logits(q,", "scores[:, :1] += logits(q[:, :1],",
          "Only the first head gets the places. All heads share the tables: each asks them with"
          " its own queries."),
    wrong("places_of_the_first_head", "logits(q,", "logits(q[:, :1],",
          "All heads get the places that the first one asks for. Each asks with its own queries."),
    wrong("place_times_content", "scores + logits", "scores * logits",
          "You multiply content and places. They are added: q · (k + R + C)."),
    wrong("place_subtracted", "scores + logits", "scores - logits",
          "You subtract the places. They are added to the content."),
)

SCALES = (
    *often(
        wrong("place_unscaled", "q = q / math.sqrt(q.shape[-1])\ni, j", "i, j",
              "The places are not scaled: you divide q · k alone. Divide q by sqrt(d) before both"
              " products.",
              ("in (q, k)", "in (q / math.sqrt(q.shape[-1]), k)")),
        wrong("unscaled", "q = q / math.sqrt(q.shape[-1])\ni, j", "i, j",
              "Nothing is scaled. Divide q by sqrt(d) before both products."),
        wrong("all_scaled_twice", "math.sqrt(q.shape[-1])", "q.shape[-1]",
              "You divide by d, or by sqrt(d) twice. Once by sqrt(d): the queries."),
    ),
    wrong("content_unscaled", "q = q / math.sqrt(q.shape[-1])\ni, j", "i, j",
          "The content is not scaled: you divide the places alone. Divide q by sqrt(d) before both"
          " products.",
          ("logits(q,", "logits(q / math.sqrt(q.shape[-1]),")),
    wrong("place_scaled_twice", "logits(q, rows, columns)",
          "logits(q, rows, columns) / math.sqrt(q.shape[-1])",
          "The places are divided by sqrt(d) twice: once with q, and once more in the sum."),
    wrong("content_scaled_twice", '-> ... i j")', '-> ... i j") / math.sqrt(q.shape[-1])',
          "The content is divided by sqrt(d) twice: once alone, and once more in the sum."),
    wrong("by_all_heads", "math.sqrt(q.shape[-1])", "math.sqrt(q.shape[1] * q.shape[-1])",
          "You divide by the root of dk, the width of all heads. It is that of one: sqrt(d) with"
          " d = dk / heads."),
    wrong("fourth_root", "math.sqrt(q.shape[-1])", "q.shape[-1] ** 0.25",
          "You divide by the fourth root of d. That is for dividing q *and* k; dividing q alone"
          " takes sqrt(d)."),
    wrong("by_the_number_of_pixels", "math.sqrt(q.shape[-1])",
          "math.sqrt(q.shape[-3] * q.shape[-2])",
          "You divide by the root of the number of pixels. It is the width that counts: sqrt(d),"
          " the last axis of q."),
)

SOFTMAXES = (
    *often(
        wrong("over_queries", ".softmax(-1)", ".softmax(-2)",
              "Your softmax runs over the queries i. It runs over the keys j, the last axis."),
        wrong("no_softmax", ".softmax(-1)", "",
              "The softmax is missing: you return the bare scores."),
    ),
    wrong("over_heads", ".softmax(-1)", ".softmax(1)",
          "Your softmax runs over the heads. It runs over the keys j, the last axis."),
    wrong("over_a_row_of_keys", ".softmax(-1)",
          ".unflatten(-1, k.shape[-3:-1]).softmax(-1).flatten(-2)",
          "Your softmax runs over each row of the picture apart, as if the keys were still y x. It"
          " runs over all pixels at once."),
    wrong("divided_with_tables_only", "q = q / math.sqrt(q.shape[-1])",
          "q = q if rows is None else q / math.sqrt(q.shape[-1])",
          "With tables you divide by sqrt(d), without them you do not. Both are divided."),
    wrong("place_after_the_softmax", '-> ... i j")', '-> ... i j").softmax(-1)',
          "You add the places after the softmax. They are part of the scores: before it.",
          ("return scores.softmax(-1)", "return scores")),
    wrong("two_softmaxes", '-> ... i j")', '-> ... i j").softmax(-1)',
          "You take a softmax of content and places apart and add. One softmax, of the sum.",
          ("scores + logits(q, rows, columns)",
           "(scores + logits(q, rows, columns).softmax(-1)) / 2"),
          ("return scores.softmax(-1)", "return scores")),
)
# fmt: on


def weights_by_augmenting(q, k, rows=None, columns=None, logits=relative_logits_2d):
    if logits is not relative_logits_2d:
        return weights_late_scale(q, k, rows, columns, logits)
    q = q * q.shape[-1] ** -0.5
    if rows is None:
        return F.softmax(q.flatten(-3, -2) @ k.flatten(-3, -2).mT, dim=-1)
    a, b = augmented_pair(q, k, rows, columns)
    return F.softmax(a @ b.mT, dim=-1)


EXERCISE = Exercise(
    id="relative_2d.relative_weights",
    solution=relative_weights,
    probes={"relative_weights": "b head i j"},
    trials=weight_trials,
    slips=(LATE, *CONTENTS, *PLACES, *SCALES, *SOFTMAXES),
    hints=(
        "q · (k + R + C) / sqrt(d): which of the three products does sqrt(d) divide?",
        (
            "All. Divide q at once, then ask the keys and the tables with it. Pixels in a"
            " line, (h w), give i and j; `logits(q, rows, columns)` comes as i j."
        ),
        (
            "q = q / sqrt(d)\n"
            "scores = q kᵀ on flattened pixels, plus logits(q, rows, columns) if there are"
            " tables\n"
            "softmax over the keys"
        ),
    ),
    minutes=8,
    difficulty=2,
    otherwise=(weights_by_augmenting, weights_late_scale),
    laws=("rows_sum_to_one", "examples_do_not_mix"),
    tied=("h w i j",),
)
