"""What the commonest errors of torch, einops and Python mean on the learner's line."""

import re
from collections.abc import Callable, Mapping

from attncourse.checker.running import Crash
from attncourse.exercises.letters import spell

Shapes = dict[str, str]  # the learner's tensors on that line, in letters


def explain(crash: Crash, sizes: Mapping[str, int]) -> str | None:
    """The likely cause in one line, or None for an error that we do not know."""
    shapes = shapes_on_line(crash, sizes)
    cut = "is invalid for input of size" in crash.text or "can't divide axis" in crash.text
    turned = re.search(r"\.T\b", crash.line) and not cut
    if turned and any(len(s) > 2 for s in crash.shapes.values()):
        return (
            "`.T` turns all axes round; `.mT` exchanges the last two, `rearrange` says which."
        )
    for pattern, reason in KNOWN:
        if found := re.search(pattern, f"{crash.kind}: {crash.text}", re.DOTALL):
            text = reason(found, crash, shapes) if callable(reason) else reason
            return _in_letters(text, sizes)
    return None


def shapes_on_line(crash: Crash, sizes: Mapping[str, int]) -> Shapes:
    """The tensors that the crashed line mentions, by the learner's names, in letters."""
    words = set(re.findall(r"[A-Za-z_]\w*", crash.line))
    return {n: spell(s, sizes) for n, s in crash.shapes.items() if n in words}


def told(shapes: Shapes) -> str:
    """ "q is b i d, k is b j d"."""
    return ", ".join(f"`{name}` is {axes}" for name, axes in shapes.items())


def _in_letters(text: str, sizes: Mapping[str, int]) -> str:
    """⟨7⟩ in a text becomes `d` where d is 7."""
    letters = {size: letter for letter, size in sizes.items()}

    def named(found: re.Match) -> str:
        size = int(found[1])
        return f"{letters[size]} ({size})" if size in letters else found[1]

    return re.sub(r"⟨(\d+)⟩", named, text)


def _product(found: re.Match, crash: Crash, shapes: Shapes) -> str:
    text = "the two matrices share no axis of equal size"
    if told(shapes):
        text += f": {told(shapes)}"
    return (
        text
        + ". `@` sums the last axis of the left over the last but one of the right; did you"
        " forget to transpose one?"
    )


def _layer(found: re.Match, crash: Crash, shapes: Shapes) -> str:
    has, wants = found[2], found[3]
    if "self." not in crash.line and "@" in crash.line:
        return _product(found, crash, shapes)
    text = f"a layer is given a last axis of {has} and wants one of {wants}"
    return text + (f": {told(shapes)}." if told(shapes) else ".")


def _broadcast(found: re.Match, crash: Crash, shapes: Shapes) -> str:
    a, b, _ = found.groups()
    text = f"an axis of size ⟨{a}⟩ meets one of size ⟨{b}⟩"
    if told(shapes):
        text += f": {told(shapes)}"
    return (
        text
        + ". Axes are matched from the right; give the smaller tensor axes of length 1 where it"
        " lacks a letter."
    )


def _einsum_size(found: re.Match, crash: Crash, shapes: Shapes) -> str:
    _, here, _, seen = found.groups()
    text = f"in the einsum one letter stands for ⟨{here}⟩ and for ⟨{seen}⟩"
    return text + (f": {told(shapes)}." if told(shapes) else ".") + " One letter, one size."


def _subscripts(found: re.Match, crash: Crash, shapes: Shapes) -> str:
    written, has = found.groups()
    text = f"the einsum pattern gives {written} letters to a tensor of {has} axes"
    return text + (f": {told(shapes)}." if told(shapes) else ".")


def _einops_ndim(found: re.Match, crash: Crash, shapes: Shapes) -> str:
    expected, received = found.groups()
    text = f"the einops pattern has {expected} axes on its left, the tensor has {received}"
    return text + (f": {told(shapes)}." if told(shapes) else ".")


def _einops_reason(found: re.Match, crash: Crash, shapes: Shapes) -> str:
    reason = crash.text.strip().splitlines()[-1].strip()
    if inferred := re.match(r"Could not infer sizes for \{?(.*?)\}?$", reason):
        names = inferred[1].replace("'", "")
        reason = f"it cannot work out the sizes of {names} alone; say one of them, as in `p=p`"
    text = f"the einops pattern does not fit the tensor: {reason.rstrip('.')}"
    return text + (f" ({told(shapes)})." if told(shapes) else ".")


def _arguments(found: re.Match, crash: Crash, shapes: Shapes) -> str:
    if crash.line:
        return f"a call on this line has too many arguments or too few: {crash.text}."
    return (
        "your answer takes another number of arguments than the exercise gives it "
        f"({crash.text}). Keep the signature of the stub."
    )


