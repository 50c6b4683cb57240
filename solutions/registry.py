"""Every mechanism by its name, made for the maps of a backbone: b c h w -> b c h w.

    create_attention("cbam", 256)                     the paper's arguments, as far as they fit
    create_attention("multi_head", 256, heads=4)      its own arguments by their names
    create_attention("non_local", 256, fast=True)     from solutions.fast, where it is there
    ResNet(50, attention=partial(create_attention, "se"))
    list_attention()                                  the names, with one line for each

Where an argument is left out and the paper's does not fit the channels, the nearest that fits
is taken: the largest divisor of the channels up to the paper's reduction, or up to its heads.
What is asked for by name is never changed: it is refused where it does not fit.

Differs  what attends to tokens takes pixels, row by row, and knows nothing of their places
         unless the mechanism does. Heads of networks and bare functions are not in the list
"""

from collections.abc import Callable
from difflib import get_close_matches
from importlib import import_module
from typing import Any, NamedTuple

from einops import rearrange
from jaxtyping import Float
from torch import Tensor, nn

from solutions.arguments import COUNT
from solutions.relative_2d import attention_widths

Arguments = dict[str, Any]


class Pixels(nn.Module):
    """Lets a layer for tokens, b n dim, attend to the pixels of a map, row by row.

    layer   the layer
    inputs  how often it is given the tokens: 3 for query, key and value
    """

    def __init__(self, layer: nn.Module, inputs: int = 1):
        super().__init__()
        self.layer, self.inputs = layer, inputs

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c h w"]:
        """What every pixel reads from the pixels."""
        tokens = rearrange(x, "b c h w -> b (h w) c")
        y = self.layer(*self.inputs * [tokens])
        return rearrange(y, "b (h w) c -> b c h w", h=x.shape[-2])


class ChannelsLast(nn.Module):
    """Lets a layer for maps of tokens, b h w dim, attend to maps."""

    def __init__(self, layer: nn.Module):
        super().__init__()
        self.layer = layer

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c h w"]:
        """What every pixel reads."""
        y = self.layer(rearrange(x, "b c h w -> b h w c"))
        return rearrange(y, "b h w c -> b c h w")


class Entry(NamedTuple):
    """How a mechanism is made.

    says    what it is, in a few words
    place   module and class
    given   its arguments for so many channels, beside those that are asked for
    tokens  how often it is given the pixels as tokens; 0 where it takes maps
    last    whether its maps have the channels last
    """

    says: str
    place: str
    given: Callable[[int, Arguments], Arguments]
    tokens: int = 0
    last: bool = False


def divisor(number: int, most: int) -> int:
    """The largest divisor of a number up to `most`."""
    return next(n for n in range(min(number, most), 0, -1) if number % n == 0)


def reduced(most: int) -> Callable[[int, Arguments], Arguments]:
    """Channels, and a reduction that divides them."""
    return lambda channels, _: dict(channels=channels, reduction=divisor(channels, most))


def plain(channels: int, _: Arguments) -> Arguments:
    """Channels alone."""
    return dict(channels=channels)


def nothing(channels: int, _: Arguments) -> Arguments:
    """For what works on any number of channels."""
    return {}


def tokens(channels: int, _: Arguments) -> Arguments:
    """A width, and heads that divide it."""
    return dict(dim=channels, heads=divisor(channels, 8))


def _encoder(channels: int, _: Arguments) -> Arguments:
    return dict(tokens(channels, _), hidden=4 * channels)


def _position(channels: int, _: Arguments) -> Arguments:
    return dict(channels=channels, reduction=min(channels, 8))


