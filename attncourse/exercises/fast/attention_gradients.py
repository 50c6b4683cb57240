"""The gradients of attention, from its output and the log-sum-exps: the map is made again."""

import math

import torch
from torch.nn import functional as F

from attncourse.exercises.edits import often, wrong
from attncourse.exercises.record import Exercise, Given, Trial
from solutions.fast.tiles import attention_gradients


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
        trial("with 9 queries and 10 keys", b=2, i=9, j=10, d=3, e=4),
        trial("with heads and more queries than keys", b=2, head=3, i=16, j=10, d=4, e=9),
        trial("with one key", b=2, i=3, j=1, d=4, e=5),
        trial("with as many keys as queries", b=2, i=6, j=6, d=5, e=3),
    )


# fmt: off
MAPS = (
    *often(
        wrong("scores_not_scaled", "scores = scale * einsum", "scores = einsum",
              "The map is not made again as it was: its scores are q · k / sqrt(d), and the"
              " log-sum-exp belongs to those."),
        wrong("log_ignored", '(scores - rearrange(lse, "... i -> ... i 1")).exp()', "scores.exp()",
              "Your shares are exp(s), without the log-sum-exp, and do not sum to 1. They are exp(s -"
              " lse)."),
    ),
    wrong("scores_over_d", "scores = scale * einsum", "scores = scale**2 * einsum",
          "The map is made again with scores over d. They were divided by sqrt(d)."),
    wrong("scores_over_values", "scores = scale * einsum",
          "scores = 1 / math.sqrt(v.shape[-1]) * einsum",
          "The map is made again with scores over sqrt(e). d is the number of features of q and"
          " k."),
    wrong("log_added", "scores - rearrange", "scores + rearrange",
          "You add the log-sum-exp. Dividing by the sum is subtracting its logarithm: exp(s -"
          " lse)."),
    wrong("divided_by_the_log", '(scores - rearrange(lse, "... i -> ... i 1")).exp()',
          'scores.exp() / rearrange(lse, "... i -> ... i 1")',
          "You divide by the log-sum-exp, which is a logarithm: exp(s) / exp(lse) = exp(s - lse)."),
    wrong("softmax_of_queries", '(scores - rearrange(lse, "... i -> ... i 1")).exp()',
          "scores.softmax(-2)",
          "Your shares sum to 1 over the queries. It is over the keys j, the last axis."),
    wrong("scores_for_shares", '(scores - rearrange(lse, "... i -> ... i 1")).exp()',
          'scores - rearrange(lse, "... i -> ... i 1")',
          "You take s - lse for the shares. It is the exponential of that."),
)

DELTAS = (
    *often(
        wrong("delta_missing", "(slope - delta)", "slope",
              "delta is missing: a softmax only moves weight from key to key, so that ds = A (dy"
              " vᵀ - delta), with delta = sum over e of dy y."),
    ),
    wrong("delta_without_y", "dy * y", "dy",
          "delta is the sum of dy alone. It is the sum over e of dy y: what the output lost or"
          " gained."),
    wrong("delta_is_a_mean", '"sum"', '"mean"',
          "delta is a mean over the features. It is their sum: dy · y."),
    wrong("delta_of_all_keys_alike", 'reduce(dy * y, "... i e -> ... i 1", "sum")',
          'reduce(slope, "... i j -> ... i 1", "mean")',
          "delta is the plain mean of dy vᵀ over the keys. It is the mean by their shares, Σ_j A"
          " dy vᵀ, which is dy · y."),
    wrong("delta_divided_by_keys", 'reduce(dy * y, "... i e -> ... i 1", "sum")',
          'reduce(shares * slope, "... i j -> ... i 1", "mean")',
          "You take the mean of A dy vᵀ over the keys. The shares weigh already: it is their sum,"
          " or dy · y."),
    wrong("delta_unweighted", 'reduce(dy * y, "... i e -> ... i 1", "sum")',
          'reduce(slope, "... i j -> ... i 1", "sum")',
          "delta is the sum of dy vᵀ over the keys. Each counts with its share, Σ_j A dy vᵀ,"
          " which is dy · y."),
    wrong("delta_over_queries", 'reduce(dy * y, "... i e -> ... i 1", "sum")',
          'reduce(shares * slope, "... i j -> ... 1 j", "sum")',
          "delta is summed over the queries. Each query has its own: summed over the keys, or dy"
          " · y over the features."),
    wrong("delta_of_the_whole", 'reduce(dy * y, "... i e -> ... i 1", "sum")', "(dy * y).sum()",
          "delta is one number for all queries. Each has its own: dy · y, `keepdim=True`."),
    wrong("delta_of_y_alone", "dy * y", "y",
          "delta is the sum of y alone. It is the sum over e of dy y."),
    wrong("delta_twice", "slope - delta", "slope - 2 * delta",
          "You take delta twice. Once: A (dy vᵀ - delta)."),
    wrong("delta_of_squares", "dy * y", "y * y",
          "delta is y · y. It is dy · y."),
)

