"""Attention to every stride-th key, column by column, without an n x n tensor."""

import torch
from torch.nn import functional as F

from attncourse.exercises.edits import often, wrong
from attncourse.exercises.record import Cost, Exercise, Trial
from attncourse.exercises.sparse.shared import cost_sizes, scores
from solutions.scaled_dot_product import scaled_dot_product_attention
from solutions.sparse import strided_attention


def strided_trials():
    qkv = dict(q="b n d", k="b n d", v="b n e")
    heads = dict(q="b head n d", k="b head n d", v="b head n e")
    return (
        Trial("with a stride of 7", cost_sizes(38, d=3, e=5), qkv | dict(stride=7)),
        Trial("where n is a multiple", cost_sizes(12, d=5, e=6), qkv | dict(stride=3)),
        Trial("with one head axis", cost_sizes(11, head=3, d=4, e=7), heads | dict(stride=4)),
        Trial(
            "where the stride is wider than n", cost_sizes(5, d=3, e=4), qkv | dict(stride=7)
        ),
        Trial("with a stride of 1", cost_sizes(6, d=3, e=4), qkv | dict(stride=1)),
    )


# fmt: off
COLUMNS = (
    *often(
        wrong("filled_in_front", "in_blocks(x, stride)",
              "in_blocks(F.pad(x, (0, 0, -n % stride, 0)), stride)",
              "You fill up in front: the zeros are then earlier keys, and they get some of the weight."
              " Fill up behind, where the causal mask hides them."),
        wrong("as_many_columns", "in_blocks(x, stride), columns",
              "F.pad(x, (0, 0, 0, -n % stride)), columns, place=stride",
              "You cut the tokens into `stride` blocks: (place block). The stride is how long a"
              " block is: (block place) with place = stride.",
              ("... block place d ->", "... (place block) d ->")),
    ),
    wrong("zeros_in_front", "in_blocks(x, stride)",
          "in_blocks(F.pad(x, (0, 0, -n % stride, 0)), stride)",
          "You fill up in front: the zeros are then earlier keys, and they get some of the weight. Fill"
          " up behind, where the causal mask hides them.",
          (":n, :", "-n:, :")),
    wrong("tokens_left_over", "n = q.shape[-2]",
          "n = q.shape[-2] // stride * stride\nq, k, v = (x[..., :n, :] for x in (q, k, v))",
          "The tokens that do not fill a block are lost. Fill the sequence up behind, and cut the"
          " result to n."),
    wrong("whole_blocks", "... place block d", "... block place d",
          "You attend inside every block, among neighbours. Tokens at the same place of all blocks"
          ' belong together: "... place block d".',
          ("... place block e", "... block place e")),
)

MASKS = (
    *often(
        wrong("later_blocks_seen", "causal_mask(q.shape[-2], q.shape[-2])",
              "torch.ones(q.shape[-2], q.shape[-2], dtype=torch.bool)",
              "The mask is missing: your queries see later keys of their column."),
    ),
    wrong("column_without_itself", ".to(q.device)", ".tril(-1).to(q.device)",
          "The query itself is missing among its keys: block <= block, with the equals sign."),
    wrong("later_blocks_alone", ".to(q.device)", ".mT.to(q.device)",
          "Your mask is turned over: queries see later keys alone."),
    wrong("itself_alone", "causal_mask(q.shape[-2], q.shape[-2])",
          "torch.eye(q.shape[-2], dtype=torch.bool)",
          "Your queries see themselves alone: the mask is the diagonal."),
    wrong("one_block_ahead", "causal_mask(q.shape[-2], q.shape[-2])",
          "torch.ones(q.shape[-2], q.shape[-2], dtype=torch.bool).tril(1)",
          "Your mask is one off: queries see the next key of their column as well. block <="
          " block."),
)

ENDS = (
    *often(
        wrong("columns_padding_kept", "[..., :n, :]", "",
              "You return the tokens that were filled up, too. Cut the result to n."),
    ),
    wrong("last_kept", ":n, :", "-n:, :",
          "You keep the last n tokens. What was filled up stands at the end: keep the first n."),
    wrong("columns_one_after_another", "(block place)", "(place block)",
          "Your tokens come out column by column: (place block). Undo it as it was made: (block"
          " place)."),
)
# fmt: on


def first_column_for_all(q, k, v, stride):
    """All your queries read the keys 0, l, 2l, …: a slice with a step. Every query has its own
    column: (i - j) mod l = 0."""
    i = torch.arange(q.shape[-2], device=q.device)
    mask = i[::stride] <= i[:, None]
    return scaled_dot_product_attention(q, k[..., ::stride, :], v[..., ::stride, :], mask)


def strided_by_slices(q, k, v, stride):
    n = q.shape[-2]
    y = v.new_zeros(*q.shape[:-1], v.shape[-1])
    for place in range(min(stride, n)):
        mine = slice(place, None, stride)
        parts = q[..., mine, :], k[..., mine, :], v[..., mine, :]
        y[..., mine, :] = F.scaled_dot_product_attention(*parts, is_causal=True)
    return y


def strided_one_by_one(q, k, v, stride):
    rows = []
    for i in range(q.shape[-2]):
        keys = range(i % stride, i + 1, stride)
        scores = (q[..., i : i + 1, :] * q.shape[-1] ** -0.5) @ k[..., keys, :].mT
        rows.append(F.softmax(scores, dim=-1) @ v[..., keys, :])
    return torch.cat(rows, dim=-2)


EXERCISE = Exercise(
    id="sparse.strided_attention",
    solution=strided_attention,
    probes={"strided_attention": "b n e"},
    trials=strided_trials,
    slips=(*COLUMNS, *MASKS, *scores("n = q.shape[-2]"), *ENDS, first_column_for_all),
    hints=(
        "Write tokens 0 to 11 in rows of 4. Where do the keys of token 9 stand?",
        "In a column. Every column is a short sequence, and its tokens see the earlier ones"
        " of their own column: causal attention, place by place.",
        'in_blocks(x, stride), then "... block place d -> ... place block d"\n'
        "attention with a causal mask of blocks x blocks\n"
        '"... place block e -> ... (block place) e", the first n tokens',
    ),
    minutes=12,
    difficulty=3,
    otherwise=(strided_by_slices, strided_one_by_one),
    laws=("examples_do_not_mix", "queries_read_their_keys"),
    cost=Cost(largest_tensor=2.5),
)
