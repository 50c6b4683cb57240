"""What a network costs: parameters, multiply-adds, the largest tensor, memory.

    cost(model, (1, 3, 224, 224))         of one image, without weights that one would train
    cost(layer, (q, k, v))                of inputs that are there already
    table({"SE": one, "CBAM": other})     side by side

Units    a multiply-add is one product and one sum: papers that say FLOPs mean it, or twice it
Counted  products of convolutions, fully connected layers and attention, as they are made; a
         layer that is called twice counts twice. No sums, scalings, activations or pooling
Memory   bytes of what is alive at a time, input included, weights and scratch space of
         torch's own routines excluded
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves

from attncourse.papers.counting import Tally


@dataclass(frozen=True, repr=False)
class Cost:
    """What one call of a model costs.

    parameters          that are trained
    running_statistics  means and variances that normalisation keeps beside them
    multiply_adds       of a tensor with weights: convolutions, fully connected layers
    attention           multiply-adds of two tensors that both depend on the input: q k, A v
    largest_tensor      numbers in the largest tensor that is made
    largest_layer       the layer that makes it
    peak_memory         bytes alive at a time, forward
    training_memory     the same, forward and backward, the gradients included; None: not asked
    """

    parameters: int
    running_statistics: int
    multiply_adds: int
    attention: int
    largest_tensor: int
    largest_layer: str
    peak_memory: int
    training_memory: int | None = None

    def __repr__(self) -> str:
        return repr(table({"": self}))


def cost(
    model: Callable, input: Tensor | Sequence[Tensor] | Sequence[int], training: bool = False
) -> Cost:
    """What `model(input)` costs, counted while it runs once.

    model     a module, which is run in eval mode, or a function
    input     a tensor, several, or the shape of one, which is then filled with 0
    training  also measure forward and backward, in train mode

    The model may lie on the meta device, where nothing is computed: build it inside
    `with torch.device("meta")`. Mode, running statistics, gradients and random numbers are
    afterwards what they were.
    """
    modules = dict(model.named_modules()) if isinstance(model, nn.Module) else {}
    weights = list(model.parameters()) if modules else []
    statistics = list(model.buffers()) if modules else []
    inputs = _inputs(input, weights)
    with _as_it_was(modules.values(), inputs), _names(model, modules) as name:
        for module in modules.values():
            module.training = False
        tally = Tally([*weights, *statistics], inputs, name)
        with torch.no_grad(), tally:
            model(*inputs)
        memory = _training_memory(model, modules, inputs) if training else None
    return Cost(
        parameters=sum(weight.numel() for weight in weights if weight.requires_grad),
        running_statistics=sum(
            tensor.numel()
            for key, tensor in (model.named_buffers() if modules else ())
            if key.rpartition(".")[2] in ("running_mean", "running_var")
        ),
        multiply_adds=tally.by_weights,
        attention=tally.by_inputs,
        largest_tensor=tally.largest,
        largest_layer=tally.layer,
        peak_memory=tally.peak,
        training_memory=memory,
    )


def _inputs(given: Any, weights: list[Tensor]) -> tuple[Tensor, ...]:
    if isinstance(given, Tensor):
        return (given,)
    given = tuple(given)
    if given and all(isinstance(one, Tensor) for one in given):
        return given
    if not all(isinstance(size, int) for size in given):
        raise ValueError(f"input is a tensor, several, or the shape of one; not {given!r}")
    like = next((weight for weight in weights if weight.is_floating_point()), torch.zeros(()))
    return (torch.zeros(given, dtype=like.dtype, device=like.device),)


def _training_memory(model: nn.Module, modules: Mapping, inputs: tuple[Tensor, ...]) -> int:
    weights = [weight for weight in model.parameters() if weight.requires_grad]
    if not weights:
        raise ValueError("nothing to train: no parameter of the model requires a gradient")
    for module in modules.values():
        module.training = True
    tally = Tally([*model.parameters(), *model.buffers()], inputs)
    with torch.enable_grad(), tally:
        made = [y for y in tree_leaves(model(*inputs)) if isinstance(y, Tensor)]
        loss = sum(y.sum() for y in made if y.requires_grad)
        torch.autograd.grad(loss, weights, allow_unused=True)
    return tally.peak


@contextmanager
def _as_it_was(modules, inputs: tuple[Tensor, ...]) -> Iterator[None]:
    """Modes, buffers and random numbers are restored; fused kernels that cannot be looked into
    stay off."""
    modules = list(modules)
    modes = [module.training for module in modules]
    buffers = [tensor for module in modules for tensor in module._buffers.values()]
    copies = [None if tensor is None else tensor.clone() for tensor in buffers]
    devices = {x.device for x in inputs if x.device.type == "cuda"}
    fast = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        with torch.random.fork_rng(devices=list(devices)):
            yield
    finally:
        torch.backends.mha.set_fastpath_enabled(fast)
        with torch.no_grad():
            for module, mode in zip(modules, modes, strict=True):
                module.training = mode
            for tensor, copy in zip(buffers, copies, strict=True):
                if tensor is not None:
                    tensor.copy_(copy)


@contextmanager
def _names(model: Callable, modules: Mapping[str, nn.Module]) -> Iterator[Callable[[], str]]:
    """A function that says which layer is at work."""
    running = [getattr(model, "__name__", type(model).__name__)]

    def leave(*_):
        running.pop()

    hooks = []
    for name, module in modules.items():
        if name:
            enter = module.register_forward_pre_hook(lambda *_, name=name: running.append(name))
            hooks += [enter, module.register_forward_hook(leave, always_call=True)]
    try:
        yield lambda: running[-1]
    finally:
        for hook in hooks:
            hook.remove()


# ---------------------------------------------------------------- tables


class Text(str):
    """Text that a notebook shows as it is."""

    __slots__ = ()

    def __repr__(self) -> str:
        return str(self)


ROWS = {
    "parameters": "parameters",
    "running_statistics": "running statistics",
    "multiply_adds": "multiply-adds, weights",
    "attention": "multiply-adds, attention",
    "largest_tensor": "largest tensor, numbers",
    "largest_layer": "made by",
    "peak_memory": "memory, forward, bytes",
    "training_memory": "memory, training, bytes",
}


def table(costs: Mapping[str, Cost]) -> Text:
    """Costs side by side, a column each."""
    rows = []
    for name, says in ROWS.items():
        cells = [getattr(one, name) for one in costs.values()]
        if any(cell is not None for cell in cells):
            rows.append([says, *("" if c is None else _written(c) for c in cells)])
    return columns(["", *costs], rows)


def _written(value: int | str) -> str:
    return f"{value:,}" if isinstance(value, int) else value


def columns(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> Text:
    """Rows as a plain table: the first column to the left, the others to the right."""
    from rich.box import SIMPLE_HEAD  # only who looks at a table waits for it
    from rich.console import Console
    from rich.table import Table

    grid = Table(box=SIMPLE_HEAD, show_header=any(heads), show_edge=False, pad_edge=False)
    for n, head in enumerate(heads):
        grid.add_column(head, justify="right" if n else "left", no_wrap=True)
    for row in rows:
        grid.add_row(*row)
    console = Console(width=1000, color_system=None, markup=False, highlight=False)
    with console.capture() as captured:
        console.print(grid)
    lines = [line.rstrip() for line in captured.get().splitlines()]
    return Text("\n".join(line for line in lines if line))
