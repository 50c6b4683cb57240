"""Gains: numbers between 0 and 1 that scale x, one for a channel or for a pixel."""

from torch import Tensor
from torch.nn import functional as F

from attncourse.checker.laws.look import Look, close, general, law, said_first
from attncourse.exercises.letters import largest, number, place


def gain_of_x(look: Look) -> Tensor | None:
    """What x is multiplied with, read off what goes in and comes out."""
    x = look.trial.inputs.get("x")
    if look.probe != "forward" or not isinstance(x, Tensor) or x.shape != look.y.shape:
        return None
    gain = look.y / x
    return gain if gain.isfinite().all() else None


def returns_gains(look: Look) -> bool:
    return look.probe == "attention" and look.axes in {"b c", "b c h w", "b h w", "b 1 h w"}


@general
@law
def nothing_comes_of_nothing(look: Look) -> str | None:
    """Where x is 0, x times a gain is 0."""
    x = look.trial.inputs.get("x")
    if look.probe != "forward" or not isinstance(x, Tensor) or x.shape != look.y.shape:
        return None
    holes = x.clone()
    holes[..., -1] = 0
    y = look.ask(x=holes)
    if isinstance(y, Tensor) and y.shape == x.shape and y[..., -1].abs().max() > 1e-9:
        return (
            "Where x is 0 your output is not: something is added, or the map is not multiplied"
            " with x."
        )
    return None


@general
@law
def gains_scale_x(look: Look) -> str | None:
    """What comes out is x times something: nothing comes out where x is 0."""
    x = look.trial.inputs.get("x")
    if look.probe != "forward" or not isinstance(x, Tensor) or x.shape != look.y.shape:
        return None
    spoiled = x.clone()
    spoiled[..., -1, -1] = 0
    again = look.ask(x=spoiled)
    if isinstance(again, Tensor) and again.shape == x.shape:
        rest = again[..., -1, -1].abs().max().item()
        if rest > 1e-9:
            return (
                f"Where x is 0 you return up to {number(rest)}; x times a gain is 0 there. Is"
                " something added, or a gain returned?"
            )
    return None


@law
def one_gain_for_each_channel(look: Look) -> str | None:
    """A channel gate scales all pixels of a map alike, by a number in (0, 1)."""
    gain = gain_of_x(look)
    if gain is None:
        return gains_in_range(look) if look.probe != "forward" else None
    if not close(gain, gain[..., :1, :1].expand_as(gain)):
        return (
            "Pixels of one channel are scaled by different numbers, from"
            f" {number(gain[0, 0].min().item())} to {number(gain[0, 0].max().item())} at b=0,"
            " c=0. A channel gate has one gain for a whole map: b c 1 1."
        )
    return None


@law
def one_gain_for_each_pixel(look: Look) -> str | None:
    """A spatial gate scales all channels of a pixel alike."""
    gain = gain_of_x(look)
    if gain is None:
        return gains_in_range(look) if look.probe != "forward" else None
    if not close(gain, gain[:, :1].expand_as(gain)):
        return (
            "Channels of one pixel are scaled by different numbers, from"
            f" {number(gain[0, :, 0, 0].min().item())} to"
            f" {number(gain[0, :, 0, 0].max().item())} at b=0, h=0, w=0. A spatial gate has one"
            " gain for a whole pixel: b 1 h w."
        )
    return None


@general
@law
def gains_in_range(look: Look) -> str | None:
    """Gains that should lie between 0 and 1, or between -1 and 1, do."""
    if look.probe != "attention" or not look.y.isfinite().all():
        return None
    low = -1 if (look.expected < 0).any() else 0
    if look.y.min() < low or look.y.max() > 1:
        return (
            f"Your gains run from {number(look.y.min().item())} to"
            f" {number(look.y.max().item())}; they lie between {low} and 1. Is what squashes"
            f" them, {'tanh' if low else 'the sigmoid'}, the last step?"
        )
    return None


@general
@law
def gains_lie_between_0_and_1(look: Look) -> str | None:
    """A gain is a sigmoid: more than 0, less than 1."""
    if not returns_gains(look) or not look.y.isfinite().all():
        return None
    low, high = look.y.min().item(), look.y.max().item()
    if low >= 0 and high <= 1:
        return None
    return (
        f"Your gains run from {number(low)} to {number(high)}. They must lie between 0 and 1:"
        " is the sigmoid the last thing that is done to them?"
    )


