"""Attention to the last `window` keys, block by block, without an n x n tensor."""

import math

import torch
from torch.nn import functional as F

from attncourse.exercises.edits import often, wrong
from attncourse.exercises.record import Cost, Exercise, Trial
from attncourse.exercises.sparse.shared import cost_sizes, own_attention, scores
from solutions.sparse import local_attention


def local_trials():
    qkv = dict(q="b n d", k="b n d", v="b n e")
    heads = dict(q="b head n d", k="b head n d", v="b head n e")
    return (
        Trial("with a window of 4", cost_sizes(38, d=3, e=5), qkv | dict(window=4)),
        Trial("where n is a multiple", cost_sizes(12, d=5, e=3), qkv | dict(window=3)),
        Trial("with one head axis", cost_sizes(11, head=3, d=4, e=7), heads | dict(window=5)),
        Trial(
            "where the window is wider than n", cost_sizes(5, d=3, e=4), qkv | dict(window=7)
        ),
        Trial("with a window of 1", cost_sizes(6, d=3, e=4), qkv | dict(window=1)),
    )


# fmt: off
BLOCKS = (
    *often(
        wrong("keys_wrap_around", "with_previous(in_blocks(x, window)) for x in (k, v))",
              "in_blocks(x, window) for x in (k, v))\n"
              "k, v = (torch.cat([x.roll(1, -3), x], -2) for x in (k, v))",
              "The first block reads the last one: `roll` wraps around. Before the first block"
              " there is nothing: zeros that the mask hides.",
              (" & ~(first & (j < window))", "")),
    ),
    wrong("keys_of_the_next_block", "with_previous(in_blocks(x, window)) for x in (k, v))",
          "in_blocks(x, window) for x in (k, v))\n"
          "k, v = (torch.cat([F.pad(x, (0, 0, 0, 0, -1, 1)), x], -2) for x in (k, v))",
          "You give each block the keys of the next one, as if they came before. Shift the blocks"
          " the other way."),
    wrong("own_keys_first", "with_previous(in_blocks(x, window)) for x in (k, v))",
          "in_blocks(x, window) for x in (k, v))\n"
          "k, v = (torch.cat([x, F.pad(x, (0, 0, 0, 0, 1, -1))], -2) for x in (k, v))",
          "You put the own block in front of the one before, and mask as if it came behind. The"
          " block before comes first."),
    wrong("filled_up_in_front", "q = in_blocks(q, window)",
          "q, k, v = (F.pad(x, (0, 0, -n % window, 0)) for x in (q, k, v))\n"
          "q = in_blocks(q, window)",
          "You fill up in front: the zeros are then earlier keys, and they get some of the weight. Fill"
          " up behind, and cut the result to the first n.",
          (":n, :", "-n:, :")),
)

MASKS = (
    *often(
        wrong("papers_window", "ago < window", "ago <= window",
              "You take window + 1 keys. The query itself is one of the `window` keys: i - j <"
              " window. (The paper's A1 does have l + 1, the authors' released code l.)"),
        wrong("whole_block_before", " & (ago < window)", "",
              "Your queries see all of the block before, so the last of a block has 2 window keys."
              " i - j < window is missing."),
        wrong("zeros_are_seen", " & ~(first & (j < window))", "",
              "The first block sees the zeros before it: a key of zeros has score 0 and takes its"
              " share. Hide them."),
    ),
    wrong("own_block_alone", "~(first & (j < window))", "(j >= window)",
          "Your queries see their own block alone: the first of a block sees no other key. The"
          " window reaches into the block before."),
    wrong("later_keys_seen", "(ago >= 0) & ", "",
          "Your queries see later keys of their own block: j <= i is missing."),
    wrong("query_left_out", "ago >= 0", "ago > 0",
          "The query itself is missing among its keys: j <= i, with the equals sign."),
    wrong("positions_not_shifted", " + window  # the block before counts from 0", "",
          "You count queries from 0 and keys from 0, but the keys begin a block earlier: query 0 of"
          " a block is as far as key `window`. Add the window to i."),
    wrong("first_block_blind", "~(first & (j < window))", "~first",
          "Your first block sees nothing. Only the zeros before it must be hidden; its own keys are"
          " there."),
    wrong("mask_inverted", "k, v, mask)", "k, v, ~mask)",
          "You attend where the mask is False. It is True where a query may."),
)

SCORES = (
    *scores("n = q.shape[-2]"),
    own_attention("n = q.shape[-2]", "over_queries",
                  "(q @ k.mT / math.sqrt(q.shape[-1])).masked_fill(~mask, -1e9).softmax(-2)",
                  "Your softmax runs over the queries. It runs over the keys, the last axis."),
)

ENDS = (
    *often(
        wrong("padding_kept", "[..., :n, :]", "",
              "You return the tokens that were filled up, too. Cut the result to n."),
    ),
    wrong("order_lost", "(block place)", "(place block)",
          "Your tokens come out in another order: (place block). Undo the blocks as they were made:"
          " (block place)."),
)
# fmt: on


def local_one_by_one(q, k, v, window):
    rows = []
    for i in range(q.shape[-2]):
        near = slice(max(0, i - window + 1), i + 1)
        scores = q[..., i : i + 1, :] @ k[..., near, :].mT / math.sqrt(q.shape[-1])
        rows.append(scores.softmax(-1) @ v[..., near, :])
    return torch.cat(rows, dim=-2)


def local_by_windows(q, k, v, window):
    k, v = (F.pad(x, (0, 0, window - 1, 0)).unfold(-2, window, 1) for x in (k, v))
    scores = torch.einsum("...nd,...ndw->...nw", q, k) / q.shape[-1] ** 0.5
    ago = window - 1 - torch.arange(window, device=q.device)
    real = torch.arange(q.shape[-2], device=q.device)[:, None] >= ago
    weights = scores.masked_fill(~real, -math.inf).softmax(-1)
    return torch.einsum("...nw,...new->...ne", weights, v)


EXERCISE = Exercise(
    id="sparse.local_attention",
    solution=local_attention,
    probes={"local_attention": "b n e"},
    trials=local_trials,
    slips=(*BLOCKS, *MASKS, *SCORES, *ENDS),
    hints=(
        "The first query of a block of 4 has a window of 4. In how many blocks do its keys"
        " lie? And those of the last query?",
        "Blocks of `window` queries against 2 window keys. Inside, query p stands where key"
        " p + window stands. Three conditions: not later, not too long ago, no zeros in"
        " front of the first block.",
        "q = in_blocks(q, window); k, v with the block before\n"
        "i = window … 2 window - 1; j = 0 … 2 window - 1\n"
        "mask: j <= i, i - j < window, and j >= window in block 0\n"
        "attention with it; (block place) back to n; the first n tokens",
    ),
    minutes=20,
    difficulty=4,
    otherwise=(local_one_by_one, local_by_windows),
    laws=("examples_do_not_mix", "queries_read_their_keys"),
    cost=Cost(largest_tensor=2.5),
)
