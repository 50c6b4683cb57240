"""The record of `fast.attention_gradients`."""

import math

import torch
from torch.nn import functional as F

from attncourse.exercises.families import family
from attncourse.exercises.record import Exercise, Given, Trial
from solutions.fast.tiles import (
    attention_gradients,
)

try:
    import triton.language as tl
except ImportError:  # Triton is there for Linux
    tl = None


def gradient_trials():
    def trial(name, **sizes):
        dice = torch.Generator().manual_seed(len(name))
        lead = tuple(sizes[x] for x in ("b", "head") if x in sizes)
        i, j, d, e = (sizes[x] for x in "ijde")
        shapes = {"dy": (i, e), "q": (i, d), "k": (j, d), "v": (j, e)}
        given = {
            n: torch.randn(*lead, *shape, generator=dice, dtype=torch.float64)
            for n, shape in shapes.items()
        }
        scores = given["q"] @ given["k"].mT / math.sqrt(d)
        given |= {"y": scores.softmax(-1) @ given["v"], "lse": scores.logsumexp(-1)}
        axes = {"dy": "i e", "q": "i d", "k": "j d", "v": "j e", "y": "i e", "lse": "i"}
        first = " ".join(x for x in ("b", "head") if x in sizes)
        return Trial(name, sizes, {n: Given(f"{first} {axes[n]}", x) for n, x in given.items()})

    return (
        trial("with 5 queries and 7 keys", b=2, i=5, j=7, d=3, e=4),
        trial("with heads and more queries than keys", b=2, head=3, i=8, j=6, d=5, e=4),
        trial("with one key", b=2, i=3, j=1, d=4, e=5),
    )


def by_root_d(q, v):
    return 1 / math.sqrt(q.shape[-1])


def from_log_sum_exp(scores, lse):
    return (scores - lse[..., None]).exp()


def rows_of_dy_y(dy, y, shares, slope):
    return (dy * y).sum(-1, keepdim=True)


def shares_times(shares, slope, delta):
    return shares * (slope - delta)


def shares_turned_dy(shares, dy, ds):
    return shares.mT @ dy


def scaled_both(dq, dk, scale):
    return scale * dq, scale * dk


def gradients_recipe(
    scaling=by_root_d,
    sharing=from_log_sum_exp,
    taking=rows_of_dy_y,
    sloping=shares_times,
    reading=shares_turned_dy,
    ending=scaled_both,
):
    def answer(dy, q, k, v, y, lse):
        scale = scaling(q, v)
        shares = sharing(scale * q @ k.mT, lse)
        slope = dy @ v.mT
        ds = sloping(shares, slope, taking(dy, y, shares, slope))
        dq, dk = ending(ds @ k, ds.mT @ q, 1 / math.sqrt(q.shape[-1]))
        return dq, dk, reading(shares, dy, ds)

    return answer


def scores_not_scaled(q, v):
    """The map is not made again as it was: its scores are q · k / sqrt(d), and the log-sum-exp
    belongs to those."""
    return 1.0


def scores_over_d(q, v):
    """The map is made again with scores over d. They were divided by sqrt(d)."""
    return 1 / q.shape[-1]


def scores_over_values(q, v):
    """The map is made again with scores over sqrt(e). d is the number of features of q and
    k."""
    return 1 / math.sqrt(v.shape[-1])


def log_ignored(scores, lse):
    """Your shares are e^s, without the log-sum-exp, and do not sum to 1. They are e^(s -
    lse)."""
    return scores.exp()


def log_added(scores, lse):
    """You add the log-sum-exp. Dividing by the sum is subtracting its logarithm: e^(s -
    lse)."""
    return (scores + lse[..., None]).exp()


def divided_by_the_log(scores, lse):
    """You divide by the log-sum-exp, which is a logarithm: e^s / e^lse = e^(s - lse)."""
    return scores.exp() / lse[..., None]


def softmax_of_queries(scores, lse):
    """Your shares sum to 1 over the queries. It is over the keys j, the last axis."""
    return scores.softmax(-2)


def scores_for_shares(scores, lse):
    """You take s - lse for the shares. It is the exponential of that."""
    return scores - lse[..., None]


def delta_missing(dy, y, shares, slope):
    """delta is missing: a softmax only moves shares from key to key, so that ds = A (dy vᵀ -
    delta), with delta = sum over e of dy y."""
    return 0.0


def delta_without_y(dy, y, shares, slope):
    """delta is the sum of dy alone. It is the sum over e of dy y: what the output lost or
    gained."""
    return dy.sum(-1, keepdim=True)


def delta_is_a_mean(dy, y, shares, slope):
    """delta is a mean over the features. It is their sum: dy · y."""
    return (dy * y).mean(-1, keepdim=True)


def delta_of_all_keys_alike(dy, y, shares, slope):
    """delta is the plain mean of dy vᵀ over the keys. It is the mean by their shares, Σ_j A dy
    vᵀ, which is dy · y."""
    return slope.mean(-1, keepdim=True)


