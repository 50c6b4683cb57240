"""What people take in place of a mean, a sum or a maximum."""

from collections.abc import Callable, Iterator

from torch import Tensor

from attncourse.checker.alterations.missteps.doing import Way
from attncourse.checker.alterations.steps import Step, axes_of


def ways(step: Step) -> Iterator[Way]:
    """Another reduction over the same axes."""
    noun = step.title.removeprefix(f"the {step.kind}")
    for name, reduce in REDUCED:
        if name != step.kind:
            text = f"you take the {name}{noun}. It is the {step.kind}."
            yield name, text, _reduce_by(reduce)


def _flat(t: Tensor, axes: tuple[int, ...]) -> Tensor:
    """The axes that are reduced, as one at the end."""
    return t.movedim(axes, tuple(range(-len(axes), 0))).flatten(-len(axes))


def _one_by_one(first: str, then: str) -> Callable:
    """Two axes reduced in two ways."""

    def reduce(flat: Tensor, t: Tensor, axes: tuple[int, ...]) -> Tensor:
        if len(axes) != 2:
            raise ValueError("two axes are needed")
        inner = getattr(t, first)(axes[1], keepdim=True)
        return getattr(inner, then)(axes[0], keepdim=True).squeeze(axes)

    return reduce


def _plain(f: Callable[[Tensor], Tensor]) -> Callable:
    return lambda flat, t, axes: f(flat)


REDUCED: tuple[tuple[str, Callable], ...] = (
    ("mean", _plain(lambda t: t.mean(-1))),
    ("sum", _plain(lambda t: t.sum(-1))),
    ("maximum", _plain(lambda t: t.amax(-1))),
    ("minimum", _plain(lambda t: t.amin(-1))),
    ("median", _plain(lambda t: t.median(-1).values)),
    ("mean of the two in the middle", _plain(lambda t: t.quantile(0.5, -1))),
    ("mean magnitude", _plain(lambda t: t.abs().mean(-1))),
    ("largest magnitude", _plain(lambda t: t.abs().amax(-1))),
    ("standard deviation", _plain(lambda t: t.std(-1))),
    ("standard deviation", _plain(lambda t: t.std(-1, unbiased=False))),
    ("variance", _plain(lambda t: t.var(-1))),
    ("variance", _plain(lambda t: t.var(-1, unbiased=False))),
    ("root of the mean square", _plain(lambda t: t.square().mean(-1).sqrt())),
    ("mean square", _plain(lambda t: t.square().mean(-1))),
    ("length (L2 norm)", _plain(lambda t: t.norm(dim=-1))),
    ("sum of magnitudes", _plain(lambda t: t.abs().sum(-1))),
    ("range, maximum less minimum,", _plain(lambda t: t.amax(-1) - t.amin(-1))),
    ("middle between maximum and minimum", _plain(lambda t: (t.amax(-1) + t.amin(-1)) / 2)),
    ("middle between maximum and mean", _plain(lambda t: (t.amax(-1) + t.mean(-1)) / 2)),
    ("sum of maximum and mean", _plain(lambda t: t.amax(-1) + t.mean(-1))),
    ("maximum less the mean", _plain(lambda t: t.amax(-1) - t.mean(-1))),
    ("soft maximum (logsumexp)", _plain(lambda t: t.logsumexp(-1))),
    ("sum, divided by n - 1,", _plain(lambda t: t.sum(-1) / (t.shape[-1] - 1))),
    ("first", _plain(lambda t: t[..., 0])),
    ("last", _plain(lambda t: t[..., -1])),
    ("product", _plain(lambda t: t.prod(-1))),
    ("second largest", _plain(lambda t: t.topk(2, -1).values[..., 1])),
    ("number in the middle",
     lambda f, t, axes: t.movedim(axes, tuple(range(-len(axes), 0)))[
         (..., *(t.shape[a] // 2 for a in axes))]),
    ("mean over the last axis, then the maximum", _one_by_one("mean", "amax")),
    ("maximum over the last axis, then the mean", _one_by_one("amax", "mean")),
    ("sum over the last axis, then the mean", _one_by_one("sum", "mean")),
    ("mean over the last axis, then the sum", _one_by_one("mean", "sum")),
)  # fmt: skip


def _reduce_by(reduce: Callable) -> Callable:
    def change(func, args, kwargs):
        t, axes = args[0], axes_of(args, kwargs)
        out = reduce(_flat(t, axes), t, axes)
        if kwargs.get("keepdim") or (len(args) > 2 and args[2] is True):
            for a in axes:
                out = out.unsqueeze(a)
        return out

    return change
