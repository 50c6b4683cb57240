"""Of several exercises of the chapter: spatial."""

from einops import rearrange, reduce


def over_pixels(s):
    return rearrange(s, "b c -> b c 1 1")


def over_channels(s):
    return rearrange(s, "b h w -> b 1 h w")


def times(x, gain):
    return x * gain


def residual_added(x, gain):
    """You add x to the scaled x. The gain is all: y = s x. With all weights 0 that is x / 2."""
    return x + x * gain


def gain_added(x, gain):
    """You add the gain to x. They are multiplied."""
    return x + gain


def gain_alone(x, gain):
    """You return the gain. It scales x: y = s x."""
    return 0 * x + gain


def gain_squared(x, gain):
    """The gain is applied twice. Once is enough: y = s x."""
    return x * gain * gain


def gain_dropped(x, gain):
    """The gain is not applied: you return x as it came."""
    return x + 0 * gain


def complement(x, gain):
    """You scale by 1 - s. What is important gets the large s: y = s x."""
    return x * (1 - gain)


def rectified(x, gain):
    """You apply a ReLU to the result. It keeps its signs: y = s x."""
    return (x * gain).relu()


def divided(x, gain):
    """You divide by the gain. It is multiplied: y = s x."""
    return x / gain


APPLYING = (
    residual_added,
    gain_added,
    gain_alone,
    gain_squared,
    gain_dropped,
    complement,
    rectified,
    divided,
)


def by_sigmoid(z):
    return z.sigmoid()


def no_sigmoid(z):
    """The sigmoid is missing: your gains are any numbers. They are between 0 and 1."""
    return z


def by_tanh(z):
    """You squash by tanh, to (-1, 1). Here it is the sigmoid: gains in (0, 1)."""
    return z.tanh()


def by_relu(z):
    """You squash by a ReLU. It is the sigmoid: gains in (0, 1)."""
    return z.relu()


def relu_first(z):
    """A ReLU comes before your sigmoid: no gain falls below a half. The logits keep their
    signs."""
    return z.relu().sigmoid()


def sigmoid_twice(z):
    """The sigmoid is applied twice: all your gains lie between 0.5 and 0.73."""
    return z.sigmoid().sigmoid()


def shares(z):
    """You take a softmax: gains that sum to 1. Each gain stands for itself: a sigmoid."""
    return z.flatten(1).softmax(-1).reshape(z.shape)


def shifted_sigmoid(z):
    """You add 1 to the sigmoid, as BAM does. Here the gains are between 0 and 1."""
    return 1 + z.sigmoid()


SQUASHING = (
    no_sigmoid,
    by_tanh,
    by_relu,
    relu_first,
    sigmoid_twice,
    shares,
    shifted_sigmoid,
)


def pooled(x, pool):
    return reduce(x, "b c h w -> b c", pool)


def what(self, x):
    return over_pixels(self.channel.attention(x))


def where(self, x):
    return over_channels(self.spatial.attention(x))


def as_it_is(self, z):
    return z


def squashed_early(self, y):
    """You squash by a sigmoid here. The branch returns logits: the sigmoid comes after the two
    branches are added."""
    return y.sigmoid()


def rectified_end(self, y):
    """A ReLU at the end: the logits keep their signs."""
    return y.relu()


def plain(z):
    return z