def delta_divided_by_keys(dy, y, shares, slope):
    """You take the mean of A dy vᵀ over the keys. The shares weigh already: it is their sum, or
    dy · y."""
    return (shares * slope).mean(-1, keepdim=True)


def delta_unweighted(dy, y, shares, slope):
    """delta is the sum of dy vᵀ over the keys. Each counts with its share, Σ_j A dy vᵀ, which
    is dy · y."""
    return slope.sum(-1, keepdim=True)


def delta_over_queries(dy, y, shares, slope):
    """delta is summed over the queries. Each query has its own: summed over the keys, or dy · y
    over the features."""
    return (shares * slope).sum(-2, keepdim=True)


def delta_of_the_whole(dy, y, shares, slope):
    """delta is one number for all queries. Each has its own: dy · y, `keepdim=True`."""
    return (dy * y).sum()


def delta_of_y_alone(dy, y, shares, slope):
    """delta is the sum of y alone. It is the sum over e of dy y."""
    return y.sum(-1, keepdim=True)


def delta_twice(dy, y, shares, slope):
    """You take delta twice. Once: A (dy vᵀ - delta)."""
    return 2 * (dy * y).sum(-1, keepdim=True)


def delta_of_squares(dy, y, shares, slope):
    """delta is y · y. It is dy · y."""
    return (y * y).sum(-1, keepdim=True)


def delta_added(shares, slope, delta):
    """You add delta. It is subtracted: ds = A (dy vᵀ - delta), which sums to 0 over the
    keys."""
    return shares * (slope + delta)


def delta_outside(shares, slope, delta):
    """You subtract delta after multiplying by the shares. It stands in the bracket: ds = A (dy
    vᵀ - delta)."""
    return shares * slope - delta


def shares_not_multiplied(shares, slope, delta):
    """ds lacks the shares: a key with a small share moves the output little. ds = A (dy vᵀ -
    delta)."""
    return slope - delta


def as_if_of_one(shares, slope, delta):
    """You take A (1 - A) dy vᵀ, as for a sigmoid. In a softmax every share depends on every
    score: ds = A (dy vᵀ - delta)."""
    return shares * (1 - shares) * slope


def sign_turned(shares, slope, delta):
    """ds has the wrong sign: A (dy vᵀ - delta), not A (delta - dy vᵀ)."""
    return shares * (delta - slope)


def dv_from_ds(shares, dy, ds):
    """dv is made from ds. The values are read by the shares: dv = Aᵀ dy."""
    return ds.mT @ dy


def dv_over_queries(shares, dy, ds):
    """dv is made with shares that sum to 1 over the queries. They are the ones of the way
    forward, which sum to 1 over the keys: dv = Aᵀ dy."""
    return (shares / shares.sum(-2, keepdim=True)).mT @ dy


def dv_from_y(shares, dy, ds):
    """dv sums dy over the queries, with no shares. dv = Aᵀ dy."""
    return torch.zeros_like(shares.mT) @ dy + dy.sum(-2, keepdim=True)


def neither_scaled(dq, dk, scale):
    """dq and dk lack the scale. The scores are scale q · k, so both slopes are too."""
    return dq, dk


def query_not_scaled(dq, dk, scale):
    """dq lacks the scale: ds is the slope of the scaled scores, dq = ds k / sqrt(d)."""
    return dq, scale * dk


def key_not_scaled(dq, dk, scale):
    """dk lacks the scale: ds is the slope of the scaled scores, dk = dsᵀ q / sqrt(d)."""
    return scale * dq, dk


def both_scaled_twice(dq, dk, scale):
    """dq and dk are scaled twice, by 1 / d. The scale comes in once: is q scaled already where
    you use it, or ds too?"""
    return scale**2 * dq, scale**2 * dk


def key_scaled_twice(dq, dk, scale):
    """dk is scaled twice: you use q after it was scaled, and scale again."""
    return scale * dq, scale**2 * dk


def multiplied_by_root_d(dq, dk, scale):
    """You multiply dq and dk by sqrt(d). The scores are divided by it, so are their slopes."""
    return dq / scale, dk / scale


def dv_with_scale(dy, q, k, v, y, lse):
    """You scale dv. The scale belongs to the scores: dq and dk have it, dv has not."""
    dq, dk, dv = gradients_recipe()(dy, q, k, v, y, lse)
    return dq, dk, dv / math.sqrt(q.shape[-1])


def by_other_rows(dy, q, k, v, y, lse):
    """dk is made with k. A score is q · k: the slope for k is q, dk = dsᵀ q."""
    dq, _, dv = gradients_recipe()(dy, q, k, v, y, lse)
    ds = from_log_sum_exp(q @ k.mT / math.sqrt(q.shape[-1]), lse)
    ds = ds * (dy @ v.mT - (dy * y).sum(-1, keepdim=True)) / math.sqrt(q.shape[-1])
    return dq, ds.sum(-2)[..., None] * k, dv