SLOPES = (
    wrong("delta_added", "slope - delta", "slope + delta",
          "You add delta. It is subtracted: ds = A (dy vᵀ - delta), which sums to 0 over the"
          " keys."),
    wrong("delta_outside", "shares * (slope - delta)", "shares * slope - delta",
          "You subtract delta after multiplying by the shares. It stands in the bracket: ds = A"
          " (dy vᵀ - delta)."),
    wrong("shares_not_multiplied", "shares * (slope - delta)", "slope - delta",
          "ds lacks the shares: a key with a small share moves the output little. ds = A (dy vᵀ -"
          " delta)."),
    wrong("as_if_of_one", "shares * (slope - delta)", "shares * (1 - shares) * slope",
          "You take A (1 - A) dy vᵀ, as for a sigmoid. In a softmax every share depends on every"
          " score: ds = A (dy vᵀ - delta)."),
    wrong("sign_turned", "slope - delta", "delta - slope",
          "ds has the wrong sign: A (dy vᵀ - delta), not A (delta - dy vᵀ)."),
)

VALUES = (
    *often(
        wrong("dv_from_ds", "dk, dv", 'dk, einsum(ds, dy, "... i j, ... i e -> ... j e")',
              "dv is made from ds. The values are read by the shares: dv = Aᵀ dy."),
    ),
    wrong("dv_over_queries", "einsum(shares, dy",
          'einsum(shares / reduce(shares, "... i j -> ... 1 j", "sum"), dy',
          "dv is made with shares that sum to 1 over the queries. They are those of the forward"
          " forward, which sum to 1 over the keys: dv = Aᵀ dy."),
    wrong("dv_from_y", "einsum(shares, dy", "einsum(torch.ones_like(shares), dy",
          "dv sums dy over the queries, with no shares. dv = Aᵀ dy."),
    wrong("dv_with_scale", "dv = einsum", "dv = scale * einsum",
          "You scale dv. The scale belongs to the scores: dq and dk have it, dv has not."),
)

SCALES = (
    *often(
        wrong("neither_scaled", "dq = scale * einsum", "dq = einsum",
              "dq and dk lack the scale. The scores are scale q · k, so both slopes are too.",
              ("dk = scale * einsum", "dk = einsum")),
        wrong("query_not_scaled", "dq = scale * einsum", "dq = einsum",
              "dq lacks the scale: ds is the slope of the scaled scores, dq = ds k / sqrt(d)."),
        wrong("key_not_scaled", "dk = scale * einsum", "dk = einsum",
              "dk lacks the scale: ds is the slope of the scaled scores, dk = dsᵀ q / sqrt(d)."),
        wrong("both_scaled_twice", "dq = scale * einsum", "dq = scale**2 * einsum",
              "dq and dk are scaled twice, by 1 / d. The scale comes in once: is q scaled already"
              " where you use it, or ds too?",
              ("dk = scale * einsum", "dk = scale**2 * einsum")),
    ),
    wrong("key_scaled_twice", "dk = scale * einsum", "dk = scale**2 * einsum",
          "dk is scaled twice: you use q after it was scaled, and scale again."),
    wrong("multiplied_by_root_d", "dq = scale * einsum", "dq = 1 / scale * einsum",
          "You multiply dq and dk by sqrt(d). The scores are divided by it, so are their slopes.",
          ("dk = scale * einsum", "dk = 1 / scale * einsum")),
)

ENDS = (
    wrong("by_other_rows", 'einsum(ds, q, "... i j, ... i d -> ... j d")',
          'einsum(ds, k, "... i j, ... j d -> ... j d")',
          "dk is made with k. A score is q · k: the slope for k is q, dk = dsᵀ q."),
    wrong("by_own_rows", 'einsum(ds, k, "... i j, ... j d -> ... i d")',
          'einsum(ds, q, "... i j, ... i d -> ... i d")',
          "dq is made with q. A score is q · k: the slope for q is k, dq = ds k."),
    wrong("keys_first", "return dq, dk", "return dk, dq",
          "You return dk before dq. The order is that of the inputs: dq, dk, dv."),
)
# fmt: on


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
    slips=(*MAPS, *DELTAS, *SLOPES, *VALUES, *SCALES, *ENDS),
    hints=(
        "y = A v. If you nudge one entry of v, which entries of y move, and by how much?"
        " That is dv. And if you nudge one score of a query, why do all of its shares"
        " move?",
        "A = exp(s - lse). dv = Aᵀ dy. dA = dy vᵀ; through the softmax ds = A (dA - δ), δ"
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
    skip=frozenset({"gradients", "large", "sizes"}),
    ready=(
        "torch.autograd.grad",
        "torch.autograd.backward",
        "torch.Tensor.backward",
        "torch.func.vjp",
    ),
)
