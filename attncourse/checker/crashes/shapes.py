"""What errors of products, axes and sizes mean: broadcasting, einsum, einops, indices."""

import re

from attncourse.checker.crashes import lines
from attncourse.checker.crashes.words import Crash, Shapes, Table, shown, told


def _product(found: re.Match, crash: Crash, shapes: Shapes) -> str:
    text = "the two matrices share no axis of equal size"
    if len(re.findall(r"@|matmul|bmm|\bmm\(", crash.line)) > 1:  # of what lies between
        text += " (a line of several products: make them one by one)"
    elif told(shapes):
        text += f": {told(shapes)}"
    text += ". `@` sums the last axis of the left over the last but one of the right"
    remedy = lines.product_remedy(crash)
    return f"{text}; {remedy}" if remedy else f"{text}: these two must be of one size."


def _layer(found: re.Match, crash: Crash, shapes: Shapes) -> str:
    has, wants = found[2], found[3]
    if "self." not in crash.line and re.search(r"@|matmul|\bmm\(", crash.line):
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


def _joined(found: re.Match, crash: Crash, shapes: Shapes) -> str:
    text = "tensors that are joined must agree in all axes but the one along which they are"
    text += " joined"
    if found[1]:
        text += f", here axis {found[1]}. Another axis is ⟨{found[2]}⟩ in one of them and"
        text += f" ⟨{found[3]}⟩ in the next"
    return f"{text}{shown(shapes)}."


def _einops_reason(found: re.Match, crash: Crash, shapes: Shapes) -> str:
    reason = crash.text.strip().splitlines()[-1].strip()
    if inferred := re.match(r"Could not infer sizes for \{?(.*?)\}?$", reason):
        names = inferred[1].replace("'", "")
        reason = f"it cannot work out the sizes of {names} alone; say one of them, as in `p=p`"
    text = f"the einops pattern does not fit the tensor: {reason.rstrip('.')}"
    return text + (f" ({told(shapes)})." if told(shapes) else ".")


SHAPES: Table = (
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
        r"Given groups=\d+, weight of size.*? to have (\d+) channels",
        lambda f, c, s: (
            "a convolution has its channels right before the axes that it slides along, b"
            f" channels n or b channels h w, and this one wants {f[1]} there{shown(s)}."
            " `rearrange` can add an axis of length 1."
        ),
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
        r"Sizes of tensors must match except in dimension (\d+)\. Expected size (\d+) but got"
        r" size (\d+)|Sizes of tensors must match except in dimension",
        _joined,
    ),
    (
        r"Dimension out of range",
        lambda f, c, s: f"this axis does not exist{shown(s)}. Count from 0, or from the end.",
    ),
    (
        r"index (\d+) is out of bounds for dimension (\d+) with size (\d+)",
        lambda f, c, s: f"index {f[1]} is beyond an axis of ⟨{f[3]}⟩{shown(s)}.",
    ),
)
