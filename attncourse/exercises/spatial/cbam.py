"""CBAM: first which channels, then where in the image, or the other way round."""

import torch

from attncourse.exercises.edits import often, wrong
from attncourse.exercises.record import Exercise, Trial, slip
from attncourse.exercises.spatial.shared import SCALES
from solutions.spatial import CBAM


def cbam_trials():
    def trial(name, order, evaluate=True, **sizes):
        init = dict(channels=sizes["c"], reduction=2, kernel=3, order=order)
        return Trial(name, sizes, dict(x="b c h w"), init, evaluate)

    return (
        trial("channels first", "channel-spatial", b=2, c=4, h=5, w=7),
        trial("pixels first", "spatial-channel", b=3, c=6, h=4, w=5),
        trial("in parallel", "parallel", b=2, c=8, h=3, w=5),
        trial("channels first, in training mode", "channel-spatial", False, b=3, c=4, h=1, w=5),
        trial("pixels first, in training mode", "spatial-channel", False, b=4, c=6, h=2, w=3),
    )


WHERE = 'where = rearrange(self.spatial.attention(x), "b h w -> b 1 h w")'
BOTH = 'return where * rearrange(self.channel.attention(x * where), "b c -> b c 1 1")'
PIXELS_FIRST = f'if self.order == "spatial-channel":\n    {WHERE}\n    {BOTH}\n'
SEEN = 'x if self.order == "parallel" else x * what'

# fmt: off
ORDERS = (
    *often(
        wrong("always_parallel", "self.channel.attention(x * where)", "self.channel.attention(x)",
              "Both gates see x, whatever `self.order` says. In a sequence the second sees what the"
              " first lets through.",
              (SEEN, "x")),
    ),
    wrong("always_channels_first", PIXELS_FIRST + "what", "what",
          "`self.order` is not looked at: you always do channels first.",
          (SEEN, "x * what")),
    wrong("always_pixels_first", PIXELS_FIRST + "what", f"{WHERE}\n{BOTH}\nwhat",
          "`self.order` is not looked at: you always do pixels first."),
    wrong("orders_exchanged", '== "spatial-channel"', '== "channel-spatial"',
          'The two sequences are exchanged: "channel-spatial" means that the channel gate comes'
          " first."),
    wrong("only_pixels_first", '== "spatial-channel"', '!= "parallel"',
          'With "channel-spatial" your spatial gate comes first. The channel gate does.'),
    wrong("only_channels_first", PIXELS_FIRST + "what", "what",
          'With "spatial-channel" your channel gate comes first. The spatial gate does.'),
    wrong("pixels_first_without_passing", "self.channel.attention(x * where)",
          "self.channel.attention(x)",
          'With "spatial-channel" your channel gate sees x itself. It sees x scaled by pixel.'),
    wrong("channels_first_without_passing", SEEN, "x",
          'With "channel-spatial" your spatial gate sees x itself. It sees x scaled by channel.'),
    wrong("parallel_as_a_sequence", SEEN, "x * what",
          '"parallel" is treated as a sequence, channels first. There both gates see x.'),
    wrong("parallel_pixels_first", '== "spatial-channel"', '!= "channel-spatial"',
          '"parallel" is treated as a sequence, pixels first. There both gates see x.'),
)

PRODUCTS = (
    *often(
        wrong("gains_added", "return where * ", "return where + ",
              "You add the gains of the two gates. They multiply.",
              ("return what * ", "return what + ")),
    ),
    wrong("ScaledTwice", "return x * self.attention(x)",
          'first = self.spatial if self.order == "spatial-channel" else self.channel\n'
          "return first(x) * self.attention(x)",
          "Your `forward` scales by the first gate once more: its gain is in `attention` already."),
    wrong("ScaledTwiceByChannel", "return x * self", "return self.channel(x) * self",
          "Your `forward` scales by the channel gate once more: its gain is in `attention`"
          " already."),
    wrong("Summed", "return x * self.attention(x)",
          'if self.order == "parallel":\n'
          "    return self.channel(x) + self.spatial(x)\n"
          "return x * self.attention(x)",
          'You add what the two gates make of x in "parallel". Their gains multiply.'),
)
# fmt: on


def first_gain_lost(*orders):
    """`CBAM` that returns, in these orders, the gain of the second gate alone."""

    class Answer(CBAM):
        """The gain of the first gate is lost on the way: the second gate decides with it, but
        only its own gain is in the result. They multiply."""

        def attention(self, x):
            gains = super().attention(x)
            if self.order not in orders:
                return gains
            if self.order == "spatial-channel":
                return gains / self.spatial.attention(x)[:, None]
            return gains / self.channel.attention(x)[..., None, None]

    Answer.__name__ = "first_gain_lost"
    return Answer


FIRST_GAIN_LOST = slip(
    first_gain_lost(*CBAM.ORDERS), *(first_gain_lost(order) for order in CBAM.ORDERS)
)


class CBAMInTurn(CBAM):
    """Gates called as modules; the gain read off the result."""

    def forward(self, x):
        if self.order == "channel-spatial":
            return self.spatial(self.channel(x))
        if self.order == "spatial-channel":
            return self.channel(self.spatial(x))
        return self.channel(x) * self.spatial.attention(x)[:, None]

    def attention(self, x):
        c, s = self.channel.attention, self.spatial.attention
        if self.order == "channel-spatial":
            one = c(x)
            two = s(x * one[:, :, None, None])
        elif self.order == "spatial-channel":
            two = s(x)
            one = c(x * two[:, None])
        else:
            one, two = c(x), s(x)
        return torch.einsum("bc,bhw->bchw", one, two)


class CBAMByCases(CBAM):
    def attention(self, x):
        gain = torch.ones_like(x)
        steps = (
            ["channel", "spatial"]
            if self.order != "spatial-channel"
            else ["spatial", "channel"]
        )
        for step in steps:
            seen = x if self.order == "parallel" else x * gain
            s = getattr(self, step).attention(seen)
            s = s.unsqueeze(1) if step == "spatial" else s.unsqueeze(-1).unsqueeze(-1)
            gain = gain * s
        return gain

    def forward(self, x):
        return torch.mul(self.attention(x), x)


EXERCISE = Exercise(
    id="spatial.cbam",
    solution=CBAM,
    probes={"attention": "b c h w", "forward": "b c h w"},
    trials=cbam_trials,
    blank=("attention", "forward"),
    slips=(*ORDERS, *PRODUCTS, FIRST_GAIN_LOST, *SCALES),
    hints=(
        "Which gate sees x, and which sees x after the other has worked on it?",
        "Bring both gains to a shape that multiplies with x: b c 1 1 and b 1 h w. Their"
        " product is the gain of each channel at each pixel. Call each gate once.",
        'attention, "channel-spatial": what = channel gain of x\n'
        "    where = spatial gain of x * what; return what * where\n"
        '"spatial-channel": the other way round; "parallel": both of x\n'
        "forward: x times attention(x)",
    ),
    minutes=12,
    difficulty=3,
    otherwise=(CBAMInTurn, CBAMByCases),
    laws=(
        "examples_do_not_mix",
        "gains_are_themselves",
        "logits_are_right",
        "nothing_comes_of_nothing",
        "gains_in_range",
    ),
)
