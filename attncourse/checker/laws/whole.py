"""What is done to a whole result, whatever it is: images mix, a factor, one step too many."""

from torch import Tensor
from torch.nn import functional as F

from attncourse.checker.laws.look import Look, close, general, in_letters, law


@law
def examples_do_not_mix(look: Look) -> str | None:
    """What is returned for one example must not depend on another of the batch."""
    spoiled, size = {}, look.trial.sizes.get("b", 1)
    for name, axes in look.trial.axes.items():
        value = look.trial.inputs[name]
        if axes.split()[0] == "b" and value.is_floating_point() and len(value) > 1:
            spoiled[name] = value.clone()
            spoiled[name][1:] = value[1:].flip(0) * 2 + 1
    if not spoiled or size < 2 or not look.axes.startswith("b"):
        return None
    again = look.ask(**spoiled)
    if (
        isinstance(again, Tensor)
        and again.shape == look.y.shape
        and not close(again[0], look.y[0])
    ):
        return (
            "The examples of a batch mix: changing b=1 changes what you return for b=0. Some"
            " axis is summed, averaged or reshaped across b."
        )
    return None


@general
@law
def a_constant_factor(look: Look) -> str | None:
    """The right result, but for a factor that is the same everywhere."""
    size = look.expected.abs()
    if look.y.shape != look.expected.shape or size.max() < 1e-9:
        return None
    factor = (look.y.flatten()[size.argmax()] / look.expected.flatten()[size.argmax()]).item()
    if abs(factor - 1) < 1e-6 or not close(look.y, factor * look.expected):
        return None
    if abs(factor) < 1e-9:
        return "Your result is 0 everywhere."
    sizes = dict(look.trial.sizes)
    if "h" in sizes and "w" in sizes:
        sizes |= {"h w": sizes["h"] * sizes["w"]}
    return f"Your result is everywhere {in_letters(factor, sizes)} times what it should be."


STEPS = (
    (lambda y: y.softmax(-1), "the softmax of"),
    (lambda y: y.log_softmax(-1), "the log_softmax of"),
    (lambda y: y.sigmoid(), "the sigmoid of"),
    (lambda y: y.tanh(), "the tanh of"),
    (lambda y: y.relu(), "the ReLU of"),
    (F.gelu, "the GELU of"),
    (lambda y: y.exp(), "exp of"),
    (lambda y: y.log(), "the logarithm of"),
    (lambda y: y.square(), "the square of"),
    (lambda y: y.sqrt(), "the root of"),
    (lambda y: -y, "minus"),
    (lambda y: 1 / y, "1 over"),
    (lambda y: y.abs(), "the absolute value of"),
    (lambda y: F.normalize(y, dim=-1), "the direction, of length 1, of"),
    (lambda y: F.layer_norm(y, y.shape[-1:]), "the layer norm of"),
)


@law
def one_step_more_or_less(look: Look) -> str | None:
    """The right result, and one thing done to it, or one thing left out."""
    y, right = look.y, look.expected
    if (
        not isinstance(y, Tensor)
        or y.shape != right.shape
        or y.dtype != right.dtype
        or not y.is_floating_point()
    ):
        return None
    if close(y, right):
        return None
    if said := _with_an_input(look):
        return said
    if y.ndim == 0 or y.numel() < 3:
        return None
    for step, what in STEPS:
        if close(y, step(right)):
            return f"Right, but for one step: you return {what} what it should be."
    for step, what in STEPS[:6]:
        if close(step(y), right):
            return f"Right, but for one step: {what} what you return is what it should be."
    return None


def _with_an_input(look: Look) -> str | None:
    """An input that is added or multiplied once too often, or once too rarely."""
    y, right = look.y, look.expected
    for name, x in look.trial.inputs.items():
        if not isinstance(x, Tensor) or x.shape != y.shape or not x.is_floating_point():
            continue
        if close(y - right, x):
            return f"Right, but for one step: `{name}` is added to the result once too often."
        if close(right - y, x):
            return f"Right, but for one step: `{name}` is missing; it is added to the result."
        if close(y, right * x):
            return f"Right, but for one step: the result is multiplied with `{name}`."
        if close(right, y * x):
            return f"Right, but for one step: the result is not multiplied with `{name}`."
    return None
