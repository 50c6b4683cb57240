"""Of several exercises of the chapter: stand_alone."""

from dataclasses import replace

import torch
from einops import einsum, rearrange, repeat
from torch.nn import functional as F

from attncourse.exercises.letters import shape_of
from attncourse.exercises.record import Given, Trial
from solutions.stand_alone import inside, windows


def refuse_even(window):
    if window % 2 == 0:
        raise ValueError(f"{window=} is even")


def windows_by_unfold(x, window):
    refuse_even(window)
    flat = x.reshape(-1, 1, *x.shape[-2:])
    found = F.unfold(flat, window, padding=window // 2)
    found = rearrange(found, "b (dy dx) (h w) -> b h w dy dx", dy=window, h=x.shape[-2])
    return found.reshape(*x.shape, window, window)


def at(height, width, window):
    """Row and column of every place of every window."""
    y = torch.arange(height)[:, None] + torch.arange(window) - window // 2
    x = torch.arange(width)[:, None] + torch.arange(window) - window // 2
    return rearrange(y, "h dy -> h 1 dy 1"), rearrange(x, "w dx -> 1 w 1 dx")


def inside_by_unfold(height, width, window):
    ones = F.unfold(torch.ones(1, 1, height, width), window, padding=window // 2)
    return rearrange(ones, "1 (dy dx) (h w) -> h w dy dx", dy=window, h=height) > 0.5


def embeddings_by_repeat(rows, columns):
    down = repeat(rows, "head dy half -> head half dy dx", dx=columns.shape[1])
    across = repeat(columns, "head dx half -> head half dy dx", dy=rows.shape[1])
    return torch.cat((down, across), dim=1)


def attention_trials(values=False):
    def trial(name, window, **sizes):
        sizes |= dict(dy=window, dx=window)
        inputs = dict(q="b head d h w", k="b head d h w")
        inputs |= dict(v="b head d h w") if values else {}
        inputs |= dict(rows="head dy half", columns="head dx half", window=window)
        return Trial(name, sizes, inputs)

    def zeros(trial):
        """The same with a pixel whose key is 0, which is inside all the same."""
        k = torch.randn(
            shape_of("b head d h w", trial.sizes),
            generator=torch.Generator().manual_seed(0),
            dtype=torch.float64,
        )
        k[..., 1, 2] = 0
        return replace(trial, inputs=trial.inputs | dict(k=Given("b head d h w", k)))

    return (
        trial("for window = 5", 5, b=2, head=9, d=8, half=4, h=6, w=7),
        trial("for a window larger than the picture", 7, b=3, head=5, d=2, half=1, h=4, w=6),
        trial("on a single row of pixels, window = 3", 3, b=2, head=5, d=8, half=4, h=1, w=6),
        zeros(trial("where a key is 0, window = 3", 3, b=2, head=5, d=8, half=4, h=7, w=6)),
    )


def weights_by_unfold(q, k, rows, columns, window):
    b, head, d, h, w = q.shape
    near = F.unfold(k.reshape(b, head * d, h, w), window, padding=window // 2)
    near = near.reshape(b, head, d, window * window, h, w)
    r = embeddings_by_repeat(rows, columns).reshape(head, d, window * window, 1, 1)
    scores = (q.unsqueeze(3) * (near + r)).sum(2).movedim(2, -1)
    scores = scores.masked_fill(~inside_by_unfold(h, w, window).flatten(2).to(q.device), -1e9)
    return F.softmax(scores, dim=-1).unflatten(-1, (window, window))


def weights_by_halves(q, k, rows, columns, window):
    content = (q[..., None, None] * windows(k, window)).sum(2)
    up, side = q.chunk(2, dim=2)
    down = einsum(up, rows, "b n d h w, n y d -> b n h w y")
    across = einsum(side, columns, "b n d h w, n x d -> b n h w x")
    scores = content + down[..., :, None] + across[..., None, :]
    scores = scores.where(inside(*q.shape[-2:], window).to(q.device), -1e30)
    powers = (scores - scores.amax((-1, -2), keepdim=True)).exp()
    return powers / powers.sum((-1, -2), keepdim=True)