def _attribute(found: re.Match, crash: Crash, shapes: Shapes) -> str:
    owner, name = found.groups()
    return f"`{owner}` has no `{name}`. Is it spelt as in the given `__init__`?"


def _truth(found: re.Match, crash: Crash, shapes: Shapes) -> str:
    if word := re.search(r"(?<![.\w])(min|max|sorted|and|or|not)\b", crash.line):
        tensors = {"min": "torch.minimum", "max": "torch.maximum", "and": "&", "or": "|"}
        instead = tensors.get(word[1], "~" if word[1] == "not" else "torch.sort")
        return (
            f"Python's `{word[1]}` wants one yes or no, and this tensor holds many. For each"
            f" number by itself take `{instead}`."
        )
    return (
        "`if`, `and` and `or` want one yes or no, and this tensor holds many: `&` and `|`"
        " work on each entry. For an optional argument ask `if mask is None`."
    )


def _none(found: re.Match, crash: Crash, shapes: Shapes) -> str:
    return (
        "something on this line is None. Is it the optional argument, which is None unless it"
        " is given, or a call whose `return` is missing?"
    )


def _tiles(found: re.Match, crash: Crash, shapes: Shapes) -> str:
    a, b = found.groups()
    text = f"in a kernel an axis of ⟨{a}⟩ meets one of ⟨{b}⟩"
    text += f": {told(shapes)}" if told(shapes) else ""
    return text + ". `[:, None]` makes i an axis i 1, which fits i j and i e."