def _windows(channels: int, _: Arguments) -> Arguments:
    return dict(channels=channels, heads=divisor(max(channels // 2, 1), 8))


def _gated(channels: int, _: Arguments) -> Arguments:
    square = next(n for n in (16, 9, 4, 1) if channels % n == 0)
    return dict(dim=channels, heads=square)


def _augmented(channels: int, asked: Arguments) -> Arguments:
    upsilon = asked.get("upsilon", 0.1)
    heads = (n for n in range(8, 0, -1) if attention_widths(channels, 0.2, upsilon, n)[1])
    return dict(in_channels=channels, out_channels=channels, heads=next(heads, 8))


ENTRIES: dict[str, Entry] = {
    "additive": Entry(
        "Bahdanau's scores, of all pixels with all",
        "scaled_dot_product.AdditiveAttention",
        lambda channels, _: dict(query_dim=channels, key_dim=channels, hidden=channels),
        tokens=3,
    ),
    "augmented": Entry(
        "attention beside a convolution, with relative positions if a size is given",
        "relative_2d.AttentionAugmentedConv2d",
        _augmented,
    ),
    "bam": Entry("channels and places, summed", "spatial.BAM", reduced(16)),
    "cbam": Entry("channels first, then places", "spatial.CBAM", reduced(16)),
    "channel": Entry("DANet's channel attention", "non_local.ChannelAttention", nothing),
    "channel_gate": Entry("CBAM's first half", "spatial.ChannelGate", reduced(16)),
    "coatnet": Entry(
        "attention with a depthwise kernel in its softmax; size is best that of the maps",
        "united.RelativeAttention2d",
        tokens,
        last=True,
    ),
    "eca": Entry("gains from neighbouring channels", "channel.ECA", plain),
    "encoder": Entry(
        "a layer of a Transformer's encoder", "transformer.EncoderLayer", _encoder, tokens=1
    ),
    "gala": Entry("global and local attention", "spatial.GALA", reduced(4)),
    "gated": Entry(
        "attention that starts as a convolution, with a gate",
        "united.GatedPositionalAttention",
        _gated,
        last=True,
    ),
    "ge": Entry("gather-excite", "channel.GatherExcite", plain),
    "multi_head": Entry(
        "multi-head attention of all pixels", "multi_head.MultiHeadAttention", tokens, tokens=1
    ),
    "non_local": Entry("the non-local block", "non_local.NonLocal", plain),
    "position": Entry("DANet's position attention", "non_local.PositionAttention", _position),
    "relative": Entry(
        "attention that knows how far, in the order of rows",
        "positional.RelativeAttention",
        lambda channels, _: dict(q_dim=channels, v_dim=channels, clip=16),
        tokens=3,
    ),
    "se": Entry("squeeze-and-excitation", "channel.SqueezeExcite", reduced(16)),
    "sparse": Entry(
        "causal attention by a pattern; stride is best the width of the maps",
        "sparse.SparseSelfAttention",
        tokens,
        tokens=1,
    ),
    "spatial_gate": Entry("CBAM's second half", "spatial.SpatialGate", nothing),
    "spatial_layer": Entry("SResNet's gain for each pixel", "spatial.SpatialLayer", nothing),
    "stand_alone": Entry(
        "attention in the window around each pixel",
        "stand_alone.StandAloneSelfAttention2d",
        _windows,
    ),
    "swin": Entry(
        "attention in windows side by side; shift is 0 and half the window in turn",
        "united.ShiftedWindowAttention",
        tokens,
        last=True,
    ),
}


def list_attention() -> dict[str, str]:
    """The names that `create_attention` knows, in order, with what each is."""
    return {name: entry.says for name, entry in ENTRIES.items()}


def create_attention(name: str, channels: int, *, fast: bool = False, **arguments) -> nn.Module:
    """The mechanism of this name for maps of so many channels, b c h w -> b c h w.

    name       one of `list_attention()`, or the name of the class; small and capital letters,
               - and _ are alike
    channels   channels of the maps
    fast       take it from `solutions.fast`, where it is there; same weights, same results
    arguments  those of the layer, `device` and `dtype` among them

    Raises ValueError for an unknown name, with the nearest, and what the layer raises.
    """
    entry = ENTRIES[_known(name)]
    if not COUNT.holds(channels):
        raise ValueError(f"{channels=!r} must be {COUNT.says}")
    cls = _class(entry, fast)
    layer = cls(**(entry.given(channels, arguments) | arguments))
    if entry.last:
        return ChannelsLast(layer)
    return Pixels(layer, entry.tokens) if entry.tokens else layer


def _known(name: str) -> str:
    """The name in the list that is meant."""
    names = {_plain(known): known for known in ENTRIES}
    names |= {_plain(entry.place.split(".")[1]): known for known, entry in ENTRIES.items()}
    if (found := names.get(_plain(name))) is not None:
        return found
    close = get_close_matches(_plain(name), names, n=1, cutoff=0.4)
    hint = f"did you mean {names[close[0]]!r}?" if close else f"there are {', '.join(ENTRIES)}"
    raise ValueError(f"there is no attention {name!r}: {hint}")


def _plain(name: str) -> str:
    return str(name).lower().replace("_", "").replace("-", "").replace(" ", "")


def _class(entry: Entry, fast: bool) -> type[nn.Module]:
    module, name = entry.place.split(".")
    if fast and hasattr(quick := import_module("solutions.fast"), name):
        return getattr(quick, name)
    return getattr(import_module(f"solutions.{module}"), name)
