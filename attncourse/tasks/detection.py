"""Digits to be found in clutter on photographs: which they are, and the box around each."""

from typing import NamedTuple

import torch
from einops import rearrange, repeat
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional as F

from attncourse.tasks.pictures import Digits, digits, photograph

SIDE = 64  # pixels of a picture
SMALL = 32  # … with one digit
SMALLEST, LARGEST = 12, 28  # of a digit, before the box is drawn close around its ink
INK = 0.35  # what counts as ink for the box


class Scenes(NamedTuple):
    """Pictures with digits in them.

    image   b 3 h w, from 0 to 1
    boxes   for each picture n 4: left, top, right and bottom edge of the ink, in pixels
    labels  for each picture n, from 0 to 9
    """

    image: Float[Tensor, "b 3 h w"]
    boxes: list[Float[Tensor, "n 4"]]
    labels: list[Int[Tensor, " n"]]


def scenes(count: int, seed: int, test: bool = False) -> Scenes:
    """Pictures of 64 x 64: one to four whole digits, and six pieces of digits, in any colour on
    a piece of a photograph.

    test  take digits and halves of the photographs that are not used otherwise
    """
    return _scenes(count, seed, test, SIDE, pieces=6, most=4)


def single_digits(count: int, seed: int, test: bool = False) -> Scenes:
    """Pictures of 32 x 32: one whole digit, and three pieces of others."""
    return _scenes(count, seed, test, SMALL, pieces=3, most=1)


def _scenes(count: int, seed: int, test: bool, side: int, pieces: int, most: int) -> Scenes:
    dice = torch.Generator().manual_seed(seed)
    known, grounds = digits(test), _grounds(test)
    made = [_scene(dice, known, grounds, side, pieces, most) for _ in range(count)]
    return Scenes(
        torch.stack([image for image, _, _ in made]),
        [boxes for _, boxes, _ in made],
        [labels for _, _, labels in made],
    )


def _grounds(test: bool) -> list[Float[Tensor, "c h w"]]:
    """The left halves of the photographs; for testing the right ones."""
    found = []
    for name in ("china", "flower"):
        whole = rearrange(photograph(name, 213, 320), "h w c -> c h w")
        half = whole.shape[-1] // 2
        found.append(whole[..., half:] if test else whole[..., :half])
    return found


def _scene(
    dice: torch.Generator,
    known: Digits,
    grounds: list[Tensor],
    side: int,
    pieces: int,
    most: int,
) -> tuple[Tensor, Tensor, Tensor]:
    def number(low: int, high: int) -> int:
        return int(torch.randint(low, high + 1, (), generator=dice))

    def digit() -> tuple[int, Tensor]:
        which = number(0, len(known.label) - 1)
        return which, _ink(known, which, number(SMALLEST, LARGEST))

    ground = grounds[number(0, len(grounds) - 1)]
    top, left = (number(0, n - side) for n in ground.shape[-2:])
    image = ground[:, top : top + side, left : left + side].clone()
    for _ in range(pieces):
        piece = _piece(digit()[1], number(0, 3))
        _draw(image, piece, number(-4, side - 8), number(-4, side - 8), dice)
    boxes: list[Tensor] = []
    labels: list[int] = []
    for _ in range(number(1, most)):
        which, ink = digit()
        y, x = number(0, side - len(ink)), number(0, side - len(ink))
        box = _box(ink) + torch.tensor([x, y, x, y])
        if any(_overlap(box, other) for other in boxes):
            continue
        _draw(image, ink, y, x, dice)
        boxes.append(box)
        labels.append(int(known.label[which]))
    return image, torch.stack(boxes).float(), torch.tensor(labels)


def _ink(known: Digits, which: int, side: int) -> Float[Tensor, "s s"]:
    size = (side, side)
    ink = F.interpolate(known.image[which][None], size, mode="bilinear", align_corners=False)
    return rearrange(ink, "1 1 h w -> h w").clamp(0, 1)


def _piece(ink: Float[Tensor, "s s"], corner: int) -> Float[Tensor, "p q"]:
    """A corner of a digit, a little more than a quarter of it."""
    half = len(ink) * 5 // 8
    rows = slice(None, half) if corner < 2 else slice(len(ink) - half, None)
    columns = slice(None, half) if corner % 2 else slice(len(ink) - half, None)
    return ink[rows, columns]


def _draw(image: Tensor, ink: Tensor, y: int, x: int, dice: torch.Generator) -> None:
    """Ink of a colour of its own, unlike the ground there; what lies outside is left out."""
    top, left = max(y, 0), max(x, 0)
    ink = ink[top - y :, left - x :][: image.shape[1] - top, : image.shape[2] - left]
    part = image[:, top : top + ink.shape[0], left : left + ink.shape[1]]
    light = float(part.mean()) if part.numel() else 0.0
    colour = 0.6 * torch.rand(3, generator=dice) + (0.0 if light > 0.5 else 0.4)
    ink = repeat(ink, "h w -> c h w", c=3)
    part.copy_(part * (1 - ink) + rearrange(colour, "c -> c 1 1") * ink)


def _box(ink: Float[Tensor, "s s"]) -> Float[Tensor, "4"]:
    rows, columns = (ink > INK).any(1).nonzero(), (ink > INK).any(0).nonzero()
    edges = columns.min(), rows.min(), columns.max() + 1, rows.max() + 1
    return torch.stack([*edges])


def _overlap(box: Tensor, other: Tensor) -> bool:
    """Whether two boxes share more than a few pixels."""
    low = torch.maximum(box[:2], other[:2])
    high = torch.minimum(box[2:], other[2:])
    return bool(((high - low) > 2).all())
