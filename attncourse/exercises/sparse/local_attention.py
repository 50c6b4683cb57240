"""The record of `sparse.local_attention`."""

import math

import torch
from einops import rearrange
from torch.nn import functional as F

from attncourse.exercises.families import also, family
from attncourse.exercises.record import Cost, Exercise, Trial
from attncourse.exercises.sparse.shared import (
    beside_it,
    by_dense_map,
    cost_sizes,
    cut_to,
    filled,
    mask_inverted,
    masked_after_the_softmax,
    moved_down,
    not_scaled,
    scaled_by_d,
    scaled_by_values,
)
from solutions.positional import masked_softmax
from solutions.sparse import (
    local_attention,
    strided_mask,
)


def local_trials():
    qkv = dict(q="b n d", k="b n d", v="b n e")
    heads = dict(q="b head n d", k="b head n d", v="b head n e")
    return (
        Trial("with a window of 4", cost_sizes(38, d=3, e=5), qkv | dict(window=4)),
        Trial("where n is a multiple", cost_sizes(12, d=5, e=3), qkv | dict(window=3)),
        Trial("with one head axis", cost_sizes(11, head=3, d=4, e=6), heads | dict(window=5)),
        Trial(
            "where the window is wider than n", cost_sizes(5, d=3, e=4), qkv | dict(window=7)
        ),
        Trial("with a window of 1", cost_sizes(6, d=3, e=4), qkv | dict(window=1)),
    )


def previous_and_own(x):
    return beside_it(x, moved_down(x))


def in_window(window, blocks):
    i = torch.arange(window)[:, None] + window
    j = torch.arange(2 * window)
    real = (torch.arange(blocks)[:, None, None] > 0) | (j >= window)
    return (j <= i) & (i - j < window) & real


def local_recipe(
    gathering=previous_and_own, allowing=in_window, looking=by_dense_map, ending=cut_to
):
    """`local_attention` with some of its steps replaced."""

    def answer(q, k, v, window):
        n = q.shape[-2]
        q, k, v = (filled(x, window) for x in (q, k, v))
        mask = allowing(window, q.shape[-3]).to(q.device)
        return ending(looking(q, gathering(k), gathering(v), mask), n)

    return answer


def zeros_are_seen(window, blocks):
    """The first block sees the zeros before it: a key of zeros has score 0 and takes its share.
    Hide them."""
    i = torch.arange(window)[:, None] + window
    j = torch.arange(2 * window)
    return ((j <= i) & (i - j < window)).expand(blocks, -1, -1)


@also(allowing=zeros_are_seen)
def keys_wrap_around(x):
    """The first block reads the last one: `roll` wraps around. Before the first block there
    is nothing: zeros that the mask hides."""
    return beside_it(x, x.roll(1, -3))


def keys_of_the_next_block(x):
    """You give each block the keys of the next one, as if they came before. Shift the blocks
    the other way."""
    return beside_it(x, torch.cat([x[..., 1:, :, :], torch.zeros_like(x[..., :1, :, :])], -3))


def papers_window(window, blocks):
    """You take window + 1 keys. The query itself is one of the `window` keys: i - j < window.
    (The paper's A1 does have l + 1, the authors' released code l.)"""
    i = torch.arange(window)[:, None] + window
    j = torch.arange(2 * window)
    real = (torch.arange(blocks)[:, None, None] > 0) | (j >= window)
    return (j <= i) & (i - j <= window) & real


def own_block_alone(window, blocks):
    """Your queries see their own block alone: the first of a block sees no other key. The
    window reaches into the block before."""
    i = torch.arange(window)[:, None] + window
    j = torch.arange(2 * window)
    return ((j <= i) & (j >= window)).expand(blocks, -1, -1)


def whole_block_before(window, blocks):
    """Your queries see all of the block before, so the last of a block has 2 window keys.
    i - j < window is missing."""
    i = torch.arange(window)[:, None] + window
    j = torch.arange(2 * window)
    real = (torch.arange(blocks)[:, None, None] > 0) | (j >= window)
    return (j <= i) & real


def later_keys_seen(window, blocks):
    """Your queries see later keys of their own block: j <= i is missing."""
    i = torch.arange(window)[:, None] + window
    j = torch.arange(2 * window)
    real = (torch.arange(blocks)[:, None, None] > 0) | (j >= window)
    return (i - j < window) & real