@general
@law
def between_once_and_twice(look: Look) -> str | None:
    """BAM adds a share of x to x: between x and 2 x."""
    gain = gain_of_x(look)
    if gain is None or ((gain >= 1) & (gain <= 2)).all():
        return None
    return (
        f"x is multiplied by numbers from {number(gain.min().item())} to"
        f" {number(gain.max().item())}. x + x M lies between x and 2 x, since M is in (0, 1)."
    )


CHANGES = (
    (lambda g: g.sigmoid(), "squashed by a sigmoid once more. Once is enough"),
    (lambda g: g.square(), "squared: a gain is applied twice. Once is enough"),
    (lambda g: g.sqrt(), "the roots of what they should be"),
    (lambda g: 1 - g, "1 minus what they should be: what is important gets the small one"),
    (lambda g: 1 + g, "1 more than they should be: x is added to the scaled x"),
    (lambda g: g - 1, "1 less than they should be: x is taken off the scaled x"),
    (lambda g: 1 / g, "1 over what they should be: you divide where you should multiply"),
    (lambda g: g.logit(), "what goes into the sigmoid: the sigmoid itself is missing"),
    (lambda g: F.hardsigmoid(g.logit()), "a hard sigmoid's, made of straight lines"),
    (lambda g: g.relu(), "what they should be where that is positive, else 0"),
    (lambda g: g.abs(), "right but for their signs, which are lost"),
    (lambda g: g.mean(0, keepdim=True).expand_as(g), "averages over the batch: images mix"),
)


@said_first
@law
def gains_are_themselves(look: Look) -> str | None:
    """Gains that are right but for one thing done to all of them, or to x with them."""
    x = look.trial.inputs.get("x")
    if not isinstance(x, Tensor) or look.y.shape != look.expected.shape:
        return None
    whole = x.shape == look.y.shape
    if look.probe == "attention":
        mine, right, whose = look.y, look.expected, "Your gains are"
        if whole and close(mine, x * right):
            return "Your `attention` returns x scaled already. It returns the gains alone."
    elif look.probe == "forward" and whole and (x.abs() > 1e-9).all():
        mine, right, whose = look.y / x, look.expected / x, "The numbers that scale x are"
    else:
        return None
    if right.numel() < 2 or close(mine, right):
        return None
    said = (what for change, what in CHANGES if close(mine, change(right)))
    found = next(said, None)
    return found and f"{whose} {found}."


@law
def gains_reach_their_channel(look: Look) -> str | None:
    """What scales a channel of x is the gain of this channel, of this image."""
    x = look.trial.inputs.get("x")
    if look.probe != "forward" or not isinstance(x, Tensor) or x.shape != look.y.shape:
        return None
    mine, right = look.y / x, look.expected / x
    whole = all(close(t, t[..., :1, :1].expand_as(t)) for t in (mine, right))
    if not whole or x.shape[-1] < 2 or not mine.isfinite().all():
        return None
    mine, right = mine[..., 0, 0], right[..., 0, 0]
    if close(mine.sort(-1).values, right.sort(-1).values):
        return "You scale by the right gains, but channels get those of other channels."
    at = largest((mine - right).abs())
    return (
        f"At {place(at, 'b c')} you scale x by {number(mine[at].item())}; its gain is"
        f" {number(right[at].item())}. What is done to the gains on the way?"
    )


@law
def gains_come_from_the_means(look: Look) -> str | None:
    """Maps may be replaced by their means: the gains stay."""
    x = look.trial.inputs.get("x")
    if look.probe != "attention" or not isinstance(x, Tensor) or x.ndim != 4:
        return None
    even = look.ask(x=x.mean((-2, -1), keepdim=True).expand_as(x).contiguous())
    if close(even, look.expected) and not close(even, look.y):
        return (
            "Of maps that are the same everywhere your gains are right, of others they are not:"
            " what goes into the layers is not the mean of each map."
        )
    return None


@law
def logits_are_right(look: Look) -> str | None:
    """What goes into the sigmoid, read off the gains: too large, or moved."""
    if not returns_gains(look) or (look.y <= 0).any() or (look.y >= 1).any():
        return None
    mine, right = look.y.logit(), look.expected.logit()
    if not (mine.isfinite().all() and right.isfinite().all()):
        return None
    if close(mine - right, (mine - right).mean().expand_as(mine)):
        return (
            f"What goes into your sigmoid is {number((mine - right).mean().item())} too large"
            " everywhere: is something added?"
        )
    times = ((mine * right).sum() / right.square().sum().clamp(min=1e-12)).item()
    if abs(times) > 1e-6 and close(mine, times * right):
        return f"What goes into your sigmoid is {number(times)} times what it should be."
    return None
