"""What people put in place of an activation."""

from collections.abc import Callable, Iterator, Mapping

import torch
from torch.nn import functional as F

from attncourse.checker.alterations.missteps.doing import LEFT_OUT, Way, by
from attncourse.checker.alterations.steps import Step


def ways(step: Step) -> Iterator[Way]:
    """Left out, or another activation in its place."""
    title = step.title
    yield "left out", f"{title} is left out.", LEFT_OUT
    behind = title.removeprefix(f"the {step.kind} ")
    where = f"{behind} you have" if behind != title and " behind " in title else "you have"
    for name, f in INSTEAD[step.kind]:
        yield name, f"{where} {name} where the {step.kind} belongs.", by(f)


INSTEAD: Mapping[str, tuple[tuple[str, Callable], ...]] = {
    "ReLU": (
        ("a GELU", F.gelu),
        ("a GELU (by tanh)", lambda t: F.gelu(t, approximate="tanh")),
        ("a SiLU (swish)", F.silu),
        ("a leaky ReLU", F.leaky_relu),
        ("a leaky ReLU", lambda t: F.leaky_relu(t, 0.1)),
        ("a leaky ReLU", lambda t: F.leaky_relu(t, 0.2)),
        ("a leaky ReLU", lambda t: F.leaky_relu(t, 0.3)),
        ("an ELU", F.elu),
        ("a SELU", F.selu),
        ("a CELU", F.celu),
        ("a softplus", F.softplus),
        ("a hard swish", F.hardswish),
        ("a hard sigmoid", F.hardsigmoid),
        ("a Mish", F.mish),
        ("a ReLU6", F.relu6),
        ("a tanh", torch.tanh),
        ("a sigmoid", torch.sigmoid),
        ("the magnitude", torch.abs),
        ("a square", torch.square),
        ("the square of a ReLU", lambda t: t.relu().square()),
        ("a softmax over the second axis", lambda t: t.softmax(1)),
        ("a softmax over the last axis", lambda t: t.softmax(-1)),
        ("the negative part", lambda t: t.clamp(max=0)),
        ("the negative part, made positive,", lambda t: (-t).relu()),
        ("a step from 0 to 1", lambda t: (t > 0).to(t)),
        ("an exponential", torch.exp),
    ),
    "sigmoid": (
        ("a tanh", torch.tanh),
        ("half of 1 + tanh", lambda t: (1 + t.tanh()) / 2),
        ("a hard sigmoid", F.hardsigmoid),
        ("a hard sigmoid", lambda t: (0.2 * t + 0.5).clamp(0, 1)),
        ("a softmax over the second axis", lambda t: t.softmax(1)),
        ("a softmax over the last axis", lambda t: t.softmax(-1)),
        ("a softmax over all pixels",
         lambda t: t.flatten(-2).softmax(-1).unflatten(-1, t.shape[-2:])),
        ("a softmax over the batch", lambda t: t.softmax(0)),
        ("a ReLU", torch.relu),
        ("a ReLU6 over 6", lambda t: F.relu6(t) / 6),
        ("a cut to 0 and 1", lambda t: t.clamp(0, 1)),
        ("a softplus", F.softplus),
        ("the logarithm of a sigmoid", F.logsigmoid),
        ("an exponential", torch.exp),
        ("a SiLU", F.silu),
        ("a softsign", F.softsign),
        ("a step from 0 to 1", lambda t: (t > 0).to(t)),
        ("a normal distribution", torch.special.ndtr),
    ),
    "tanh": (
        ("a sigmoid", torch.sigmoid),
        ("a hard tanh", F.hardtanh),
        ("a softsign", F.softsign),
        ("an error function", torch.erf),
        ("an arc tangent", torch.atan),
        ("a sine", torch.sin),
        ("a ReLU", torch.relu),
        ("a GELU", F.gelu),
        ("a tanh of the half", lambda t: (t / 2).tanh()),
        ("a softmax over the second axis", lambda t: t.softmax(1)),
    ),
    "GELU": (
        ("a ReLU", torch.relu),
        ("a SiLU", F.silu),
        ("a tanh", torch.tanh),
        ("a leaky ReLU", F.leaky_relu),
        ("a GELU by tanh", lambda t: F.gelu(t, approximate="tanh")),
    ),
    "softmax": (
        ("a sigmoid", torch.sigmoid),
        ("a softmax over the last axis", lambda t: t.softmax(-1)),
        ("a softmax over the last axis but one", lambda t: t.softmax(-2)),
        ("a softmax over the second axis", lambda t: t.softmax(1)),
        ("a softmax over the batch", lambda t: t.softmax(0)),
        ("a softmax over the last two axes together",
         lambda t: t.flatten(-2).softmax(-1).unflatten(-1, t.shape[-2:])),
        ("a logarithm of the softmax", lambda t: t.log_softmax(-1)),
        ("an exponential", torch.exp),
        ("a division by the sum", lambda t: t / t.sum(-1, keepdim=True)),
        ("a division by the number of keys", lambda t: t / t.shape[-1]),
        ("a ReLU, divided by its sum",
         lambda t: t.relu() / t.relu().sum(-1, keepdim=True).clamp(min=1e-9)),
    ),
}  # fmt: skip
