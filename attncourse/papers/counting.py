"""Count what a computation costs: its largest tensor, its multiply-adds, its memory."""

import weakref
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from math import prod
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves


@dataclass(frozen=True)
class Count:
    """What one call spent.

    largest_tensor  numbers in the largest tensor that was made; a view that repeats numbers
                    without storing them counts what it stores
    multiply_adds   of matrix products and convolutions
    """

    largest_tensor: int
    multiply_adds: int


def count(call: Callable[[], Any]) -> Count:
    """What `call()` spends, counted and not timed. Attention's own fused products are
    included."""
    tally = Tally()
    with torch.no_grad(), tally:
        call()
    return Count(tally.largest, tally.by_weights + tally.by_inputs)


# What each operation of torch multiplies and adds: its two factors, and how often. The first
# factors are the operands; a convolution is a product of its input with its weight.
def _matrices(a: Tensor, b: Tensor, *_) -> tuple[Tensor, Tensor, int]:
    return a, b, a.numel() * (b.shape[-1] if b.ndim > 1 else 1)


def _added(_, a: Tensor, b: Tensor, *__) -> tuple[Tensor, Tensor, int]:
    return _matrices(a, b)


def _linear(x: Tensor, weight: Tensor, *_) -> tuple[Tensor, Tensor, int]:
    return x, weight, x.numel() * (weight.shape[0] if weight.ndim > 1 else 1)


PRODUCTS = {
    "mm": _matrices,
    "bmm": _matrices,
    "mv": _matrices,
    "dot": _matrices,
    "vdot": _matrices,
    "addmm": _added,
    "baddbmm": _added,
    "addbmm": _added,
    "addmv": _added,
    "linear": _linear,
}
FRESH = {"zeros_like", "ones_like", "empty_like", "full_like", "rand_like", "randn_like"} | {
    "new_zeros",
    "new_ones",
    "new_empty",
    "new_full",
    "new_empty_strided",
}  # these take a shape from their input, no number


class Tally(TorchDispatchMode):
    """Watches every operation of torch, on any device, and adds up what it spends.

    own     tensors that the computation is given and does not make: weights, statistics. A
            product with one of them, or with what comes of them alone, is a product by weights
    inputs  tensors that the computation is given to work on. A product of two tensors that
            both depend on them is a product by inputs, as q k is and A v

    by_weights, by_inputs  multiply-adds; without `inputs` all of them are by weights
    largest, layer         numbers in the largest tensor made, and what `name()` said then
    peak                   bytes alive at a time: inputs and everything made, not `own`
    """

    def __init__(
        self,
        own: Iterable[Tensor] = (),
        inputs: Iterable[Tensor] = (),
        name: Callable[[], str] = str,
    ):
        super().__init__()
        self.by_weights = self.by_inputs = self.largest = self.alive = self.peak = 0
        self.layer, self.name = "", name
        self._einsum = _Einsum(self)
        self._silent = False
        self._known: dict[int, weakref.ref] = {}  # storages by address, while they live
        self._marked: set[int] = set()  # those that depend on the inputs
        self._own = {_address(tensor) for tensor in own}
        inputs = list(inputs)
        self._given = {_address(tensor) for tensor in inputs}
        for tensor in inputs:
            self._see(tensor, depends=True)

    def __enter__(self):
        super().__enter__()
        self._einsum.__enter__()
        return self

    def __exit__(self, *why):
        self._einsum.__exit__(*why)
        return super().__exit__(*why)

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        result = function(*args, **kwargs)
        name = function.overloadpacket.__name__
        if not self._silent and (product := _product(name.rstrip("_"), args, kwargs, result)):
            self._add(*product)
        given = [leaf for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, Tensor)]
        depends = name not in FRESH and any(self._depends(tensor) for tensor in given)
        for leaf in tree_leaves(result):
            if isinstance(leaf, Tensor):
                self._see(leaf, depends)
        return result

    def _add(self, a: Tensor, b: Tensor, times: int) -> None:
        if self._depends(a) and self._depends(b):
            self.by_inputs += times
        else:
            self.by_weights += times

    def _depends(self, tensor: Tensor) -> bool:
        return _address(tensor) in self._marked

    def _see(self, tensor: Tensor, depends: bool) -> None:
        address = _address(tensor)
        if address is None or address in self._own:
            return
        if depends:
            self._marked.add(address)
        storage = tensor.untyped_storage()
        size, numbers = storage.nbytes(), storage.nbytes() // tensor.element_size()
        if address not in self._given and numbers > self.largest:
            self.largest, self.layer = numbers, self.name()
        if address not in self._known:
            self._known[address] = weakref.ref(storage, lambda _: self._gone(address, size))
            self.alive += size
            self.peak = max(self.peak, self.alive)

    def _gone(self, address: int, size: int) -> None:
        self.alive -= size
        self._marked.discard(address)
        del self._known[address]


