"""What errors of values mean that are of another kind than is wanted: booleans, other floating
types, other devices, layers, None."""

import re

from attncourse.checker.crashes import lines
from attncourse.checker.crashes.words import Crash, Shapes, Table


def _none(found: re.Match, crash: Crash, shapes: Shapes) -> str:
    return (
        f"something{' on this line' if crash.line else ''} is None. Is it the optional"
        " argument, which is None unless it is given, or a call whose `return` is missing?"
    )


def _truth(found: re.Match, crash: Crash, shapes: Shapes) -> str:
    if names := lines.asked_whether_given(crash):
        ask = " and ".join(f"{name} is not None" for name in names)
        many = f"`{names[0]}` holds many" if len(names) == 1 else "these tensors hold many"
        return (
            f"`if` wants one yes or no, and {many}. To ask whether an argument is given, write"
            f" `if {ask}:`."
        )
    if both := lines.chained(crash):
        if both[1] == "brackets":
            return (
                f"`{both[0]}` binds closer than `<` and `==`: put each comparison in brackets,"
                f" `(…) {both[0]} (…)`."
            )
        return (
            f"Python takes `{both[0]}` for two comparisons joined by `and`, which wants one yes"
            f" or no. For tensors write `{both[1]}`."
        )
    if either := lines.either(crash):
        one, other = either
        return (
            f"`{one} or {other}` asks whether `{one}` is true, and a tensor holds many numbers."
            f" Ask whether it is given: `{other} if {one} is None else {one}`."
        )
    if word := lines.joined(crash):
        instead = {"and": "&", "or": "|", "not": "~"}[word]
        brackets = ", with each comparison in brackets" if word != "not" else ""
        return (
            f"Python's `{word}` wants one yes or no, and this tensor holds many. For each entry"
            f" by itself take `{instead}`{brackets}."
        )
    if asked := lines.asked_of_all(crash):
        return (
            f"`if` wants one yes or no, and `{asked}` holds one for each entry: which do you"
            f" mean, `({asked}).all()` or `({asked}).any()`? To choose for each entry take"
            " `torch.where`."
        )
    if word := re.search(r"(?<![.\w])(min|max|sorted)\(", crash.line):
        tensors = {"min": "torch.minimum", "max": "torch.maximum", "sorted": "torch.sort"}
        return (
            f"Python's `{word[1]}` compares whole tensors, which hold many numbers. For each"
            f" number by itself take `{tensors[word[1]]}`."
        )
    return (
        "`if`, `and` and `or` want one yes or no, and this tensor holds many: `&` and `|`"
        " work on each entry. For an optional argument ask `if mask is None`."
    )


VALUES: Table = (
    (
        r"but found Bool|but got .*[Bb]ool|and c10::Bool|Bool and|implemented for 'Bool'",
        "a boolean mask stands where numbers are wanted. Is it passed in another argument's "
        "place? Pass it by name, `mask=…`.",
    ),
    (
        r"expected scalar type|to have the same dtype|expected dtype|must have the same dtype"
        r"|Found dtype|same dtype, but got",
        (
            "two floating types meet: something you make has a type of its own."
            " Make it with the input's dtype and device: `torch.zeros(…, dtype=x.dtype,"
            " device=x.device)`."
        ),
    ),
    (
        r"Expected all tensors to be on the same device",
        "something you make lies on another device than the input: pass `device=x.device`.",
    ),
    (
        r"'(?:Linear|Module|Conv2d)' (?:object|and)|and '(?:Linear|Module|Conv2d)'"
        r"|not (?:Linear|Conv2d)|<class 'torch.nn.modules",
        "a layer stands where a tensor should: call it on its input, `self.layer(x)`.",
    ),
    (
        r"Torch not compiled with CUDA|No CUDA GPUs|NVIDIA driver",
        "you ask for a GPU. An answer stays on the device of its input: `device=x.device`.",
    ),
    (
        r"sqrt\(\).*not (?:int|float)",
        "`torch.sqrt` wants a tensor; for a Python number take `math.sqrt`.",
    ),
    (r"NoneType", _none),
    (
        r"masked_fill_? only supports boolean masks|must be a boolean tensor|condition to be of"
        r" bool"
        r"|expected condition to be a boolean|expected predicate to be bool",
        "this mask is not boolean any more. It comes as bool, True where a query may attend.",
    ),
    (
        r"with a bool tensor is not supported|`-` operator, with two bool",
        "minus does not take a boolean mask. Its opposite is `~mask`.",
    ),
    (
        r"only implemented on integer and Boolean-type|bad operand type for unary ~",
        "`~` takes a boolean mask, and this is not one (any more).",
    ),
    (
        (
            r"result type Float can't be cast|result type Double can't be cast|can't be cast to"
            r" the desired"
        ),
        (
            "you write fractions into a tensor of another type, in place. Make a new tensor"
            " instead."
        ),
    ),
    (
        r"[Bb]oolean value of Tensor with more than one value is ambiguous",
        _truth,
    ),
    (
        r"a leaf Variable that requires grad|modified by an inplace operation",
        "you change a tensor in place that autograd still needs. Make a new one.",
    ),
    (
        (
            r"numpy\(\) on Tensor that requires grad|can't convert .* to"
            r" numpy|tensor.detach\(\).numpy"
        ),
        "numpy cannot follow gradients. Stay with torch from input to output.",
    ),
)