KNOWN: tuple[tuple[str, str | Callable[[re.Match, Crash, Shapes], str]], ...] = (
    (r"incompatible dimensions at index \d+: (\d+) and (\d+)", _tiles),
    (
        r"input shape.*not compatible for matmul|First input shape"
        r"|must have equal reduction dim",
        lambda f, c, s: (
            f"the two tiles share no axis of equal size{': ' + told(s) if s else ''}. `tl.dot`"
            " sums the last axis of the first over the first of the second."
        ),
    ),
    (
        r"'tensor' object has no attribute '(\w+)'",
        lambda f, c, s: (
            f"a tile of Triton has no `{f[1]}`: inside a kernel it is `tl.max(x, 1)`,"
            " `tl.sum(x, 1)`, `tl.exp`, `tl.maximum`, `tl.dot`."
        ),
    ),
    (
        r"must be Tensor, not tensor|Tensor type unknown to einops|unsupported operand type"
        r"\(s\) for @: 'tensor'|found type tensor|must be real number, not tensor",
        "torch, einops, math and `@` do not work on tiles: inside a kernel it is `tl.max`,"
        " `tl.sum`, `tl.exp`, `tl.maximum`, `tl.dot`.",
    ),
    (
        r"not implemented for 'Bool'",
        "booleans are no numbers for torch, so it cannot multiply or add them here: make them"
        " such first, `.float()`.",
    ),
    (r"mat1 and mat2 shapes cannot be multiplied \((\d+)x(\d+) and (\d+)x(\d+)\)", _layer),
    (
        r"mat1 and mat2 shapes cannot be multiplied|Expected size for first two dimensions of"
        r" batch2"
        r"|must have same reduction dim|inconsistent tensor size, expected tensor",
        _product,
    ),
    (
        r"size of tensor a \((\d+)\) must match the size of tensor b \((\d+)\) at"
        r" non-singleton "
        r"dimension (\d+)",
        _broadcast,
    ),
    (
        r"expanded size of the tensor \((\d+)\) must match the existing size \((\d+)\) at "
        r"non-singleton dimension (\d+)",
        _broadcast,
    ),
    (
        r"einsum\(\): subscript (\w+) has size (\d+) for operand (\d+) which does not broadcast"
        r" with "
        r"previously seen size (\d+)",
        _einsum_size,
    ),
    (
        r"number of subscripts in the equation \((\d+)\).*?number of dimensions \((\d+)\)",
        _subscripts,
    ),
    (
        (
            r"einsum\(\): (?:more|fewer) operands|einsum\(\): subscript in"
            r" subscripts|einsum\(\): output"
        ),
        (
            "the einsum pattern does not fit its operands: one group of letters for each"
            " tensor, and only letters that occur on the left after the arrow."
        ),
    ),
    (r"Wrong shape: expected (\d+) dims. Received (\d+)-dim", _einops_ndim),
    (
        r"Identifiers only on one side of expression[^:]*: ([^\n]*)",
        (
            "the einops pattern names an axis on one side only. `rearrange` keeps every axis,"
            " `reduce` may drop some, `repeat` may add some."
        ),
    ),
    (
        r"einops.einsum requires at least two|The last argument passed to `einops.einsum`"
        r"|einops.einsum\(\): |must be a string",
        "`einops.einsum` takes the tensors first and the pattern last: "
        'einsum(x, y, "b i d, b j d -> b i j").',
    ),
    (
        r"can't divide axis of length (\d+) in chunks of (\d+)",
        lambda f, c, s: f"an axis of ⟨{f[1]}⟩ cannot be cut into pieces of ⟨{f[2]}⟩.",
    ),
    (r"EinopsError.*?\n (Shape mismatch[^\n]*|[^\n]*)", _einops_reason),
    (
        r"view size is not compatible",
        (
            "`view` wants numbers that lie next to each other in memory, and these do not."
            " `rearrange` takes any layout."
        ),
    ),
    (
        r"shape '\[(.*?)\]' is invalid for input of size (\d+)",
        lambda f, c, s: (
            f"{f[2]} numbers do not fill the shape [{f[1]}]"
            + (f": {told(s)}." if told(s) else ".")
            + " `rearrange` says which axis goes where."
        ),
    ),
    (
        r"Sizes of tensors must match except in dimension",
        lambda f, c, s: f"the tensors to join differ in another axis: {told(s)}.",
    ),
    (
        r"Dimension out of range",
        lambda f, c, s: f"this axis does not exist: {told(s) or 'count them from the end'}.",
    ),
    (
        r"index (\d+) is out of bounds for dimension (\d+) with size (\d+)",
        lambda f, c, s: f"index {f[1]} is beyond an axis of ⟨{f[3]}⟩: {told(s)}.",
    ),
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
    (
        r"'Tensor' object is not callable",
        "a tensor stands where a function is wanted: pass the function, not what it gave.",
    ),
    (
        r"NameError: name '(\w+)' is not defined",
        lambda f, c, s: (
            f"`{f[1]}` is not known here. Did you run the first cell, with the imports, and is"
            " it spelt as there?"
        ),
    ),
    (
        r"UnboundLocalError.*?variable '(\w+)'",
        lambda f, c, s: f"`{f[1]}` has a value on one path only; here it has none.",
    ),
    (r"AttributeError: '(\w+)' object has no attribute '(\w+)'", _attribute),
    (r"AttributeError: .*?module '([\w.]+)' has no attribute '(\w+)'", _attribute),
    (
        r"takes \d+ positional arguments? but \d+ (?:was|were) given|takes from \d+ to \d+"
        r" positional"
        r"|missing \d+ required positional argument",
        _arguments,
    ),
    (
        r"missing \d+ required keyword-only argument|unexpected keyword argument",
        lambda f, c, s: f"a call on this line is given the wrong arguments ({c.text}).",
    ),
    (
        r"torch\.return_types\.(\w+)",
        lambda f, c, s: (
            f"`{f[1]}` along an axis returns two things, values and indices: take `.values`, or"
            f" `a{f[1]}` for the values alone."
            if f[1] in ("max", "min")
            else f"`{f[1]}` returns two things, values and indices: take `.values`."
        ),
    ),
    (
        r"received an invalid combination of arguments|must be (?:Tensor|tuple of"
        r" ints|int), not"
        r"|argument '\w+' must be",
        "torch takes other arguments here: look at their number and kinds.",
    ),
    (
        r"not enough values to unpack \(expected (\d+), got (\d+)\)",
        lambda f, c, s: f"you unpack {f[1]} values where there are {f[2]}: {told(s)}.",
    ),
    (
        r"too many values to unpack",
        lambda f, c, s: f"there are more values than names to unpack them into: {told(s)}.",
    ),
    (
        r"only (?:one element|0-dimensional)|can only be called on a 0-dim|a Tensor with \d+"
        r" elements cannot"
        r"|only tensors.*converted to Python scalars",
        lambda f, c, s: f"a whole tensor cannot become one Python number: {told(s)}.",
    ),
    (
        r"selected index k out of range",
        lambda f, c, s: (
            f"`topk` is asked for more than there are on its axis: {told(s)}. Join the axes to"
            " choose from first."
        ),
    ),
    (r"RecursionError", "it calls itself without end."),
    (
        r"MemoryError|can't allocate memory|not enough memory",
        "it asks for more memory than there is.",
    ),
    (r"SystemExit", "it leaves Python (`exit` or `sys.exit`). An answer returns its result."),
    (r"TimeoutError", "it took too long."),
    (r"ZeroDivisionError", "it divides by zero."),
    (r"KeyError: (.*)", lambda f, c, s: f"there is no entry {f[1]}."),
)