class _Einsum(TorchFunctionMode):
    """Counts einsum by its letters: torch itself multiplies without a matrix product where a
    contracted axis has length 1."""

    def __init__(self, tally: Tally):
        super().__init__()
        self.tally = tally

    def __torch_function__(self, function, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        if function is not torch.einsum or not isinstance(args[0], str):
            return function(*args, **kwargs)
        operands = args[1] if isinstance(args[1], list | tuple) else args[1:]
        if any(map(_wrapped, operands)):
            return function(*args, **kwargs)
        before, self.tally._silent = self.tally._silent, True
        try:
            result = function(*args, **kwargs)
        finally:
            self.tally._silent = before
        if not before:
            self._count(args[0], operands)
        return result

    def _count(self, equation: str, operands: Iterable[Tensor]) -> None:
        """From left to right, as torch does; what is summed in one operand alone is summed
        first."""
        terms, output, sizes = _letters(equation, operands)
        depends = [self.tally._depends(operand) for operand in operands]
        letters = set(terms[0])
        for n in range(1, len(terms)):
            later = set(output).union(*terms[n + 1 :])
            summed = (letters & set(terms[n])) - later
            letters |= set(terms[n])
            if summed:
                times = prod(sizes[letter] for letter in letters if letter in later | summed)
                if any(depends[:n]) and depends[n]:
                    self.tally.by_inputs += times
                else:
                    self.tally.by_weights += times
            letters &= later


def _letters(equation: str, operands: Iterable[Tensor]):
    """The letters of each operand, those of the output, and the size of each. Axes behind
    `...` get numbers, counted from the right."""
    left, arrow, output = equation.replace(" ", "").partition("->")
    terms, sizes = [], {}
    for term, operand in zip(left.split(","), operands, strict=True):
        head, dots, tail = term.partition("...")
        hidden = operand.ndim - len(head) - len(tail) if dots else 0
        terms.append([*head, *range(hidden, 0, -1), *tail])
        for letter, size in zip(terms[-1], operand.shape, strict=True):
            sizes[letter] = max(size, sizes.get(letter, 1))
    if not arrow:
        every = left.replace(".", "").replace(",", "")
        output = "..." + "".join(letter for letter in every if every.count(letter) == 1)
    hidden = [letter for letter in sizes if isinstance(letter, int) and "..." in output]
    return terms, [*output.replace("...", ""), *hidden], sizes


def _product(name: str, args, kwargs, result) -> tuple[Tensor, Tensor, int] | None:
    """The two factors of an operation, and how many multiply-adds it makes of them."""
    if name in PRODUCTS:
        return PRODUCTS[name](*args)
    if name in ("convolution", "_convolution"):
        x, weight, transposed = args[0], args[1], args[6]
        return x, weight, (x if transposed else result).numel() * weight[0].numel()
    if name.startswith("_scaled_dot_product") and not name.endswith("backward"):
        q, k, v = args[:3]
        return q, k, prod(q.shape[:-1]) * k.shape[-2] * (q.shape[-1] + v.shape[-1])
    return None


def _address(tensor: Tensor) -> int | None:
    """Where the numbers lie; None for a sparse tensor, and inside vmap."""
    if tensor.layout != torch.strided or _wrapped(tensor):
        return None
    return tensor.untyped_storage()._cdata


_wrapped = torch._C._functorch.is_functorch_wrapped_tensor
