"""The record of `sparse.strided_attention`."""

import torch
from einops import rearrange
from torch.nn import functional as F

from attncourse.exercises.families import family
from attncourse.exercises.record import Cost, Exercise, Trial
from attncourse.exercises.sparse.shared import (
    by_dense_map,
    cost_sizes,
    cut_to,
    filled,
    masked_after_the_softmax,
    not_scaled,
    scaled_by_d,
    scaled_by_values,
)
from solutions.scaled_dot_product import causal_mask
from solutions.sparse import (
    local_mask,
    masks,
    strided_attention,
    strided_mask,
)


def strided_trials():
    qkv = dict(q="b n d", k="b n d", v="b n e")
    heads = dict(q="b head n d", k="b head n d", v="b head n e")
    return (
        Trial("with a stride of 7", cost_sizes(38, d=3, e=5), qkv | dict(stride=7)),
        Trial("where n is a multiple", cost_sizes(12, d=5, e=6), qkv | dict(stride=3)),
        Trial("with one head axis", cost_sizes(11, head=3, d=4, e=6), heads | dict(stride=4)),
        Trial(
            "where the stride is wider than n", cost_sizes(5, d=3, e=4), qkv | dict(stride=7)
        ),
        Trial("with a stride of 1", cost_sizes(6, d=3, e=4), qkv | dict(stride=1)),
    )


def filled_behind(x, stride):
    return F.pad(x, (0, 0, 0, -x.shape[-2] % stride))


def columns(stride):
    return "... (block place) d -> ... place block d", dict(place=stride)


def earlier_blocks_seen(blocks):
    return causal_mask(blocks, blocks)


def back_in_order(y, n):
    return rearrange(y, "... place block e -> ... (block place) e")[..., :n, :]


def strided_recipe(
    filling=filled_behind,
    laying=columns,
    allowing=earlier_blocks_seen,
    looking=by_dense_map,
    ending=back_in_order,
):
    """`strided_attention` with some of its steps replaced."""

    def answer(q, k, v, stride):
        n = q.shape[-2]
        pattern, sizes = laying(stride)
        q, k, v = (rearrange(filling(x, stride), pattern, **sizes) for x in (q, k, v))
        mask = allowing(q.shape[-2]).to(q.device)
        return ending(looking(q, k, v, mask), n)

    return answer


def as_many_columns(stride):
    """You cut the tokens into `stride` blocks: (place block). The stride is how long a block
    is: (block place) with place = stride."""
    return "... (place block) d -> ... place block d", dict(place=stride)


def later_blocks_seen(blocks):
    """The mask is missing: your queries see later keys of their column."""
    return torch.ones(blocks, blocks, dtype=torch.bool)


def column_without_itself(blocks):
    """The query itself is missing among its keys: block <= block, with the equals sign."""
    return torch.ones(blocks, blocks, dtype=torch.bool).tril(-1)


def later_blocks_alone(blocks):
    """Your mask is turned over: queries see later keys alone."""
    return torch.ones(blocks, blocks, dtype=torch.bool).triu()


def itself_alone(blocks):
    """Your queries see themselves alone: the mask is the diagonal."""
    return torch.eye(blocks, dtype=torch.bool)


def filled_in_front(x, stride):
    """You fill up in front: the zeros are then earlier keys, and they take their share. Fill
    up behind, where the causal mask hides them."""
    return F.pad(x, (0, 0, -x.shape[-2] % stride, 0))


def columns_one_after_another(y, n):
    """Your tokens come out column by column: (place block). Undo it as it was made: (block
    place)."""
    return rearrange(y, "... place block e -> ... (place block) e")[..., :n, :]


def columns_padding_kept(y, n):
    """You return the tokens that were filled up, too. Cut the result to n."""
    return rearrange(y, "... place block e -> ... (block place) e")


def last_kept(y, n):
    """You keep the last n tokens. What was filled up stands at the end: keep the first n."""
    return rearrange(y, "... place block e -> ... (block place) e")[..., -n:, :]


def zeros_in_front(q, k, v, stride):
    """You fill up in front: the zeros are then earlier keys, and they take their share. Fill
    up behind, where the causal mask hides them."""
    return strided_recipe(filling=filled_in_front, ending=last_kept)(q, k, v, stride)


def whole_blocks(q, k, v, stride):
    """You attend inside every block, among neighbours. Tokens at the same place of all blocks
    belong together: "... place block d"."""
    n = q.shape[-2]
    q, k, v = (filled(x, stride) for x in (q, k, v))
    return cut_to(by_dense_map(q, k, v, causal_mask(stride, stride).to(q.device)), n)


def last_keys_instead(q, k, v, stride):
    """You read the last `stride` keys: that is local attention. Every stride-th is meant, back
    to the beginning."""
    return by_dense_map(q, k, v, local_mask(q.shape[-2], stride).to(q.device))


def summaries_for_all(q, k, v, stride):
    """All your queries read the last key of every block. Every query has its own column: (i -
    j) mod l = 0."""
    mask = masks("fixed", q.shape[-2], stride)[1].to(q.device)
    return by_dense_map(q, k, v, mask)


def tokens_left_over(q, k, v, stride):
    """The tokens that do not fill a block are lost. Fill the sequence up behind, and cut the
    result to n."""
    n = q.shape[-2] // stride * stride
    return strided_recipe()(*(x[..., :n, :] for x in (q, k, v)), stride)


def queries_as_keys(q, k, v, stride):
    """You take q for the keys. They are k."""
    return strided_recipe()(q, q, v, stride)


def both_patterns(q, k, v, stride):
    """You read the last keys as well. That is the union of both patterns; here every stride-th
    key alone is wanted."""
    n = q.shape[-2]
    mask = strided_mask(n, stride) | local_mask(n, stride)
    return by_dense_map(q, k, v, mask.to(q.device))


def one_block_ahead(blocks):
    """Your mask is one off: queries see the next key of their column as well. block <=
    block."""
    return torch.ones(blocks, blocks, dtype=torch.bool).tril(1)


def first_column_for_all(q, k, v, stride):
    """All your queries read the keys 0, l, 2l, …: a slice with a step. Every query has its own
    column: (i - j) mod l = 0."""
    n = q.shape[-2]
    j = torch.arange(0, n, stride, device=q.device)
    mask = j <= torch.arange(n, device=q.device)[:, None]
    return by_dense_map(q, k[..., ::stride, :], v[..., ::stride, :], mask)


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
    slips=(
        *family(
            strided_recipe,
            paired=(
                as_many_columns,
                later_blocks_seen,
                filled_in_front,
                not_scaled,
                columns_padding_kept,
            ),
            filling=(filled_in_front,),
            laying=(as_many_columns,),
            allowing=(
                later_blocks_seen,
                column_without_itself,
                later_blocks_alone,
                itself_alone,
                one_block_ahead,
            ),
            looking=(not_scaled, scaled_by_d, scaled_by_values, masked_after_the_softmax),
            ending=(columns_one_after_another, columns_padding_kept, last_kept),
        ),
        whole_blocks,
        first_column_for_all,
        zeros_in_front,
        last_keys_instead,
        both_patterns,
        summaries_for_all,
        tokens_left_over,
        queries_as_keys,
    ),
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
