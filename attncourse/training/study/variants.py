"""The networks of a study: each mechanism at widths that meet the budget, and at the base's."""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache

import torch

from attncourse.papers.cost import Cost, cost
from attncourse.training.study.options import Options
from solutions.capstone import MECHANISMS, SmallResNet, create_network, three_widths, width_for

QUARTERS = 4  # widths are tried in steps of a quarter of a channel, before they are rounded
NARROWEST = 4  # channels of the first stage


@dataclass(frozen=True)
class Variant:
    """A mechanism, or three operations, in a network of these channels."""

    mechanism: str
    channels: tuple[int, int, int]

    @property
    def name(self) -> str:
        """A name for its files: `se_16-32-64`."""
        return f"{self.mechanism}_{'-'.join(map(str, self.channels))}"


def operations(mechanism: str) -> str | tuple[str, ...]:
    """A mechanism of the list, or three operations, which are joined by "+"."""
    return tuple(mechanism.split("+")) if "+" in mechanism else mechanism


def build(variant: Variant, options: Options, fast: bool = True) -> SmallResNet:
    """The network of a variant, with new weights."""
    shape = dict(blocks=options.blocks, stem=options.stem, window=options.window, fast=fast)
    return create_network(operations(variant.mechanism), variant.channels, **shape)


@cache
def costs(variant: Variant, options: Options, pictures: int = 1) -> Cost:
    """What a network costs for so many pictures; for two and more, also the memory of a
    training step."""
    with torch.device("meta"):
        network = build(variant, options, fast=False)
    return cost(network, (pictures, 3, 32, 32), training=pictures > 1)


def multiply_adds(variant: Variant, options: Options) -> int:
    """All of them, for one picture."""
    found = costs(variant, options)
    return found.multiply_adds + found.attention


@cache
def within(mechanism: str, options: Options, share: float = 1.0) -> Variant:
    """The mechanism at the widths whose multiply-adds are nearest to those of the network
    without attention, or to a share of them."""
    budget = round(share * multiply_adds(Variant("none", options.channels), options))

    def at(quarters: int) -> Variant:
        return Variant(mechanism, three_widths(quarters / QUARTERS))

    def price(quarters: int) -> int:
        too_narrow = quarters < QUARTERS * NARROWEST
        return 0 if too_narrow else multiply_adds(at(quarters), options)

    return at(width_for(price, budget, step=1))


def variants(options: Options, mechanisms: Iterable[str] = tuple(MECHANISMS)) -> list[Variant]:
    """All networks of a study: those at the budget first, then those of the base's width that
    are not among them."""
    mechanisms = tuple(mechanisms)
    chosen = [within(mechanism, options) for mechanism in mechanisms]
    same = [Variant(mechanism, options.channels) for mechanism in mechanisms]
    return list(dict.fromkeys([*chosen, *same]))