def by_own_rows(dy, q, k, v, y, lse):
    """dq is made with q. A score is q · k: the slope for q is k, dq = ds k."""
    _, dk, dv = gradients_recipe()(dy, q, k, v, y, lse)
    ds = from_log_sum_exp(q @ k.mT / math.sqrt(q.shape[-1]), lse)
    ds = ds * (dy @ v.mT - (dy * y).sum(-1, keepdim=True)) / math.sqrt(q.shape[-1])
    return ds.sum(-1)[..., None] * q, dk, dv


def in_another_order(dy, q, k, v, y, lse):
    """You return the gradients in another order. It is that of the inputs: dq, dk, dv."""
    dq, dk, dv = gradients_recipe()(dy, q, k, v, y, lse)
    return dv, dk, dq


def keys_first(dy, q, k, v, y, lse):
    """You return dk before dq. The order is that of the inputs: dq, dk, dv."""
    dq, dk, dv = gradients_recipe()(dy, q, k, v, y, lse)
    return dk, dq, dv


def gradients_by_autograd(dy, q, k, v, y, lse):
    q, k, v = (x.detach().clone().requires_grad_() for x in (q, k, v))
    with torch.enable_grad():
        again = F.scaled_dot_product_attention(q, k, v)
        return torch.autograd.grad(again, (q, k, v), dy)


def gradients_by_einsum(dy, q, k, v, y, lse):
    root = q.shape[-1] ** 0.5
    shares = torch.softmax(torch.einsum("...id,...jd->...ij", q, k) / root, -1)
    slope = torch.einsum("...ie,...je->...ij", dy, v)
    ds = shares * (slope - torch.einsum("...ij,...ij->...i", shares, slope).unsqueeze(-1))
    dq = torch.einsum("...ij,...jd->...id", ds, k) / root
    dk = torch.einsum("...ij,...id->...jd", ds, q) / root
    return dq, dk, torch.einsum("...ij,...ie->...je", shares, dy)


def gradients_by_rows(dy, q, k, v, y, lse):
    dq, dk, dv = (torch.zeros_like(x) for x in (q, k, v))
    scale = q.shape[-1] ** -0.5
    for i in range(q.shape[-2]):
        scores = scale * (k @ q[..., i, :, None])[..., 0]
        shares = torch.exp(scores - lse[..., i, None])
        slope = (v @ dy[..., i, :, None])[..., 0]
        ds = shares * (slope - (dy[..., i, :] * y[..., i, :]).sum(-1, keepdim=True)) * scale
        dq[..., i, :] = (ds[..., None] * k).sum(-2)
        dk += ds[..., None] * q[..., i, None, :]
        dv += shares[..., None] * dy[..., i, None, :]
    return dq, dk, dv


EXERCISE = Exercise(
    id="fast.attention_gradients",
    solution=attention_gradients,
    probes={"attention_gradients": ("b i d", "b j d", "b j e")},
    trials=gradient_trials,
    slips=(
        *family(
            gradients_recipe,
            paired=(
                delta_missing,
                neither_scaled,
                query_not_scaled,
                key_not_scaled,
                both_scaled_twice,
                scores_not_scaled,
                log_ignored,
                dv_from_ds,
            ),
            scaling=(scores_not_scaled, scores_over_d, scores_over_values),
            sharing=(
                log_ignored,
                log_added,
                divided_by_the_log,
                softmax_of_queries,
                scores_for_shares,
            ),
            taking=(
                delta_missing,
                delta_without_y,
                delta_is_a_mean,
                delta_of_all_keys_alike,
                delta_divided_by_keys,
                delta_unweighted,
                delta_over_queries,
                delta_of_the_whole,
                delta_of_y_alone,
                delta_twice,
                delta_of_squares,
            ),
            sloping=(
                delta_added,
                delta_outside,
                shares_not_multiplied,
                as_if_of_one,
                sign_turned,
            ),
            reading=(dv_from_ds, dv_over_queries, dv_from_y),
            ending=(
                neither_scaled,
                query_not_scaled,
                key_not_scaled,
                both_scaled_twice,
                key_scaled_twice,
                multiplied_by_root_d,
            ),
        ),
        dv_with_scale,
        by_other_rows,
        by_own_rows,
        in_another_order,
        keys_first,
    ),
    hints=(
        "y = A v. If you nudge one entry of v, which entries of y move, and by how much?"
        " That is dv. And if you nudge one score of a query, why do all of its shares"
        " move?",
        "A = e^(s - lse). dv = Aᵀ dy. dA = dy vᵀ; through the softmax ds = A (dA - δ), δ"
        " = Σ_e dy y. The scores are q kᵀ / sqrt(d), so dq = ds k / sqrt(d), dk = dsᵀ q /"
        " sqrt(d).",
        "shares = exp(scale q kᵀ - lse), with an axis for j\n"
        "dv = sharesᵀ dy;  slope = dy vᵀ;  delta = sum of dy * y over e, kept as i 1\n"
        "ds = shares (slope - delta)\n"
        "dq = scale ds k;  dk = scale dsᵀ q",
    ),
    minutes=20,
    difficulty=4,
    otherwise=(gradients_by_autograd, gradients_by_einsum, gradients_by_rows),
    laws=("a_constant_factor", "examples_do_not_mix"),
    skip=frozenset({"gradients", "large"}),
)