def query_left_out(window, blocks):
    """The query itself is missing among its keys: j <= i, with the equals sign."""
    i = torch.arange(window)[:, None] + window
    return in_window(window, blocks) & (torch.arange(2 * window) != i)


def positions_not_shifted(window, blocks):
    """You count queries from 0 and keys from 0, but the keys begin a block earlier: query 0 of
    a block is as far as key `window`. Add the window to i."""
    i = torch.arange(window)[:, None]
    j = torch.arange(2 * window)
    return ((j <= i) & (i - j < window)).expand(blocks, -1, -1)


def first_block_blind(window, blocks):
    """Your first block sees nothing. Only the zeros before it must be hidden; its own keys are
    there."""
    seen = in_window(window, blocks)
    return seen & (torch.arange(blocks)[:, None, None] > 0)


def one_key_less(window, blocks):
    """You take one key too few. The query itself and window - 1 before it: i - j < window."""
    i = torch.arange(window)[:, None] + window
    return in_window(window, blocks) & (i - torch.arange(2 * window) < max(1, window - 1))


def half_the_window(window, blocks):
    """You go back half a window. There are `window` keys, all of them behind."""
    i = torch.arange(window)[:, None] + window
    return in_window(window, blocks) & (i - torch.arange(2 * window) < max(1, window // 2))


def scaled_by_window(q, k, v, mask):
    """You divide the scores by the root of the window. It is sqrt(d)."""
    return masked_softmax(q @ k.mT / math.sqrt(mask.shape[-2]), mask) @ v


def over_queries(q, k, v, mask):
    """Your softmax runs over the queries. It runs over the keys, the last axis."""
    scores = (q @ k.mT / math.sqrt(q.shape[-1])).masked_fill(~mask, -1e9)
    return scores.softmax(-2) @ v


def padding_kept(y, n):
    """You return the tokens that were filled up, too. Cut the result to n."""
    return rearrange(y, "... block place e -> ... (block place) e")


def order_lost(y, n):
    """Your tokens come out in another order: (place block). Undo the blocks as they were made:
    (block place)."""
    return rearrange(y, "... block place e -> ... (place block) e")[..., :n, :]


def own_keys_first(q, k, v, window):
    """You put the own block in front of the one before, and mask as if it came behind. The
    block before comes first."""

    def own_first(x):
        return beside_it(moved_down(x), x)

    return local_recipe(gathering=own_first)(q, k, v, window)


def filled_up_in_front(q, k, v, window):
    """You fill up in front: the zeros are then earlier keys, and they take their share. Fill
    up behind, and cut the result to the first n."""
    n = q.shape[-2]
    q, k, v = (F.pad(x, (0, 0, -n % window, 0)) for x in (q, k, v))
    return local_recipe()(q, k, v, window)[..., -n:, :]


def last_tokens_dropped(q, k, v, window):
    """The tokens of the last block are lost where it is not full. Fill the sequence up to whole
    blocks, and cut the result to n."""
    n = q.shape[-2] // window * window
    return local_recipe()(*(x[..., :n, :] for x in (q, k, v)), window)


def every_so_many_keys(q, k, v, window):
    """You read every so-many-th key. The last `window` of them are meant, one after the
    other."""
    return by_dense_map(q, k, v, strided_mask(q.shape[-2], window).to(q.device))


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
    slips=(
        *family(
            local_recipe,
            paired=(
                papers_window,
                zeros_are_seen,
                keys_wrap_around,
                whole_block_before,
                not_scaled,
                padding_kept,
            ),
            gathering=(keys_wrap_around, keys_of_the_next_block),
            allowing=(
                papers_window,
                own_block_alone,
                whole_block_before,
                zeros_are_seen,
                later_keys_seen,
                query_left_out,
                positions_not_shifted,
                first_block_blind,
                half_the_window,
                one_key_less,
            ),
            looking=(
                not_scaled,
                scaled_by_d,
                scaled_by_values,
                masked_after_the_softmax,
                mask_inverted,
                scaled_by_window,
                over_queries,
            ),
            ending=(padding_kept, order_lost),
        ),
        own_keys_first,
        filled_up_in_front,
        last_tokens_dropped,
        every_so_many_keys,
    ),
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
