"""A model in two: what a layer makes inside it, and the rest as a function of that.

    maps = layer's output while the model runs     head(maps) = model(x)
    head(other) = model(x), with `other` in the place of what the layer makes

    layer called more than once     one call is replaced, the last unless another is named
    layer that works in place       what it has changed is changed again, for all who hold it
    inference mode                  left for as long as gradients are needed

Cost     the model runs once for the maps, and once for each call of the head
Differs  hooks are on the layer while the model runs, and gone afterwards, also after an error
"""

from collections.abc import Callable
from functools import wraps
from itertools import chain

import torch
from jaxtyping import Float
from torch import Tensor, nn

Head = Callable[[Tensor], Tensor]


def split_at(
    model: nn.Module, layer: nn.Module, x: Tensor, call: int = -1
) -> tuple[Float[Tensor, "b c h w"], Head]:
    """The maps that `layer` makes of x inside the model, and the rest of the model as a
    function of them: `grad_cam(*split_at(model, layer, x), classes)`.

    call  which call, where the model calls the layer more than once: counted from 0, or from -1
          backwards, so that the last is taken. The head leaves the others as they are

    The mode is left as it is: call `model.eval()` first. Raises ValueError where the model
    does not call the layer, or not so often, or where it does not make maps.
    """
    name = type(layer).__name__
    with torch.inference_mode(False), torch.no_grad():
        made: list = []
        _run(model, layer, x, lambda y, changed: made.append(_kept(y)))
    if not made:
        raise ValueError(f"the model does not call this {name}")
    if not -len(made) <= call < len(made):
        raise ValueError(f"{call=}, but the model calls this {name} {len(made)} times")
    call, calls = call % len(made), len(made)
    if not isinstance(made[call], Tensor):
        kind = type(made[call]).__name__
        raise ValueError(f"{name} makes a {kind}, not maps: take a layer that makes a tensor")
    if made[call].ndim != 4:
        shape = tuple(made[call].shape)
        raise ValueError(f"{name} makes {shape}, not maps of the form b c h w")

    @outside_inference
    def head(maps: Tensor) -> Tensor:
        seen = []

        def replace(y, changed):
            seen.append(y)
            if len(seen) - 1 != call:
                return None
            return y.copy_(maps) if changed else maps.clone()

        scores = _run(model, layer, x, replace)
        if len(seen) != calls:
            raise ValueError(f"the model called this {name} {calls} times, now {len(seen)}")
        return scores

    return made[call], head


def _run(model: nn.Module, layer: nn.Module, x: Tensor, use: Callable):
    """What the model makes of x. `use` is given each output of the layer, and whether that is
    an input of the layer that was changed in place; what it returns takes its place."""
    versions: list = []

    def before(_, given):
        versions.append([(t, t._version) for t in given if isinstance(t, Tensor)])

    def after(_, given, y):
        changed = any(y is t and t._version > version for t, version in versions.pop())
        return use(y, changed)

    handles = [layer.register_forward_pre_hook(before), layer.register_forward_hook(after)]
    try:
        return _called(model, x.clone())  # it may be changed, or be of inference mode
    finally:
        for handle in handles:
            handle.remove()


def _called(model: nn.Module, x: Tensor):
    """The model on x; weights that were made in inference mode are copied."""
    named = chain(model.named_parameters(), model.named_buffers())
    copies = {name: tensor.clone() for name, tensor in named if tensor.is_inference()}
    return torch.func.functional_call(model, copies, (x,)) if copies else model(x)


def _kept(y):
    return y.clone() if isinstance(y, Tensor) else y


def outside_inference(function: Callable) -> Callable:
    """A function that takes gradients, made to work inside `torch.inference_mode()` too."""

    @wraps(function)
    def called(*given, **more):
        if not torch.is_inference_mode_enabled():
            return function(*map(_normal, given), **more)
        with torch.inference_mode(False):
            return function(*map(_normal, given), **{n: _normal(x) for n, x in more.items()})

    return called


def _normal(x):
    """A tensor of inference mode has no gradients; its copy has."""
    return x.clone() if isinstance(x, Tensor) and x.is_inference() else x
