"""Chapter 06, spatial attention: what is asked, what goes wrong, what helps."""

from dataclasses import replace

import torch
from einops import einsum, rearrange, reduce, repeat
from torch import nn
from torch.nn import functional as F

from attncourse.families import also, family
from attncourse.registry import Exercise, Given, Slip, Trial, slip
from solutions.spatial import (
    BAM,
    CBAM,
    GALA,
    ChannelBranch,
    ChannelGate,
    SpatialBranch,
    SpatialGate,
    SpatialLayer,
    grad_cam,
)


def over_pixels(s):
    return rearrange(s, "b c -> b c 1 1")


def over_channels(s):
    return rearrange(s, "b h w -> b 1 h w")


# applying a gain: the same ways for every module


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


# squashing a logit


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


# CBAM, channel


def channel_trials():
    def trial(name, reduction, pools, evaluate=False, **sizes):
        init = dict(channels=sizes["c"], reduction=reduction, pools=pools)
        return Trial(name, sizes, dict(x="b c h w"), init, evaluate)

    return (
        trial("with mean and max", 2, ("mean", "max"), b=2, c=6, h=5, w=7),
        trial("with the mean alone", 4, ("mean",), b=3, c=8, h=4, w=1),
        trial("with the max alone", 2, ("max",), b=2, c=4, h=3, w=5),
        trial("on a single pixel", 3, ("mean", "max"), b=2, c=9, h=1, w=1),
    )


def pooled(x, pool):
    return reduce(x, "b c h w -> b c", pool)


def given_pools(self):
    return self.pools


def whole_mlp(self, z):
    return self.up(self.down(z).relu())


def logits_added(self, zs, mlp):
    return sum(mlp(self, z) for z in zs).sigmoid()


def channel_recipe(
    choosing=given_pools,
    pooling=pooled,
    feeding=whole_mlp,
    joining=logits_added,
    squashing=None,
    applying=times,
):
    """`ChannelGate` with some of its steps replaced."""

    class Answer(ChannelGate):
        def attention(self, x):
            zs = [pooling(x, pool) for pool in choosing(self)]
            if squashing is not None:
                return squashing(sum(feeding(self, z) for z in zs))
            return joining(self, zs, feeding)

        def forward(self, x):
            return applying(x, over_pixels(self.attention(x)))

    return Answer


def both_always(self):
    """`self.pools` is not looked at: you take mean and max even where only one is asked for."""
    return ("mean", "max")


def mean_always(self):
    """`self.pools` is not looked at: you take the mean alone, as squeeze-and-excitation."""
    return ("mean",)


def max_always(self):
    """`self.pools` is not looked at: you take the largest value alone."""
    return ("max",)


def first_pool_only(self):
    """You use the first of `self.pools` only. The MLP runs for each of them."""
    return self.pools[:1]


def last_pool_only(self):
    """You use the last of `self.pools` only, or return inside the loop. The MLP runs for each
    of them."""
    return self.pools[-1:]


def mean_for_max(x, pool):
    """You pool by the mean every time. "max" is the largest value of the map."""
    return pooled(x, "mean")


def max_for_mean(x, pool):
    """You pool by the largest value every time. "mean" is the mean of the map."""
    return pooled(x, "max")


def min_for_max(x, pool):
    """You take the smallest value where the largest is asked for."""
    return pooled(x, "min" if pool == "max" else pool)


def largest_size(x, pool):
    """You take the largest absolute value. The largest value keeps its sign."""
    return pooled(x.abs(), "max") if pool == "max" else pooled(x, pool)


def sum_for_mean(x, pool):
    """You sum over the pixels where the mean is asked for: divide by their number."""
    return pooled(x, "sum" if pool == "mean" else pool)


def one_image_for_all(x, pool):
    """You pool over the batch as well: all images get the same gains. Each has its own."""
    return repeat(reduce(x, "b c h w -> c", pool), "c -> b c", b=len(x))


def largest_of_row_means(x, pool):
    """You take the largest over one side of the map and the mean over the other. Each pool
    takes in both at once."""
    return reduce(reduce(x, "b c h w -> b c w", pool), "b c w -> b c", "mean")


def largest_row_mean(x, pool):
    """You average each row and take the largest of these means. "max" is the largest value of
    the map."""
    return pooled(x, pool) if pool == "mean" else x.mean(3).amax(2)


def largest_column_mean(x, pool):
    """You average each column and take the largest of these means. "max" is the largest value
    of the map."""
    return pooled(x, pool) if pool == "mean" else x.mean(2).amax(2)


def spread_for_max(x, pool):
    """You take the standard deviation where the largest value is asked for."""
    return x.std((2, 3), unbiased=False) if pool == "max" else pooled(x, pool)


def rectified_pool(x, pool):
    """You apply a ReLU to what is pooled. The first ReLU comes after `self.down`."""
    return pooled(x, pool).relu()


def no_relu(self, z):
    """The ReLU between the two layers is missing: without it they are one."""
    return self.up(self.down(z))


def relu_at_the_end(self, z):
    """You apply a ReLU after `self.up` as well. It belongs between the two layers only."""
    return self.up(self.down(z).relu()).relu()


def relu_after_up(self, z):
    """The ReLU comes after `self.up`. It belongs between the two layers."""
    return self.up(self.down(z)).relu()


def sigmoid_in_the_middle(self, z):
    """Between the two layers you have a sigmoid. There it is a ReLU."""
    return self.up(self.down(z).sigmoid())


def biases_left_out(self, z):
    """The biases are left out: call the layers, not only their weights."""
    return F.linear(F.linear(z, self.down.weight).relu(), self.up.weight)


def pools_added_first(self, zs, mlp):
    """You add mean and max before the MLP. Each goes through it; then the results are added."""
    return mlp(self, sum(zs)).sigmoid()


def pools_averaged_first(self, zs, mlp):
    """You average mean and max before the MLP, as timm's light version does. Each goes through
    it; then the results are added."""
    return mlp(self, sum(zs) / len(zs)).sigmoid()


def logits_averaged(self, zs, mlp):
    """You average what the MLP makes of the pools. It is summed."""
    return (sum(mlp(self, z) for z in zs) / len(zs)).sigmoid()


def logits_multiplied(self, zs, mlp):
    """You multiply what the MLP makes of the pools. It is added."""
    y = mlp(self, zs[0])
    for z in zs[1:]:
        y = y * mlp(self, z)
    return y.sigmoid()


def larger_logit(self, zs, mlp):
    """You take the larger of what the MLP makes of the pools. It is added."""
    return torch.stack([mlp(self, z) for z in zs]).amax(0).sigmoid()


def sigmoids_added(self, zs, mlp):
    """You squash each pool's result and add the gains: they reach 2. Add first, then squash."""
    return sum(mlp(self, z).sigmoid() for z in zs)


def sigmoids_averaged(self, zs, mlp):
    """You squash each pool's result and average the gains. Add first, then squash."""
    return sum(mlp(self, z).sigmoid() for z in zs) / len(zs)


def sigmoids_multiplied(self, zs, mlp):
    """You squash each pool's result and multiply the gains. Add first, then squash."""
    return torch.stack([mlp(self, z).sigmoid() for z in zs]).prod(0)


def logits_subtracted(self, zs, mlp):
    """You subtract what the MLP makes of the one pool from that of the other. They are
    added."""
    first, *rest = (mlp(self, z) for z in zs)
    return (sum(rest) - first if rest else first).sigmoid()


def hidden_added(self, zs, mlp):
    """You add the hidden layers and go up once: the bias of `self.up` counts once instead of
    once for each pool. The whole MLP runs for each."""
    return self.up(sum(self.down(z).relu() for z in zs)).sigmoid()


def mean_not_fed(self, zs, mlp):
    """The mean skips the MLP: you add it to what the MLP makes of the maximum. Each pool goes
    through it."""
    fed = (z if p == "mean" else mlp(self, z) for p, z in zip(self.pools, zs, strict=False))
    return sum(fed).sigmoid()


class GatedTwice(ChannelGate):
    """`forward` gates what it has gated before, with new gains. Once is enough: y = s x."""

    def attention(self, x):
        return logits_added(self, [pooled(x, pool) for pool in self.pools], whole_mlp)

    def forward(self, x):
        x = x * over_pixels(self.attention(x))
        return x * over_pixels(self.attention(x))


class ChannelLoops(ChannelGate):
    def attention(self, x):
        rows = []
        for image in x:
            total = 0
            for pool in self.pools:
                z = [m.mean() if pool == "mean" else m.max() for m in image]
                total = total + self.up(torch.relu(self.down(torch.stack(z))))
            rows.append(torch.sigmoid(total))
        return torch.stack(rows)

    def forward(self, x):
        return x * self.attention(x)[:, :, None, None]


class ChannelFunctional(ChannelGate):
    def attention(self, x):
        ways = {"mean": F.adaptive_avg_pool2d, "max": F.adaptive_max_pool2d}
        zs = torch.stack([ways[p](x, 1).flatten(1) for p in self.pools])
        hidden = F.relu(F.linear(zs, self.down.weight, self.down.bias))
        return torch.sigmoid(F.linear(hidden, self.up.weight, self.up.bias).sum(0))

    def forward(self, x):
        return torch.einsum("bchw,bc->bchw", x, self.attention(x))


# CBAM, spatial


def spatial_trials():
    def trial(name, kernel, evaluate=True, **sizes):
        return Trial(name, sizes, dict(x="b c h w"), dict(kernel=kernel), evaluate)

    return (
        trial("with a 3x3 in evaluation mode", 3, b=2, c=3, h=5, w=7),
        trial("with a 3x3 in training mode", 3, False, b=3, c=4, h=6, w=5),
        trial("with a 7x7 on maps of 1 x 5", 7, b=2, c=4, h=1, w=5),
    )


def max_then_mean(x):
    return [reduce(x, "b c h w -> b h w", pool) for pool in ("max", "mean")]


def normalised(self, x):
    return self.norm(self.conv(x))


def spatial_recipe(
    describing=max_then_mean, filtering=normalised, squashing=by_sigmoid, applying=times
):
    """`SpatialGate` with some of its steps replaced."""

    class Answer(SpatialGate):
        def describe(self, x):
            return rearrange(describing(x), "two b h w -> b two h w")

        def attention(self, x):
            z = squashing(filtering(self, self.describe(x)))
            return rearrange(z, "b 1 h w -> b h w")

        def forward(self, x):
            return applying(x, over_channels(self.attention(x)))

    return Answer


def mean_then_max(x):
    return max_then_mean(x)[::-1]


def mean_twice(x):
    """Both descriptors are means. The first is the largest of the channels."""
    return [x.mean(1), x.mean(1)]


def max_twice(x):
    """Both descriptors are largest values. The second is the mean of the channels."""
    return [x.amax(1), x.amax(1)]


def min_and_mean(x):
    """You take the smallest of the channels. It is the largest."""
    return [x.amin(1), x.mean(1)]


def max_and_sum(x):
    """You sum over the channels where the mean is asked for."""
    return [x.amax(1), x.sum(1)]


def largest_absolute(x):
    """You take the largest absolute value of the channels. It keeps its sign."""
    return [x.abs().amax(1), x.mean(1)]


def max_and_min(x):
    """Your second descriptor is the smallest of the channels. It is their mean."""
    return [x.amax(1), x.amin(1)]


def maps_pooled(x):
    """You pool over the pixels, h and w. Here the channels are pooled: each pixel keeps its own
    two numbers."""
    over = [reduce(x, "b c h w -> b 1 1", pool) for pool in ("max", "mean")]
    return [m.expand(-1, *x.shape[-2:]) for m in over]


def axes_reshaped(x):
    """You stack the descriptors along a new first axis and reshape it behind b: images mix.
    Stack them along axis 1, or move the axis."""
    both = torch.stack(max_then_mean(x))
    return list(both.reshape(len(x), 2, *x.shape[-2:]).unbind(1))


def max_and_spread(x):
    """Your second descriptor is the spread of the channels. It is their mean."""
    return [x.amax(1), x.std(1)]


def max_and_length(x):
    """Your second descriptor is the norm of the channels. It is their mean."""
    return [x.amax(1), x.norm(dim=1)]


def max_and_middle(x):
    """Your second descriptor is the median of the channels. It is their mean."""
    return [x.amax(1), x.median(1).values]


def first_channels(x):
    """You take the first two channels. A pixel is described by the largest and the mean of all
    of them."""
    return [x[:, 0], x[:, 1]]


def which_is_largest(x):
    """You take the index of the largest channel. `max(1)` returns values and indices: take the
    values."""
    return [x.argmax(1).to(x), x.mean(1)]


def all_images_pooled(x):
    """You pool over the batch as well: all images get one map. Each has its own."""
    return [m.expand(len(x), -1, -1) for m in (x.amax((0, 1)), x.mean((0, 1)))]


def no_norm(self, x):
    """The normalisation is missing: `self.norm` comes after the convolution."""
    return self.conv(x)


def conv_left_out(self, x):
    """The convolution is left out: you normalise the mean of the descriptors."""
    return self.norm(x.mean(1, keepdim=True))


def rectified_conv(self, x):
    """A ReLU stands between convolution and normalisation. There is none."""
    return self.norm(self.conv(x).relu())


def turned_kernel(self, x):
    """The kernel is turned by 180 degrees. Deep learning calls correlation convolution: call
    `self.conv`."""
    weight = self.conv.weight.flip((-1, -2))
    return self.norm(F.conv2d(x, weight, padding=self.conv.padding))


def transposed_kernel(self, x):
    """Rows and columns of the kernel are exchanged: call `self.conv` itself."""
    return self.norm(F.conv2d(x, self.conv.weight.mT, padding=self.conv.padding))


def statistics_of_the_batch(self, x):
    """You normalise by the statistics of the batch even in evaluation: an image's map depends
    on its neighbours. Call `self.norm`."""
    z, norm = self.conv(x), self.norm
    return F.batch_norm(z, None, None, norm.weight, norm.bias, True)


def running_statistics(self, x):
    """You normalise by the running statistics even while training. Call `self.norm`."""
    z, norm = self.conv(x), self.norm
    return F.batch_norm(z, norm.running_mean, norm.running_var, norm.weight, norm.bias)


def per_image_norm(self, x):
    """You normalise each image by its own mean and variance. BatchNorm takes them over the
    batch: call `self.norm`."""
    z, norm = self.conv(x), self.norm
    return (
        F.instance_norm(z, weight=norm.weight, bias=norm.bias, use_input_stats=True)
        if z[0].numel() > 1
        else norm(z)
    )


def norm_first(self, x):
    """You normalise the descriptors, before the convolution. `self.norm` comes after it."""
    norm = self.norm
    return self.conv(
        F.batch_norm(
            x,
            norm.running_mean.repeat(2),
            norm.running_var.repeat(2),
            norm.weight.repeat(2),
            norm.bias.repeat(2),
            norm.training,
        )
    )


def max_alone(self, x):
    """The second descriptor plays no part: the convolution sees the largest value alone."""
    weight = self.conv.weight[:, :1]
    return self.norm(F.conv2d(x[:, :1], weight, padding=self.conv.padding))


def mean_alone(self, x):
    """The first descriptor plays no part: the convolution sees the mean alone."""
    weight = self.conv.weight[:, 1:]
    return self.norm(F.conv2d(x[:, 1:], weight, padding=self.conv.padding))


def rectified_descriptors(self, x):
    """You apply a ReLU to the descriptors. They keep their signs."""
    return normalised(self, x.relu())


def normalised_without_weights(self, x):
    """Weight and bias of `self.norm` are left out: call the layer."""
    n = self.norm
    return F.batch_norm(self.conv(x), n.running_mean, n.running_var, training=n.training)


def normalised_over_the_map(self, x):
    """You normalise each map over its pixels, as a LayerNorm. BatchNorm does so over the batch:
    call `self.norm`."""
    return F.layer_norm(self.conv(x), x.shape[-2:])


def border_repeated(self, x):
    """Beyond the border you repeat the last pixels. There are zeros: call `self.conv`."""
    x = F.pad(x, [self.conv.padding[0]] * 4, mode="replicate")
    return self.norm(F.conv2d(x, self.conv.weight))


def normalised_twice(self, x):
    """You normalise twice. Once, after the convolution."""
    return self.norm(normalised(self, x))


def reshaped_across(self, x):
    """Rows and columns are exchanged before the convolution and put back by a reshape, which
    mixes pixels."""
    return normalised(self, x.mT).reshape(len(x), 1, *x.shape[-2:])


@also(squashing=lambda z: z)
def norm_before_sigmoid_lost(self, x):
    """The sigmoid comes before `self.norm`. It is the last step."""
    return self.norm(self.conv(x).sigmoid())


class SpatialSums(SpatialGate):
    """The kernel split in two: one for each descriptor."""

    def describe(self, x):
        return torch.cat([x.max(1, keepdim=True).values, x.mean(1, keepdim=True)], 1)

    def attention(self, x):
        d, pad = self.describe(x), self.conv.padding
        z = F.conv2d(d[:, :1], self.conv.weight[:, :1], padding=pad)
        z = z + F.conv2d(d[:, 1:], self.conv.weight[:, 1:], padding=pad)
        return 1 / (1 + torch.exp(-self.norm(z)))[:, 0]

    def forward(self, x):
        return torch.einsum("bchw,bhw->bchw", x, self.attention(x))


class SpatialWindows(SpatialGate):
    """Windows cut out one after the other."""

    def describe(self, x):
        return torch.stack([torch.amax(x, 1), torch.sum(x, 1) / x.shape[1]], dim=1)

    def attention(self, x):
        k = self.conv.weight.shape[-1]
        d = F.pad(self.describe(x), [k // 2] * 4)
        rows = [
            torch.stack(
                [
                    (d[:, :, i : i + k, j : j + k] * self.conv.weight[0]).sum((1, 2, 3))
                    for j in range(x.shape[-1])
                ],
                -1,
            )
            for i in range(x.shape[-2])
        ]
        return torch.sigmoid(self.norm(torch.stack(rows, 1).unsqueeze(1)).squeeze(1))

    def forward(self, x):
        return x * self.attention(x).unsqueeze(1)


# CBAM


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


def what(self, x):
    return over_pixels(self.channel.attention(x))


def where(self, x):
    return over_channels(self.spatial.attention(x))


def as_asked(self, x):
    return self.order


def product(x, one, other):
    return one * other


def let_through(x, gain):
    return x * gain


def cbam_recipe(
    ordering=as_asked,
    passing=let_through,
    joining=product,
    applying=times,
    orders=CBAM.ORDERS,
):
    """`CBAM` with some of its steps replaced, in some of its orders."""

    class Answer(CBAM):
        def attention(self, x):
            order = ordering(self, x)
            wrong = order in orders
            join, hand_on = (joining, passing) if wrong else (product, let_through)
            if order == "parallel":
                return join(x, what(self, x), where(self, x))
            first, second = (what, where) if order == "channel-spatial" else (where, what)
            gain = first(self, x)
            return join(x, gain, second(self, hand_on(x, gain)))

        def forward(self, x):
            return applying(x, self.attention(x))

    return Answer


def always_channels_first(self, x):
    """`self.order` is not looked at: you always do channels first."""
    return "channel-spatial"


def always_pixels_first(self, x):
    """`self.order` is not looked at: you always do pixels first."""
    return "spatial-channel"


def always_parallel(self, x):
    """Both gates see x, whatever `self.order` says. In a sequence the second sees what the
    first lets through."""
    return "parallel"


def orders_exchanged(self, x):
    """The two sequences are exchanged: "channel-spatial" means that the channel gate comes
    first."""
    turned = {"channel-spatial": "spatial-channel", "spatial-channel": "channel-spatial"}
    return turned.get(self.order, self.order)


def only_pixels_first(self, x):
    """With "channel-spatial" your spatial gate comes first. The channel gate does."""
    return "parallel" if self.order == "parallel" else "spatial-channel"


def only_channels_first(self, x):
    """With "spatial-channel" your channel gate comes first. The spatial gate does."""
    return "parallel" if self.order == "parallel" else "channel-spatial"


def pixels_first_without_passing(self, x):
    """With "spatial-channel" your channel gate sees x itself. It sees x scaled by pixel."""
    return "parallel" if self.order == "spatial-channel" else self.order


def channels_first_without_passing(self, x):
    """With "channel-spatial" your spatial gate sees x itself. It sees x scaled by channel."""
    return "parallel" if self.order == "channel-spatial" else self.order


def parallel_as_a_sequence(self, x):
    """ "parallel" is treated as a sequence, channels first. There both gates see x."""
    return "channel-spatial" if self.order == "parallel" else self.order


def parallel_pixels_first(self, x):
    """ "parallel" is treated as a sequence, pixels first. There both gates see x."""
    return "spatial-channel" if self.order == "parallel" else self.order


def gain_passed(x, gain):
    """The second gate sees the gains of the first, without x. It sees x scaled by them."""
    return 0 * x + gain


def rest_passed(x, gain):
    """The second gate sees what the first shuts out, x - x s. It sees what it lets through."""
    return x - x * gain


def rectified_passed(x, gain):
    """A ReLU stands between the gates. The second sees the scaled x with its signs."""
    return (x * gain).relu()


def residual_passed(x, gain):
    """The second gate sees x plus the scaled x. It sees the scaled x."""
    return x + x * gain


def gains_added(x, one, other):
    """You add the gains of the two gates. They multiply."""
    return one + other


def gains_averaged(x, one, other):
    """You average the gains of the two gates. They multiply."""
    return (one + other) / 2


def larger_gain(x, one, other):
    """You take the larger gain of the two. They multiply."""
    return torch.maximum(one.expand_as(x), other.expand_as(x))


def smaller_gain(x, one, other):
    """You take the smaller gain of the two. They multiply."""
    return torch.minimum(one.expand_as(x), other.expand_as(x))


def either_gain(x, one, other):
    """You join the gains as chances, s + t - s t: open where either is. They multiply: open
    where both are."""
    return one + other - one * other


def first_gain_lost(x, one, other):
    """The gain of the first gate is lost on the way: the second gate decides with it, but only
    its own gain is in the result. They multiply."""
    return other.expand_as(x)


def second_gain_lost(x, one, other):
    """The second gate is left out: only the first gain is in the result. They multiply."""
    return one.expand_as(x)


def first_gain_twice(x, one, other):
    """The first gain is applied twice: once in what the second gate sees, and twice again in
    the result. The result holds each gain once."""
    return one * one * other


def root_of_the_product(x, one, other):
    """You take the root of the product of the gains. It is the product itself."""
    return (one * other).sqrt()


def squashed_again(x, one, other):
    """You squash the product by a sigmoid once more. Both gains are in (0, 1) already."""
    return (one * other).sigmoid()


def whole_slip(**step):
    """One step of CBAM's recipe, wrong in all orders."""
    (choice,) = step.values()
    return replace(slip(choice), answer=cbam_recipe(**step))


def in_one_order(wrong, every=True, **step):
    """A slip, known as well where it is made in one of the orders alone."""
    ways = tuple(cbam_recipe(orders=(order,), **step) for order in CBAM.ORDERS)
    return replace(wrong, answer=wrong.answer if every else ways[-1], ways=ways)


GAINS_ADDED_IN_ONE_ORDER = in_one_order(
    Slip("added_in_one_order", "Here you add the gains of the two gates. They multiply.", CBAM),
    every=False,
    joining=gains_added,
)


class ScaledBeforeReturned(CBAM):
    """Your `attention` returns x scaled already. It returns the gains alone; `forward`
    multiplies x with them."""

    def attention(self, x):
        return super().attention(x) * x

    def forward(self, x):
        return self.attention(x)


class ScaledTwice(CBAM):
    """Your `forward` scales by the first gate once more: its gain is in `attention` already."""

    def forward(self, x):
        if self.order == "spatial-channel":
            return self.spatial(x) * self.attention(x)
        return self.channel(x) * self.attention(x)


class ScaledTwiceByChannel(CBAM):
    def forward(self, x):
        return self.channel(x) * self.attention(x)


class Summed(CBAM):
    """You add what the two gates make of x in "parallel". Their gains multiply."""

    def forward(self, x):
        if self.order == "parallel":
            return self.channel(x) + self.spatial(x)
        return super().forward(x)


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


# BAM's branches


def branch_trials():
    def trial(name, reduction, evaluate=True, **sizes):
        init = dict(channels=sizes["c"], reduction=reduction)
        return Trial(name, sizes, dict(x="b c h w"), init, evaluate)

    return (
        trial("in evaluation mode", 2, b=2, c=6, h=5, w=7),
        trial("in training mode", 2, False, b=5, c=8, h=3, w=4),
        trial("on a single pixel", 3, b=2, c=9, h=1, w=1),
    )


def by_mean(x):
    return pooled(x, "mean")


def norm_then_relu(self, z):
    return self.norm(z).relu()


def as_it_is(self, z):
    return z


def branch_recipe(pooling=by_mean, middle=norm_then_relu, down=None, ending=as_it_is):
    """`ChannelBranch` with some of its steps replaced."""

    class Answer(ChannelBranch):
        def forward(self, x):
            z = self.down(pooling(x)) if down is None else down(self, pooling(x))
            return ending(self, self.up(middle(self, z)))

    return Answer


def by_max(x):
    """You pool by the largest value. BAM pools by the mean alone."""
    return pooled(x, "max")


def by_mean_and_max(x):
    """You add mean and largest value. BAM pools by the mean alone; CBAM takes both, each
    through the MLP."""
    return pooled(x, "mean") + pooled(x, "max")


def by_sum(x):
    """You sum over the pixels. It is the mean: divide by their number."""
    return pooled(x, "sum")


def rectified_mean(x):
    """You apply a ReLU to the means. The ReLU comes after `self.norm`."""
    return pooled(x, "mean").relu()


def over_the_batch(x):
    """You pool over the batch as well: all images get the same logits."""
    return repeat(reduce(x, "b c h w -> c", "mean"), "c -> b c", b=len(x))


def relu_without_norm(self, z):
    """The normalisation is missing: `self.norm` comes after `self.down`."""
    return z.relu()


def relu_then_norm(self, z):
    """ReLU and normalisation are exchanged: first `self.norm`, then the ReLU."""
    return self.norm(z.relu())


def norm_without_relu(self, z):
    """The ReLU is missing. It comes after `self.norm`."""
    return self.norm(z)


def neither_norm_nor_relu(self, z):
    """Normalisation and ReLU are both missing between the two layers."""
    return z


def norm_twice(self, z):
    """You normalise twice. Once, after `self.down`."""
    return self.norm(self.norm(z)).relu()


def sigmoid_between(self, z):
    """Between the layers you have a sigmoid. It is a ReLU."""
    return self.norm(z).sigmoid()


def leaky_between(self, z):
    """Between the layers you have a leaky ReLU. It is a plain one."""
    return F.leaky_relu(self.norm(z))


def norm_over_features(self, z):
    """You normalise each image over its m numbers, as a LayerNorm. BatchNorm normalises each
    number over the batch: call `self.norm`."""
    n = self.norm
    return F.layer_norm(z, n.weight.shape, n.weight, n.bias).relu()


def norm_without_weights(self, z):
    """Weight and bias of `self.norm` are left out: call the layer."""
    n = self.norm
    return F.batch_norm(z, n.running_mean, n.running_var, training=n.training).relu()


def own_batch_statistics(self, z):
    """You normalise by the statistics of the batch even in evaluation. Call `self.norm`."""
    return F.batch_norm(z, None, None, self.norm.weight, self.norm.bias, True).relu()


def kept_statistics(self, z):
    """You normalise by the running statistics even while training. Call `self.norm`."""
    n = self.norm
    return F.batch_norm(z, n.running_mean, n.running_var, n.weight, n.bias).relu()


def down_without_bias(self, z):
    """The bias of `self.down` is left out: call the layer."""
    return F.linear(z, self.down.weight)


def squashed_early(self, y):
    """You squash by a sigmoid here. The branch returns logits: the sigmoid comes after the two
    branches are added."""
    return y.sigmoid()


def rectified_end(self, y):
    """A ReLU at the end: the logits keep their signs."""
    return y.relu()


def up_without_bias(self, y):
    """The bias of `self.up` is left out: call the layer."""
    return y - self.up.bias


class EachPoolThrough(ChannelBranch):
    """You send mean and largest value through the layers and add, as CBAM does. BAM takes the
    mean alone."""

    def forward(self, x):
        zs = pooled(x, "mean"), pooled(x, "max")
        return sum(self.up(self.norm(self.down(z)).relu()) for z in zs)


class BranchLoops(ChannelBranch):
    def forward(self, x):
        z = torch.stack([torch.stack([m.sum() / m.numel() for m in image]) for image in x])
        z = torch.clamp(self.norm(z @ self.down.weight.T + self.down.bias), min=0)
        return torch.einsum("bm,cm->bc", z, self.up.weight) + self.up.bias


class BranchFunctional(ChannelBranch):
    def forward(self, x):
        z = F.adaptive_avg_pool2d(x, 1).flatten(1)
        return F.linear(F.relu(self.norm(self.down(z))), self.up.weight, self.up.bias)


def pixel_branch_trials():
    def trial(name, dilation, evaluate=True, **sizes):
        init = dict(channels=sizes["c"], reduction=2, dilation=dilation)
        return Trial(name, sizes, dict(x="b c h w"), init, evaluate)

    return (
        trial("in evaluation mode", 2, b=2, c=6, h=5, w=7),
        trial("in training mode", 1, False, b=3, c=4, h=6, w=5),
        trial("on maps of 1 x 9 with dilation 4", 4, b=2, c=8, h=1, w=9),
    )


def in_turn(self):
    return self.down, self.near, self.far


def own_norms(self, number):
    return self.norms[number]


def normed(norm, z):
    return norm(z).relu()


def one_after_the_other(self, x, step, layers):
    for number, layer in enumerate(layers):
        x = step(number, layer(x))
    return x


def pixel_branch_recipe(
    taking=in_turn,
    norming=own_norms,
    stepping=normed,
    running=one_after_the_other,
    ending=as_it_is,
):
    """`SpatialBranch` with some of its steps replaced."""

    class Answer(SpatialBranch):
        def forward(self, x):
            def step(number, z):
                return stepping(norming(self, number), z)

            y = self.out(running(self, x, step, taking(self)))
            return rearrange(ending(self, y), "b 1 h w -> b h w")

    return Answer


def far_left_out(self):
    """`self.far` is left out: two dilated convolutions follow each other."""
    return self.down, self.near


def near_left_out(self):
    """`self.near` is left out: two dilated convolutions follow each other."""
    return self.down, self.far


def far_before_near(self):
    """`self.far` comes before `self.near`. It is the other way round."""
    return self.down, self.far, self.near


def near_twice(self):
    """`self.near` is applied twice and `self.far` not at all."""
    return self.down, self.near, self.near


def no_dilated_layers(self):
    """Both dilated convolutions are left out: no pixel sees a neighbour."""
    return (self.down,)


def first_norm_for_all(self, number):
    """One normalisation serves all layers. Each has its own: `self.norms[0]`, `[1]`, `[2]`."""
    return self.norms[0]


def norms_backwards(self, number):
    """The normalisations are taken in reverse order."""
    return self.norms[2 - number]


def pixel_no_norm(norm, z):
    """The normalisations are missing: each of the three layers is followed by its own."""
    return z.relu()


def pixel_no_relu(norm, z):
    """The ReLUs are missing: each of the three layers is followed by normalisation and ReLU."""
    return norm(z)


def pixel_relu_first(norm, z):
    """ReLU and normalisation are exchanged: first the normalisation, then the ReLU."""
    return norm(z.relu())


def pixel_batch_statistics(norm, z):
    """You normalise by the statistics of the batch even in evaluation. Call the layers in
    `self.norms`."""
    return F.batch_norm(z, None, None, norm.weight, norm.bias, True).relu()


def pixel_kept_statistics(norm, z):
    """You normalise by the running statistics even while training. Call the layers in
    `self.norms`."""
    n = norm
    return F.batch_norm(z, n.running_mean, n.running_var, n.weight, n.bias).relu()


def pixel_layers_alone(norm, z):
    """Normalisations and ReLUs are both missing: then the four layers are one."""
    return z


def side_by_side(self, x, step, layers):
    """The two dilated convolutions run side by side and are added. They follow each other."""
    first, *rest = layers
    x = step(0, first(x))
    return sum(step(n, layer(x)) for n, layer in enumerate(rest, start=1))


def with_shortcuts(self, x, step, layers):
    """You add the input of each dilated convolution to its output. There are no shortcuts."""
    first, *rest = layers
    x = step(0, first(x))
    for n, layer in enumerate(rest, start=1):
        x = x + step(n, layer(x))
    return x


def last_relu_missing(self, x, step, layers):
    """The last ReLU is missing: all three layers have normalisation and ReLU."""
    *rest, last = layers
    x = one_after_the_other(self, x, step, rest)
    return self.norms[len(rest)](last(x))


def last_norm_missing(self, x, step, layers):
    """The last normalisation is missing: all three layers have normalisation and ReLU."""
    *rest, last = layers
    return last(one_after_the_other(self, x, step, rest)).relu()


def middle_norm_missing(self, x, step, layers):
    """The normalisation after `self.near` is missing: all three layers have their own."""
    for number, layer in enumerate(layers):
        x = layer(x).relu() if number == 1 else step(number, layer(x))
    return x


def first_step_missing(self, x, step, layers):
    """Normalisation and ReLU after `self.down` are missing: all three layers have them."""
    for number, layer in enumerate(layers):
        x = step(number, layer(x)) if number else layer(x)
    return x


def dilation_ignored(self, x, step, layers):
    """The convolutions are not dilated: call `self.near` and `self.far`, which are."""
    first, *rest = layers
    x = step(0, first(x))
    for n, layer in enumerate(rest, start=1):
        x = step(n, F.conv2d(x, layer.weight, layer.bias, padding=1))
    return x


def last_norm_alone(self, x, step, layers):
    """You normalise once, at the end. Each of the three layers is followed by its own
    normalisation, as released; the paper's text has one a branch."""
    *rest, last = layers
    for layer in rest:
        x = layer(x).relu()
    return self.norms[len(rest)](last(x)).relu()


def border_repeated_twice(self, x, step, layers):
    """Beyond the border you repeat the last pixels. There are zeros: call the layers."""
    for number, layer in enumerate(layers):
        z = F.pad(x, [layer.padding[0]] * 4, mode="replicate")
        z = F.conv2d(z, layer.weight, layer.bias, dilation=layer.dilation)
        x = step(number, z)
    return x


def far_undilated(self, x, step, layers):
    """`self.far` is not dilated in your network. Both 3x3 convolutions are: leave `__init__` as
    it is, and call them."""
    for number, layer in enumerate(layers):
        wide = number < 2
        z = layer(x) if wide else F.conv2d(x, layer.weight, layer.bias, padding=1)
        x = step(number, z)
    return x


def centred_end(self, y):
    """You take the mean off the map. The logits stay as they are."""
    return y - y.mean((-1, -2), keepdim=True)


def bias_of_out_missing(self, y):
    """The bias of `self.out` is left out: call the layer."""
    return y - self.out.bias


class PixelsWritten(SpatialBranch):
    def forward(self, x):
        x = torch.relu(self.norms[0](self.down(x)))
        x = torch.relu(self.norms[1](self.near(x)))
        x = torch.relu(self.norms[2](self.far(x)))
        return self.out(x)[:, 0]


class PixelsFunctional(SpatialBranch):
    def forward(self, x):
        d = self.near.dilation[0]
        x = torch.einsum("bchw,mc->bmhw", x, self.down.weight.flatten(1))
        x = F.relu(self.norms[0](x + self.down.bias[:, None, None]))
        for conv, norm in zip((self.near, self.far), list(self.norms)[1:], strict=True):
            x = F.relu(norm(F.conv2d(F.pad(x, [d] * 4), conv.weight, conv.bias, dilation=d)))
        return (x * self.out.weight[0]).sum(1) + self.out.bias


# BAM


def bam_trials():
    def trial(name, combine, evaluate=True, **sizes):
        init = dict(channels=sizes["c"], reduction=2, dilation=2, combine=combine)
        return Trial(name, sizes, dict(x="b c h w"), init, evaluate)

    return (
        trial("with the sum", "sum", b=2, c=4, h=5, w=7),
        trial("with the sum, in training mode", "sum", False, b=3, c=6, h=4, w=5),
        trial("with the product", "product", b=2, c=8, h=1, w=3),
    )


def as_combined(self):
    return self.combine


def sum_or_product(how, one, other):
    return one + other if how == "sum" else one * other


def once_more(x, gain):
    return x + x * gain


def bam_recipe(
    asking=as_combined, combining=sum_or_product, squashing=by_sigmoid, applying=once_more
):
    """`BAM` with some of its steps replaced."""

    class Answer(BAM):
        def attention(self, x):
            one, other = over_pixels(self.channel(x)), over_channels(self.spatial(x))
            return squashing(combining(asking(self), one, other).expand_as(x))

        def forward(self, x):
            return applying(x, self.attention(x))

    return Answer


def sum_always(self):
    """`self.combine` is not looked at: with "product" the logits are multiplied."""
    return "sum"


def ways_exchanged(self):
    """Sum and product are exchanged: with "sum" the logits are added."""
    return "product" if self.combine == "sum" else "sum"


def channels_alone(how, one, other):
    """The spatial branch plays no part: its logits are added to those of the channels."""
    return one + 0 * other


def pixels_alone(how, one, other):
    """The channel branch plays no part: its logits are added to those of the pixels."""
    return 0 * one + other


def logits_halved(how, one, other):
    """You average the logits of the branches. They are added."""
    return (one + other) / 2 if how == "sum" else one * other


def larger_of_both(how, one, other):
    """You take the larger of the two logits. They are added."""
    return torch.maximum(one, other) if how == "sum" else one * other


def difference(how, one, other):
    """You subtract the logits of the pixels. They are added."""
    return one - other if how == "sum" else one * other


def plain(z):
    return z


@also(squashing=plain)
def each_squashed_and_multiplied(how, one, other):
    """You squash each branch and multiply the gains, as CBAM's gates do. BAM combines the
    logits and squashes once."""
    return one.sigmoid() * other.sigmoid()


@also(squashing=plain)
def each_squashed_and_added(how, one, other):
    """You squash each branch and add the gains. BAM adds the logits and squashes once."""
    if how == "sum":
        return one.sigmoid() + other.sigmoid()
    return one.sigmoid() * other.sigmoid()


def channels_squashed_before(how, one, other):
    """You squash the channel branch before you combine it. Both stay logits; squash once."""
    return sum_or_product(how, one.sigmoid(), other)


def pixels_squashed_before(how, one, other):
    """You squash the spatial branch before you combine it. Both stay logits; squash once."""
    return sum_or_product(how, one, other.sigmoid())


def sum_and_product_of_logits(how, one, other):
    """You add the product of the logits to their sum. With "sum" they are added, and that is
    all."""
    return one + other + one * other


def each_squashed_before(how, one, other):
    """You squash each branch, and what you combine once more. BAM combines the logits and
    squashes once."""
    one, other = one.sigmoid(), other.sigmoid()
    return one + other if how == "sum" else one * other


def compete(z):
    """You take a softmax over the channels. It is the sigmoid, for each number alone."""
    return z.softmax(1)


class InSequence(BAM):
    """Your spatial branch sees x as the channels have scaled it. In BAM both branches see x."""

    def attention(self, x):
        one = over_pixels(self.channel(x))
        other = over_channels(self.spatial(x * one.sigmoid()))
        return sum_or_product(self.combine, one, other).sigmoid()


class RaisedAlready(BAM):
    """Your `attention` returns y. It returns the map, in (0, 1); `forward` does the rest."""

    def attention(self, x):
        return once_more(x, super().attention(x))

    def forward(self, x):
        return self.attention(x)


class Turned(BAM):
    """Rows and columns are exchanged before the spatial branch. It sees x as it is."""

    def attention(self, x):
        one, other = self.channel(x), self.spatial(x.mT.contiguous()).mT
        both = sum_or_product(self.combine, over_pixels(one), over_channels(other))
        return both.sigmoid()


def no_residual(x, gain):
    """You leave out x itself: BAM adds the scaled x to it, y = x + x M."""
    return x * gain


def residual_twice(x, gain):
    """You add x twice: x + x (1 + M). It is x + x M."""
    return x + x * (1 + gain)


def doubled_gain(x, gain):
    """You scale x by 2 M. It is x + x M: between once and twice."""
    return 2 * x * gain


def map_added(x, gain):
    """You add the map to x. It scales x first: y = x + x M."""
    return x + gain


def map_alone(x, gain):
    """You return the map. It scales x: y = x + x M."""
    return 0 * x + gain


def map_subtracted(x, gain):
    """You subtract the scaled x. It is added: y = x + x M."""
    return x - x * gain


def nothing_done(x, gain):
    """The map is not applied: you return x as it came. y = x + x M."""
    return x + 0 * gain


def rectified_sum(x, gain):
    """You apply a ReLU to the result. BAM has none: y = x + x M."""
    return (x + x * gain).relu()


class OneIncluded(BAM):
    """Your map holds 1 + σ: it should be in (0, 1), and `forward` adds x itself."""

    def attention(self, x):
        return 1 + super().attention(x)

    def forward(self, x):
        return x * self.attention(x)


ALWAYS_PRODUCT = Slip(
    "product_as_released",
    "This is the product of the branches' logits, as BAM's released code has it; the paper adds"
    " them (eq. 2), and `combine` says which. A silent branch silences the other.",
    bam_recipe(asking=lambda self: "product"),
    variant=True,
)


class BAMLoops(BAM):
    def attention(self, x):
        what, where = self.channel(x), self.spatial(x)
        maps = []
        for c in range(x.shape[1]):
            z = what[:, c, None, None] + where
            maps.append(z if self.combine == "sum" else what[:, c, None, None] * where)
        return torch.sigmoid(torch.stack(maps, 1))

    def forward(self, x):
        return (1 + self.attention(x)) * x


class BAMEinsum(BAM):
    def attention(self, x):
        what, where = self.channel(x), self.spatial(x)
        if self.combine == "product":
            return torch.einsum("bc,bhw->bchw", what, where).sigmoid()
        return torch.sigmoid(what[..., None, None].expand(x.shape) + where.unsqueeze(1))

    def forward(self, x):
        return torch.addcmul(x, x, self.attention(x))


# SResNet


def layer_trials():
    def trial(name, **sizes):
        return Trial(name, sizes, dict(x="b c h w"))

    return (
        trial("on maps of 6 x 4", b=2, c=3, h=6, w=4),
        trial("on odd maps", b=2, c=3, h=5, w=7),
        trial("on a single pixel", b=2, c=3, h=1, w=1),
    )


def mean_channel(x):
    return reduce(x, "b c h w -> b 1 h w", "mean")


def relus(z):
    return z.relu()


def blocks(z, h, w):
    z = repeat(z, "b 1 h w -> b 1 (h down) (w across)", down=2, across=2)
    return z[..., :h, :w]


def look_then_shrink(self, z, first, second):
    return second(self.shrink(first(self.look(z))))


def smoothed(self, z):
    return self.smooth(z)


def layer_recipe(
    averaging=mean_channel,
    first=relus,
    second=relus,
    chain=look_then_shrink,
    growing=blocks,
    ending=smoothed,
    squashing=by_sigmoid,
    applying=times,
):
    """`SpatialLayer` with some of its steps replaced."""

    class Answer(SpatialLayer):
        def attention(self, x):
            h, w = x.shape[-2:]
            z = growing(chain(self, averaging(x), first, second), h, w)
            return rearrange(squashing(ending(self, z)), "b 1 h w -> b h w")

        def forward(self, x):
            return applying(x, over_channels(self.attention(x)))

    return Answer


def largest_channel(x):
    """You take the largest of the channels. This layer sees their mean alone."""
    return x.amax(1, keepdim=True)


def summed_channels(x):
    """You sum over the channels. It is their mean."""
    return x.sum(1, keepdim=True)


def mean_and_largest_channel(x):
    """You add the largest of the channels to their mean. This layer sees the mean alone."""
    return x.mean(1, keepdim=True) + x.amax(1, keepdim=True)


def first_channel(x):
    """You take the first channel. It is the mean of all."""
    return x[:, :1]


def first_relu_missing(z):
    """The ReLU after `self.look` is missing: without it the two convolutions are one."""
    return z


def second_relu_missing(z):
    """The ReLU after `self.shrink` is missing."""
    return z


def not_cut(z, h, w):
    """On odd maps your gains are one row or column too many, as in the released code: repeat
    every pixel twice, then cut to h and w."""
    return repeat(z, "b 1 h w -> b 1 (h down) (w across)", down=2, across=2)


def tiled(z, h, w):
    """You put the small map twice beside itself. Each pixel becomes a block of 2 x 2: "(h
    down)", with h outside."""
    z = repeat(z, "b 1 h w -> b 1 (down h) (across w)", down=2, across=2)
    return z[..., :h, :w]


def columns_tiled(z, h, w):
    """Your columns lie side by side in two copies. Each pixel becomes a block of 2 x 2:
    "(w across)", with w outside."""
    z = repeat(z, "b 1 h w -> b 1 (h down) (across w)", down=2, across=2)
    return z[..., :h, :w]


def rows_tiled(z, h, w):
    """Your rows lie one below the other in two copies. Each pixel becomes a block of 2 x 2:
    "(h down)", with h outside."""
    z = repeat(z, "b 1 h w -> b 1 (down h) (w across)", down=2, across=2)
    return z[..., :h, :w]


def interpolated_to_the_corners(z, h, w):
    """You interpolate between the pixels of the small map, corners aligned. Each becomes a
    block of 2 x 2."""
    return F.interpolate(z, (h, w), mode="bilinear", align_corners=True)


def interpolated(z, h, w):
    """You interpolate between the pixels of the small map. Each becomes a block of 2 x 2."""
    return F.interpolate(z, (h, w), mode="bilinear")


def exact_neighbour(z, h, w):
    """On odd maps your blocks are uneven ("nearest-exact" to h and w). Repeat every pixel
    twice, then cut to h and w."""
    return F.interpolate(z, (h, w), mode="nearest-exact")


def filled_with_zeros(z, h, w):
    """On odd maps your last row and column are zeros. There the last blocks are cut in two:
    grow to at least h and w, then cut."""
    y = grown_only(z, h, w)[..., :h, :w].clone()
    y[..., h - h % 2 if h > 1 else 1 :, :] = 0
    y[..., w - w % 2 if w > 1 else 1 :] = 0
    return y


def cut_at_the_front(z, h, w):
    """On odd maps you cut the first row and column off. It is the last: [..., :h, :w]."""
    z = repeat(z, "b 1 h w -> b 1 (h down) (w across)", down=2, across=2)
    return z[..., z.shape[-2] - h :, z.shape[-1] - w :]


def spread_with_zeros(z, h, w):
    """You put zeros between the pixels of the small map. Each becomes a block of 2 x 2."""
    y = z.new_zeros(len(z), 1, h, w)
    y[..., ::2, ::2] = z
    return y


def shrink_without_look(self, z, first, second):
    """`self.look`, the 5x5 convolution, is left out."""
    return second(self.shrink(z))


def shrunk_before_look(self, z, first, second):
    """`self.shrink` comes before `self.look`. First the 5x5 on the whole map, then stride 2."""
    return second(self.look(first(self.shrink(z))))


def no_relu_at_all(self, z, first, second):
    """Both ReLUs are missing, after `self.look` and after `self.shrink`."""
    return self.shrink(self.look(z))


def pooled_look(self, z, first, second):
    """You shrink by pooling. `self.shrink`, a convolution with stride 2, does it."""
    return second(F.avg_pool2d(first(self.look(z)), 2, ceil_mode=True))


def largest_look(self, z, first, second):
    """You shrink by the largest of 2 x 2. `self.shrink`, a convolution with stride 2, does
    it."""
    return F.max_pool2d(first(self.look(z)), 2, ceil_mode=True)


def smoothed_twice(self, z):
    """`self.smooth` is applied twice. Once is enough."""
    return self.smooth(self.smooth(z))


def not_smoothed(self, z):
    """`self.smooth`, the last convolution, is left out."""
    return z


def smoothed_small(self, z, first, second):
    return self.smooth(second(self.shrink(first(self.look(z)))))


@also(chain=smoothed_small)
def smoothed_before_growing(self, z):
    """`self.smooth` comes before the map grows again. It comes after, and wears the edges of
    the blocks away."""
    return z


def grown_only(z, h, w):
    return repeat(z, "b 1 h w -> b 1 (h down) (w across)", down=2, across=2)


class CutAfterSmoothing(SpatialLayer):
    """On odd maps you cut after `self.smooth`: the last row and column then see what is cut
    off. Cut before it."""

    def attention(self, x):
        z = grown_only(look_then_shrink(self, mean_channel(x), relus, relus), 0, 0)
        return self.smooth(z)[:, 0, : x.shape[-2], : x.shape[-1]].sigmoid()


def biases_taken_off(self, z):
    """The bias of `self.smooth` is left out: call the layer."""
    return self.smooth(z) - self.smooth.bias


class LayerLoops(SpatialLayer):
    def attention(self, x):
        h, w = x.shape[-2:]
        z = torch.relu(self.shrink(torch.relu(self.look(x.mean(1, keepdim=True)))))
        rows = [torch.stack([z[..., i // 2, j // 2] for j in range(w)], -1) for i in range(h)]
        return torch.sigmoid(self.smooth(torch.stack(rows, -2)))[:, 0]

    def forward(self, x):
        return x * self.attention(x)[:, None]


class LayerInterpolated(SpatialLayer):
    def attention(self, x):
        z = F.relu(self.look(x.mean(1).unsqueeze(1)))
        z = F.interpolate(F.relu(self.shrink(z)), size=x.shape[-2:], mode="nearest")
        return self.smooth(z).squeeze(1).sigmoid()

    def forward(self, x):
        return torch.einsum("bchw,bhw->bchw", x, self.attention(x))


# GALA


def gala_trials():
    def trial(name, reduction, **sizes):
        init = dict(channels=sizes["c"], reduction=reduction)
        return Trial(name, sizes, dict(x="b c h w"), init)

    return (
        trial("on two images", 2, b=2, c=6, h=5, w=7),
        trial("on maps of 1 x 4", 4, b=3, c=8, h=1, w=4),
        trial("on a single pixel", 3, b=2, c=9, h=1, w=1),
    )


def a_mean(x):
    return pooled(x, "mean")


def rectified_middle(z):
    return z.relu()


def local_middle(z):
    return z.relu()


def signed(z):
    return z


def sum_and_product(g, p, a, m):
    return a * (g + p) + m * g * p


def by_hyperbola(z):
    return z.tanh()


def gala_recipe(
    pooling=a_mean,
    widening=rectified_middle,
    local=local_middle,
    globally=signed,
    locally=signed,
    joining=sum_and_product,
    squashing=by_hyperbola,
    applying=times,
):
    """`GALA` with some of its steps replaced."""

    class Answer(GALA):
        def channels(self, x):
            return globally(self.up(widening(self.down(pooling(x)))))

        def pixels(self, x):
            return rearrange(locally(self.collapse(local(self.shrink(x)))), "b 1 h w -> b h w")

        def attention(self, x):
            g, p = over_pixels(self.channels(x)), over_channels(self.pixels(x))
            a, m = (rearrange(w, "c -> c 1 1") for w in (self.additive, self.multiplicative))
            return squashing(joining(g, p, a, m))

        def forward(self, x):
            return applying(x, self.attention(x))

    return Answer


def a_max(x):
    """You pool by the largest value. GALA's global branch takes the mean."""
    return pooled(x, "max")


def a_sum(x):
    """You sum over the pixels. It is their mean."""
    return pooled(x, "sum")


def global_relu_missing(z):
    """The ReLU between `self.down` and `self.up` is missing."""
    return z


def local_relu_missing(z):
    """The ReLU between `self.shrink` and `self.collapse` is missing."""
    return z


def global_rectified(z):
    """A ReLU follows `self.up`: what the image says of a channel loses its sign."""
    return z.relu()


def global_squashed(z):
    """You squash the global branch by a sigmoid. It is squashed together with the other, once,
    by tanh."""
    return z.sigmoid()


def local_rectified(z):
    """A ReLU follows `self.collapse`: what a pixel says of itself loses its sign."""
    return z.relu()


def local_centred(z):
    """You take the mean off what the pixels say. It stays as it is."""
    return z - z.mean((-2, -1), keepdim=True)


def local_squashed(z):
    """You squash the local branch by a sigmoid. It is squashed together with the other, once,
    by tanh."""
    return z.sigmoid()


def sum_alone(g, p, a, m):
    """The product is missing: m g l is added to a (g + l)."""
    return a * (g + p) + 0 * m


def product_alone(g, p, a, m):
    """The sum is missing: a (g + l) is added to m g l."""
    return m * g * p + 0 * a


def shares_exchanged(g, p, a, m):
    """The shares are exchanged: `self.additive` belongs to the sum, `self.multiplicative` to
    the product."""
    return m * (g + p) + a * g * p


def shares_left_out(g, p, a, m):
    """The shares of the channels are left out: a (g + l) + m g l."""
    return g + p + g * p + 0 * (a + m)


def additive_on_global_alone(g, p, a, m):
    """The share of the sum belongs to both terms: a (g + l). You have a g + l."""
    return a * g + p + m * g * p


def each_its_share(g, p, a, m):
    """You give one share to g and the other to l. They belong to sum and product: a (g + l) +
    m g l."""
    return a * g + m * p


def terms_subtracted(g, p, a, m):
    """You subtract the product. It is added: a (g + l) + m g l."""
    return a * (g + p) - m * g * p


def terms_multiplied(g, p, a, m):
    """You multiply the two terms. They are added: a (g + l) + m g l."""
    return a * (g + p) * m * g * p


def product_in_the_sum(g, p, a, m):
    """You multiply the product by both shares: a (g + l + m g l). It is a (g + l) + m g l."""
    return a * (g + p + m * g * p)


@also(squashing=plain)
def each_term_squashed(g, p, a, m):
    """You squash sum and product each by tanh and add: gains reach 2. Add first, then
    squash."""
    return (a * (g + p)).tanh() + (m * g * p).tanh()


@also(squashing=by_hyperbola)
def branches_squashed(g, p, a, m):
    """You squash g and l by tanh before they are combined. Combine first, then squash once."""
    return sum_and_product(g.tanh(), p.tanh(), a, m)


def squared_sum(g, p, a, m):
    """Your second term is m (g + l)². It is the product: m g l."""
    return a * (g + p) + m * (g + p).square()


def local_subtracted(g, p, a, m):
    """You subtract l from g. They are added: a (g + l) + m g l."""
    return a * (g - p) + m * g * p


def one_share_for_all(g, p, a, m):
    """All channels have the same share. Each has its own: `self.additive` and
    `self.multiplicative` hold c numbers, `c -> c 1 1`."""
    return sum_and_product(g, p, a.mean(), m.mean())


def pixels_averaged(g, p, a, m):
    """In the product l is averaged over the pixels. Each pixel keeps its own: m g l."""
    return a * (g + p) + m * g * p.mean((2, 3), keepdim=True)


def shares_squashed(g, p, a, m):
    """You squash the shares. They are plain numbers: a (g + l) + m g l."""
    return a.sigmoid() * (g + p) + m.sigmoid() * g * p


def global_left_out(g, p, a, m):
    """The global branch plays no part in your map: a (g + l) + m g l."""
    return a * p + m * p + 0 * g


def local_left_out(g, p, a, m):
    """The local branch plays no part in your map: a (g + l) + m g l."""
    return a * g + m * g + 0 * p


def not_squashed(z):
    """The tanh is missing: your gains are any numbers. They are in (-1, 1)."""
    return z


def from_0_to_1(z):
    """You bring tanh to (0, 1). Its negative half is meant: a gain may turn the sign."""
    return (z.tanh() + 1) / 2


def lifted_tanh(z):
    """You add 1 to the gains. They are tanh alone, in (-1, 1)."""
    return 1 + z.tanh()


def half_tanh(z):
    """You take 2 σ(z) - 1, which is tanh(z / 2). It is tanh(z), which is 2 σ(2 z) - 1."""
    return (z / 2).tanh()


def by_absolute_tanh(z):
    """You take the absolute value of the gains. They may turn the sign."""
    return z.tanh().abs()


def rectified_tanh(z):
    """You cut negative gains off. They may turn the sign."""
    return z.tanh().relu()


SQUASHED_AS_RELEASED = Slip(
    "squashed_as_released",
    "You squash by a sigmoid, as GALA's released code does unless told otherwise. The paper has"
    " tanh, so that a gain may turn the sign.",
    gala_recipe(squashing=by_sigmoid),
    variant=True,
)


class NotCollapsed(gala_recipe()):
    """You average the maps of `self.shrink`. `self.collapse` weighs them."""

    def pixels(self, x):
        return self.shrink(x).relu().mean(1)


class CollapsedBySum(gala_recipe()):
    """You sum the maps of `self.shrink`. `self.collapse` weighs them."""

    def pixels(self, x):
        return self.shrink(x).relu().sum(1)


class CollapsedByMax(gala_recipe()):
    """You take the largest of the maps of `self.shrink`. `self.collapse` weighs them."""

    def pixels(self, x):
        return self.shrink(x).relu().amax(1)


class PixelsAfterChannels(gala_recipe()):
    """Your pixels see x as the channels have scaled it. In GALA both see x."""

    def attention(self, x):
        g = over_pixels(self.channels(x))
        p = over_channels(self.pixels(x * g))
        a, m = (rearrange(w, "c -> c 1 1") for w in (self.additive, self.multiplicative))
        return sum_and_product(g, p, a, m).tanh()


class GALALoops(GALA):
    def channels(self, x):
        z = torch.stack([torch.stack([m.mean() for m in image]) for image in x])
        return self.up(torch.relu(self.down(z)))

    def pixels(self, x):
        y = torch.einsum("bchw,mc->bmhw", x, self.shrink.weight[:, :, 0, 0])
        y = torch.relu(y + self.shrink.bias[:, None, None])
        return (
            torch.einsum("bmhw,m->bhw", y, self.collapse.weight.flatten()) + self.collapse.bias
        )

    def attention(self, x):
        g, p = self.channels(x), self.pixels(x)
        maps = []
        for c in range(x.shape[1]):
            one = g[:, c, None, None]
            maps.append(self.additive[c] * (one + p) + self.multiplicative[c] * one * p)
        return torch.tanh(torch.stack(maps, 1))

    def forward(self, x):
        return self.attention(x) * x


class GALAEinsum(GALA):
    def channels(self, x):
        return self.up(F.relu(self.down(x.mean(dim=(-2, -1)))))

    def pixels(self, x):
        return self.collapse(F.relu(self.shrink(x))).squeeze(1)

    def attention(self, x):
        g, p = self.channels(x)[..., None, None], self.pixels(x)[:, None]
        a, m = self.additive.view(1, -1, 1, 1), self.multiplicative.view(1, -1, 1, 1)
        return torch.tanh(a * g + a * p + m * (g * p))

    def forward(self, x):
        return torch.mul(x, self.attention(x))


# Grad-CAM


def fixed(*sizes):
    """Weights of a head, always the same ones."""
    n = torch.tensor(sizes).prod().item()
    return (torch.arange(1, n + 1) * 2.4).sin().double().reshape(sizes)


def linear_head(maps):
    """The mean of each map, then a linear layer: the end of a residual network."""
    c = maps.shape[1]
    return maps.mean((2, 3)) @ fixed(c, 5).to(maps) + fixed(5).to(maps)


def curved_head(maps):
    """Scores whose gradients depend on the maps and on the place."""
    _, c, h, w = maps.shape
    z = torch.einsum("bchw,ck,hw->bk", maps.sin(), fixed(c, 4).to(maps), fixed(h, w).to(maps))
    return z + (z / 3).square()


class WeightedHead(nn.Module):
    """A head with weights of its own, which want gradients in training."""

    def __init__(self, channels):
        super().__init__()
        self.weight = nn.Parameter(fixed(channels, 6))

    def forward(self, maps):
        return (maps + maps.square() / 4).mean((2, 3)) @ self.weight.to(maps)


def cam_trials():
    def trial(name, head, classes, rectify=True, **sizes):
        inputs = dict(
            maps="b c h w",
            head=head,
            classes=Given("b", torch.tensor(classes)),
            rectify=rectify,
        )
        return Trial(name, sizes, inputs)

    return (
        trial("with a linear head", linear_head, [3, 0], b=2, c=6, h=5, w=7),
        trial("with a curved head", curved_head, [1, 3, 0], b=3, c=4, h=2, w=5),
        trial("without rectifying", curved_head, [2, 0], False, b=2, c=3, h=6, w=4),
        trial("with a head that has weights", WeightedHead(5), [4, 1], b=2, c=5, h=3, w=4),
    )


def chosen_score(scores, classes):
    return scores[torch.arange(len(scores)), classes].sum()


def mean_over_pixels(gradient):
    return gradient.mean((2, 3), keepdim=True)


def weighted_sum(gains, maps):
    return (gains * maps).sum(1)


def as_told(raw, rectify):
    return raw.relu() if rectify else raw


def cam_recipe(
    scoring=chosen_score, averaging=mean_over_pixels, summing=weighted_sum, ending=as_told
):
    """`grad_cam` with some of its steps replaced."""

    def answer(maps, head, classes, rectify=True):
        with torch.enable_grad():
            maps = maps.detach().requires_grad_()
            (gradient,) = torch.autograd.grad(scoring(head(maps), classes), maps)
        return ending(summing(averaging(gradient), maps.detach()), rectify)

    return answer


def of_the_softmax(scores, classes):
    """You differentiate the probability after the softmax. The score before it is meant: a
    probability also rises when other classes fall."""
    return chosen_score(scores.softmax(-1), classes)


def of_the_log_softmax(scores, classes):
    """You differentiate the logarithm of the probability. The score before the softmax is
    meant."""
    return chosen_score(scores.log_softmax(-1), classes)


def of_the_loss(scores, classes):
    """You differentiate the loss. It is the score of the class: the sign is turned, and the
    softmax is in it."""
    return F.cross_entropy(scores, classes)


def of_the_summed_loss(scores, classes):
    """You differentiate the loss, summed. It is the score of the class: the sign is turned, and
    the softmax is in it."""
    return F.cross_entropy(scores, classes, reduction="sum")


def all_classes(scores, classes):
    """You differentiate the sum of all scores. Only that of the class asked for counts."""
    return scores.sum()


def first_class_for_all(scores, classes):
    """All images get the map of the first image's class. Each has its own in `classes`."""
    return scores[:, classes[0]].sum()


def best_class(scores, classes):
    """You take the class with the largest score. It is the class asked for, `classes`."""
    return scores.amax(-1).sum()


def every_class_asked_for(scores, classes):
    """`scores[:, classes]` takes the classes of all images for every image. Pick one for each:
    `scores[arange, classes]`."""
    return scores[:, classes].sum()


def mean_over_the_batch(scores, classes):
    """You average the scores over the batch: the maps shrink with its size. Sum them; images do
    not mix."""
    return chosen_score(scores, classes) / len(scores)


def of_a_sigmoid(scores, classes):
    """You differentiate a sigmoid of the score. The score itself is meant."""
    return scores[torch.arange(len(scores)), classes].sigmoid().sum()


def next_class(scores, classes):
    """You take the class after the one asked for. Classes count from 0, as `classes` does."""
    return chosen_score(scores, (classes + 1) % scores.shape[-1])


def best_of_the_batch(scores, classes):
    """You take the one largest score of the batch. Each image has its class in `classes`."""
    return scores.amax()


def sign_turned(scores, classes):
    """The sign of the score is turned: you see what speaks against the class."""
    return -chosen_score(scores, classes)


def against_the_others(scores, classes):
    """You subtract the scores of the other classes. Only that of the class asked for counts."""
    return 2 * chosen_score(scores, classes) - scores.sum()


def first_image_alone(scores, classes):
    """Only the first image is differentiated: the maps of the others are 0."""
    return scores[0, classes[0]]


def slopes_of(maps, head, classes):
    """The maps, and the gradient of each image's score."""
    with torch.enable_grad():
        maps = maps.detach().requires_grad_()
        (gradient,) = torch.autograd.grad(chosen_score(head(maps), classes), maps)
    return maps.detach(), gradient


def plus_plus(maps, head, classes, rectify=True):
    """These are the gains of Grad-CAM++, which weighs the pixels of each gradient. Grad-CAM
    takes their plain mean."""
    maps, slope = slopes_of(maps, head, classes)
    cubes = (maps * slope**3).sum((2, 3), keepdim=True)
    shares = slope**2 / (2 * slope**2 + cubes + 1e-8)
    raw = ((shares * slope.relu()).sum((2, 3), keepdim=True) * maps).sum(1)
    return raw.relu() if rectify else raw


def by_the_maps(maps, head, classes, rectify=True):
    """These are the gains of XGrad-CAM, in which pixels count as much as the map holds there.
    Grad-CAM takes the plain mean of the gradient."""
    maps, slope = slopes_of(maps, head, classes)
    gains = (slope * maps).sum((2, 3)) / (maps.sum((2, 3)) + 1e-7)
    raw = (gains[:, :, None, None] * maps).sum(1)
    return raw.relu() if rectify else raw


def summed_over_pixels(gradient):
    """The gains are summed over the pixels. Equation 1 averages."""
    return gradient.sum((2, 3), keepdim=True)


def largest_gradient(gradient):
    """The gains are the largest gradients. Equation 1 averages over the pixels."""
    return gradient.amax((2, 3), keepdim=True)


def pixel_by_pixel(gradient):
    """You multiply gradient and map pixel by pixel: that is HiResCAM. Grad-CAM averages the
    gradient over the pixels first."""
    return gradient


def positive_pixels(gradient):
    """You drop negative gradients and multiply pixel by pixel: that is LayerCAM. Grad-CAM
    averages the gradient, signs and all, over the pixels."""
    return gradient.relu()


def positive_gradients(gradient):
    """You drop negative gradients before the mean. Gains keep their sign; the ReLU comes at the
    end."""
    return gradient.relu().mean((2, 3), keepdim=True)


def positive_gains(gradient):
    """You drop negative gains. They keep their sign; the ReLU comes at the end."""
    return gradient.mean((2, 3), keepdim=True).relu()


def absolute_gains(gradient):
    """You take absolute gains: what speaks against the class counts for it."""
    return gradient.mean((2, 3), keepdim=True).abs()


def squared_gradients(gradient):
    """The gains are means of squared gradients. They keep their sign: the plain mean."""
    return gradient.square().mean((2, 3), keepdim=True)


def gains_of_all_images(gradient):
    """The gains are averaged over the batch as well: images mix."""
    return gradient.mean((0, 2, 3), keepdim=True)


def length_of_the_gradient(gradient):
    """The gains are the lengths of the gradients. They are means, with their signs."""
    return gradient.flatten(2).norm(dim=2)[..., None, None]


def gains_as_shares(gradient):
    """You take a softmax of the gains. They stay as they are, with their signs."""
    return gradient.mean((2, 3), keepdim=True).softmax(1)


def gains_of_length_one(gradient):
    """You bring the gains to length 1. They stay as they are: then the map shares out the
    score."""
    return F.normalize(gradient.mean((2, 3), keepdim=True), dim=1)


def averaged_gains(gradient):
    """The gains are averaged over the channels too: each map has its own."""
    return gradient.mean((1, 2, 3), keepdim=True)


def equal_gains(gradient):
    """The gains are left out: you add up the maps as they are."""
    return torch.ones_like(gradient[:, :, :1, :1])


def averaged_maps(gains, maps):
    """You average the weighted maps over the channels. Equation 2 sums."""
    return (gains * maps).mean(1)


def rectified_maps(gains, maps):
    """You rectify each weighted map before the sum. The ReLU comes after it: maps that speak
    against the class must be able to outweigh others."""
    return (gains * maps).relu().sum(1)


def positive_maps(gains, maps):
    """You cut off negative values of the maps before they are weighted. The ReLU comes after
    the sum."""
    return (gains * maps.relu()).sum(1)


def gains_without_maps(gains, maps):
    """The maps themselves are missing: you return the sum of the gradients."""
    return (gains.expand_as(maps)).sum(1)


def squared_maps(gains, maps):
    """You multiply by the squares of the maps. It is the maps themselves."""
    return (gains * maps.square()).sum(1)


def strongest_map(gains, maps):
    """You keep the strongest of the weighted maps. They are summed."""
    return (gains * maps).amax(1)


def never_rectified(raw, rectify):
    """The ReLU is missing: with `rectify` only what speaks for the class is kept."""
    return raw


def always_rectified(raw, rectify):
    """`rectify` is not looked at: with False what speaks against the class stays."""
    return raw.relu()


def rectify_inverted(raw, rectify):
    """`rectify` is read the wrong way round."""
    return raw if rectify else raw.relu()


def absolute_map(raw, rectify):
    """You take the absolute value of the map. What speaks against the class becomes 0."""
    return raw.abs() if rectify else raw


def stretched(raw, rectify):
    """You stretch the map to 0 … 1. That belongs to the figure: the values are comparable
    between images, and sum to the score under a linear head."""
    y = as_told(raw, rectify)
    low, high = y.amin((1, 2), keepdim=True), y.amax((1, 2), keepdim=True)
    return (y - low) / (high - low + 1e-7)


def from_the_smallest(raw, rectify):
    """You take the smallest value off the map. Equation 2 has a ReLU: what speaks against the
    class becomes 0."""
    return raw - raw.amin((1, 2), keepdim=True) if rectify else raw


def over_the_largest(raw, rectify):
    """You divide the map by its largest value. That belongs to the figure: the values are
    comparable between images."""
    y = as_told(raw, rectify)
    return y / (y.amax((1, 2), keepdim=True) + 1e-7)


def one_at_the_largest(raw, rectify):
    """With `rectify` you divide the map by its largest value. That belongs to the figure: the
    values are comparable between images."""
    y = raw.relu()
    return y / y.amax((1, 2), keepdim=True).clamp(min=1e-12) if rectify else raw


def squashed_map(raw, rectify):
    """You squash the map by a sigmoid. Equation 2 has a ReLU."""
    return raw.sigmoid() if rectify else raw


def cam_image_by_image(maps, head, classes, rectify=True):
    """One image at a time, one channel at a time."""
    results = []
    for one, k in zip(maps, classes.tolist(), strict=True):
        with torch.enable_grad():
            one = one[None].detach().requires_grad_()
            (slope,) = torch.autograd.grad(head(one)[0, k], one)
        raw = sum(slope[0, c].mean() * one[0, c].detach() for c in range(one.shape[1]))
        results.append(raw.clamp(min=0) if rectify else raw)
    return torch.stack(results)


def cam_by_onehot(maps, head, classes, rectify=True):
    """The whole batch backwards at once."""
    maps = maps.clone().requires_grad_(True)
    scores = head(maps)
    onehot = F.one_hot(classes, scores.shape[-1]).to(scores)
    slope = torch.autograd.grad(scores, maps, grad_outputs=onehot)[0]
    raw = torch.einsum("bc,bchw->bhw", slope.mean(dim=[2, 3]), maps).detach()
    return F.relu(raw) if rectify else raw


def cam_by_gather(maps, head, classes, rectify=True):
    """With gather, and einops."""
    maps = maps.detach().requires_grad_()
    picked = head(maps).gather(1, classes[:, None])
    slope = torch.autograd.grad(picked.sum(), maps)[0]
    gains = reduce(slope, "b c h w -> b c 1 1", "mean")
    raw = einsum(gains, maps, "b c p q, b c h w -> b h w").detach()
    return raw.clamp_min(0) if rectify else raw


EXERCISES = [
    Exercise(
        id="spatial.channel_gate",
        solution=ChannelGate,
        probes={"attention": "b c", "forward": "b c h w"},
        trials=channel_trials,
        blank=("attention", "forward"),
        slips=(
            *family(
                channel_recipe,
                paired=(
                    pools_added_first,
                    logits_averaged,
                    no_relu,
                    mean_for_max,
                    residual_added,
                ),
                choosing=(
                    both_always,
                    mean_always,
                    max_always,
                    first_pool_only,
                    last_pool_only,
                ),
                pooling=(
                    mean_for_max,
                    max_for_mean,
                    min_for_max,
                    largest_size,
                    sum_for_mean,
                    largest_of_row_means,
                    largest_row_mean,
                    largest_column_mean,
                    spread_for_max,
                    one_image_for_all,
                    rectified_pool,
                ),
                feeding=(
                    no_relu,
                    relu_at_the_end,
                    relu_after_up,
                    sigmoid_in_the_middle,
                    biases_left_out,
                ),
                joining=(
                    pools_added_first,
                    pools_averaged_first,
                    logits_averaged,
                    logits_multiplied,
                    larger_logit,
                    sigmoids_added,
                    sigmoids_averaged,
                    sigmoids_multiplied,
                    hidden_added,
                    mean_not_fed,
                    logits_subtracted,
                ),
                squashing=SQUASHING,
                applying=APPLYING,
            ),
            GatedTwice,
        ),
        hints=(
            "Squeeze-and-excitation asks the mean of each map. What does the largest value know"
            " that the mean does not?",
            "The same two layers run once for each pool in `self.pools`; their results"
            " are added"
            " while they are logits, and the sum is squashed. `reduce` takes the name of"
            " a pool.",
            "attention: for each pool: z = reduce(x, b c h w -> b c, pool)\n"
            "    up(relu(down(z))), all added, then sigmoid\n"
            'forward: x times attention(x), "b c -> b c 1 1"',
        ),
        minutes=10,
        difficulty=2,
        otherwise=(ChannelLoops, ChannelFunctional),
        laws=(
            "examples_do_not_mix",
            "gains_are_themselves",
            "logits_are_right",
            "nothing_comes_of_nothing",
            "one_gain_for_each_channel",
        ),
    ),
    Exercise(
        id="spatial.spatial_gate",
        solution=SpatialGate,
        probes={"describe": "b two h w", "attention": "b h w", "forward": "b c h w"},
        trials=spatial_trials,
        blank=("describe", "attention", "forward"),
        slips=(
            *family(
                spatial_recipe,
                paired=(mean_twice, max_twice, no_norm, no_sigmoid, residual_added),
                describing=(
                    mean_twice,
                    max_twice,
                    min_and_mean,
                    max_and_sum,
                    max_and_min,
                    maps_pooled,
                    axes_reshaped,
                    largest_absolute,
                    max_and_spread,
                    max_and_length,
                    max_and_middle,
                    first_channels,
                    which_is_largest,
                    all_images_pooled,
                ),
                filtering=(
                    no_norm,
                    conv_left_out,
                    rectified_conv,
                    turned_kernel,
                    transposed_kernel,
                    statistics_of_the_batch,
                    running_statistics,
                    per_image_norm,
                    norm_before_sigmoid_lost,
                    norm_first,
                    max_alone,
                    mean_alone,
                    rectified_descriptors,
                    normalised_without_weights,
                    normalised_over_the_map,
                    normalised_twice,
                    border_repeated,
                    reshaped_across,
                ),
                squashing=SQUASHING,
                applying=APPLYING,
            ),
            Slip(
                "mean_before_max",
                "You describe a pixel by mean and max, in the order of the paper's"
                " equation 3 and"
                " of timm. The released code, whose weights others load, has max first.",
                spatial_recipe(describing=mean_then_max),
                variant=True,
            ),
        ),
        hints=(
            "The channel gate averages over h and w and keeps c. Which axis goes here,"
            " and which"
            " stay?",
            "Two numbers for each pixel, the largest and the mean of its channels, are an image"
            " of two planes: `self.conv` makes one of them, `self.norm` normalises it.",
            "describe: reduce b c h w -> b h w, by max and by mean, put together as b two h w\n"
            "attention: sigmoid of norm(conv(describe(x))), b 1 h w -> b h w\n"
            'forward: x times attention(x), "b h w -> b 1 h w"',
        ),
        minutes=10,
        difficulty=2,
        otherwise=(SpatialSums, SpatialWindows),
        laws=(
            "examples_do_not_mix",
            "gains_are_themselves",
            "logits_are_right",
            "nothing_comes_of_nothing",
            "one_gain_for_each_pixel",
        ),
    ),
    Exercise(
        id="spatial.cbam",
        solution=CBAM,
        probes={"attention": "b c h w", "forward": "b c h w"},
        trials=cbam_trials,
        blank=("attention", "forward"),
        slips=(
            *family(
                cbam_recipe,
                paired=(always_parallel, gains_added, residual_added),
                ordering=(
                    always_channels_first,
                    always_pixels_first,
                    always_parallel,
                    orders_exchanged,
                    only_pixels_first,
                    only_channels_first,
                    pixels_first_without_passing,
                    channels_first_without_passing,
                    parallel_as_a_sequence,
                    parallel_pixels_first,
                ),
                joining=(gains_added,),
                applying=APPLYING,
            ),
            GAINS_ADDED_IN_ONE_ORDER,
            *(
                in_one_order(whole_slip(passing=step), passing=step)
                for step in (gain_passed, residual_passed, rest_passed, rectified_passed)
            ),
            *(
                in_one_order(whole_slip(joining=step), joining=step)
                for step in (
                    gains_averaged,
                    larger_gain,
                    smaller_gain,
                    either_gain,
                    first_gain_lost,
                    second_gain_lost,
                    first_gain_twice,
                    root_of_the_product,
                    squashed_again,
                )
            ),
            ScaledBeforeReturned,
            replace(slip(ScaledTwice), ways=(ScaledTwiceByChannel,)),
            Summed,
        ),
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
    ),
    Exercise(
        id="spatial.channel_branch",
        solution=ChannelBranch,
        probes={"forward": "b c"},
        trials=branch_trials,
        blank=("forward",),
        slips=(
            *family(
                branch_recipe,
                paired=(by_max, relu_without_norm, squashed_early),
                pooling=(by_max, by_mean_and_max, by_sum, over_the_batch, rectified_mean),
                middle=(
                    relu_without_norm,
                    relu_then_norm,
                    norm_without_relu,
                    neither_norm_nor_relu,
                    norm_twice,
                    sigmoid_between,
                    leaky_between,
                    norm_over_features,
                    norm_without_weights,
                    own_batch_statistics,
                    kept_statistics,
                ),
                down=(down_without_bias,),
                ending=(squashed_early, rectified_end, up_without_bias),
            ),
            EachPoolThrough,
        ),
        hints=(
            "What is the same as in squeeze-and-excitation, and which step is new?",
            "The mean of each map, `self.down`, then normalisation and ReLU, then"
            " `self.up`. The"
            " branch ends with logits: no sigmoid yet.",
            "z = mean of x over h, w\nup(relu(norm(down(z))))",
        ),
        minutes=4,
        difficulty=1,
        otherwise=(BranchLoops, BranchFunctional),
        laws=("examples_do_not_mix",),
    ),
    Exercise(
        id="spatial.spatial_branch",
        solution=SpatialBranch,
        probes={"forward": "b h w"},
        trials=pixel_branch_trials,
        blank=("forward",),
        slips=family(
            pixel_branch_recipe,
            paired=(first_norm_for_all, pixel_no_relu, squashed_early),
            taking=(
                far_left_out,
                near_left_out,
                far_before_near,
                near_twice,
                no_dilated_layers,
            ),
            norming=(first_norm_for_all, norms_backwards),
            stepping=(
                pixel_no_norm,
                pixel_no_relu,
                pixel_relu_first,
                pixel_layers_alone,
                pixel_batch_statistics,
                pixel_kept_statistics,
            ),
            running=(
                side_by_side,
                with_shortcuts,
                last_relu_missing,
                last_norm_missing,
                middle_norm_missing,
                first_step_missing,
                dilation_ignored,
                last_norm_alone,
                border_repeated_twice,
                far_undilated,
            ),
            ending=(squashed_early, rectified_end, centred_end, bias_of_out_missing),
        ),
        hints=(
            "Four layers: 1x1, two dilated 3x3, 1x1. After which of them do normalisation and"
            " ReLU come?",
            "After `down`, `near` and `far`, each with its own of the three `self.norms`; `out`"
            " ends with one map of logits.",
            "for layer, norm in down, near, far with norms 0, 1, 2: x = relu(norm(layer(x)))\n"
            "out(x), b 1 h w -> b h w",
        ),
        minutes=6,
        difficulty=2,
        otherwise=(PixelsWritten, PixelsFunctional),
        laws=("examples_do_not_mix",),
    ),
    Exercise(
        id="spatial.bam",
        solution=BAM,
        probes={"attention": "b c h w", "forward": "b c h w"},
        trials=bam_trials,
        blank=("attention", "forward"),
        slips=(
            *family(
                bam_recipe,
                paired=(no_residual, each_squashed_and_multiplied, no_sigmoid, map_added),
                asking=(sum_always, ways_exchanged),
                combining=(
                    channels_alone,
                    pixels_alone,
                    logits_halved,
                    larger_of_both,
                    difference,
                    each_squashed_and_multiplied,
                    each_squashed_and_added,
                    each_squashed_before,
                    channels_squashed_before,
                    pixels_squashed_before,
                    sum_and_product_of_logits,
                ),
                squashing=(
                    no_sigmoid,
                    by_tanh,
                    by_relu,
                    relu_first,
                    sigmoid_twice,
                    shares,
                    compete,
                ),
                applying=(
                    no_residual,
                    residual_twice,
                    doubled_gain,
                    map_added,
                    map_alone,
                    map_subtracted,
                    nothing_done,
                    rectified_sum,
                ),
            ),
            OneIncluded,
            InSequence,
            RaisedAlready,
            Turned,
            ALWAYS_PRODUCT,
        ),
        hints=(
            "One branch gives b c, the other b h w. How do they become one map b c h w?",
            "By broadcasting: b c 1 1 and b 1 h w. They are logits, so combine first and squash"
            ' once. The map says how much of x is added to x. With "product" they multiply.',
            'attention: channel(x) as b c 1 1, spatial(x) as b 1 h w; sum ("product": product);'
            " sigmoid\nforward: x + x times attention(x)",
        ),
        minutes=8,
        difficulty=2,
        otherwise=(BAMLoops, BAMEinsum),
        laws=(
            "examples_do_not_mix",
            "gains_are_themselves",
            "logits_are_right",
            "nothing_comes_of_nothing",
            "between_once_and_twice",
            "gains_in_range",
        ),
    ),
    Exercise(
        id="spatial.spatial_layer",
        solution=SpatialLayer,
        probes={"attention": "b h w", "forward": "b c h w"},
        trials=layer_trials,
        blank=("attention", "forward"),
        slips=(
            CutAfterSmoothing,
            *family(
                layer_recipe,
                paired=(first_relu_missing, second_relu_missing, no_sigmoid, residual_added),
                averaging=(
                    largest_channel,
                    summed_channels,
                    mean_and_largest_channel,
                    first_channel,
                ),
                first=(first_relu_missing,),
                second=(second_relu_missing,),
                chain=(
                    shrink_without_look,
                    shrunk_before_look,
                    no_relu_at_all,
                    pooled_look,
                    largest_look,
                ),
                growing=(
                    not_cut,
                    tiled,
                    rows_tiled,
                    columns_tiled,
                    interpolated,
                    interpolated_to_the_corners,
                    exact_neighbour,
                    cut_at_the_front,
                    filled_with_zeros,
                    spread_with_zeros,
                ),
                ending=(
                    not_smoothed,
                    smoothed_before_growing,
                    smoothed_twice,
                    biases_taken_off,
                ),
                squashing=SQUASHING,
                applying=APPLYING,
            ),
        ),
        hints=(
            "A map of 5 x 7 shrinks by stride 2 to 3 x 4. How large is it after every pixel has"
            " become a block of 2 x 2, and how large should it be?",
            "Mean over the channels; `look`, ReLU; `shrink`, ReLU; each pixel repeated"
            " twice down"
            " and twice across (`repeat` with brackets), cut to h and w; `smooth`; sigmoid.",
            "z = relu(shrink(relu(look(mean of x over c)))), b 1 h w\n"
            "z = repeat b 1 h w -> b 1 (h down) (w across), twice each, then [..., :h, :w]\n"
            "sigmoid of smooth(z), b h w; forward: x times it",
        ),
        minutes=10,
        difficulty=2,
        otherwise=(LayerLoops, LayerInterpolated),
        laws=(
            "examples_do_not_mix",
            "gains_are_themselves",
            "logits_are_right",
            "nothing_comes_of_nothing",
            "one_gain_for_each_pixel",
        ),
    ),
    Exercise(
        id="spatial.gala",
        solution=GALA,
        probes={
            "channels": "b c",
            "pixels": "b h w",
            "attention": "b c h w",
            "forward": "b c h w",
        },
        trials=gala_trials,
        blank=("channels", "pixels", "attention", "forward"),
        slips=(
            *family(
                gala_recipe,
                paired=(sum_alone, shares_exchanged, not_squashed, local_relu_missing),
                pooling=(a_max, a_sum),
                widening=(global_relu_missing,),
                local=(local_relu_missing,),
                globally=(global_rectified, global_squashed),
                locally=(local_rectified, local_squashed, local_centred),
                joining=(
                    sum_alone,
                    product_alone,
                    shares_exchanged,
                    shares_left_out,
                    additive_on_global_alone,
                    each_its_share,
                    terms_subtracted,
                    terms_multiplied,
                    product_in_the_sum,
                    each_term_squashed,
                    branches_squashed,
                    squared_sum,
                    local_subtracted,
                    one_share_for_all,
                    pixels_averaged,
                    shares_squashed,
                    global_left_out,
                    local_left_out,
                ),
                squashing=(
                    not_squashed,
                    from_0_to_1,
                    lifted_tanh,
                    half_tanh,
                    by_absolute_tanh,
                    rectified_tanh,
                ),
                applying=APPLYING,
            ),
            NotCollapsed,
            CollapsedBySum,
            CollapsedByMax,
            PixelsAfterChannels,
            SQUASHED_AS_RELEASED,
        ),
        hints=(
            "g says something of each channel, l of each pixel. Which combination of the two is"
            " like BAM's, which like CBAM's?",
            "The sum is like BAM, the product like CBAM; each channel has its share of both. a"
            " and m have one number a channel: `c -> c 1 1` meets b c h w.",
            "channels: up(relu(down(mean of x)))     pixels: collapse(relu(shrink(x)))\n"
            "attention: tanh of a (g + l) + m g l, with g b c 1 1 and l b 1 h w\n"
            "forward: x times attention(x)",
        ),
        minutes=12,
        difficulty=3,
        otherwise=(GALALoops, GALAEinsum),
        laws=(
            "examples_do_not_mix",
            "gains_are_themselves",
            "logits_are_right",
            "nothing_comes_of_nothing",
            "gains_in_range",
        ),
    ),
    Exercise(
        id="spatial.grad_cam",
        solution=grad_cam,
        probes={"grad_cam": "b h w"},
        trials=cam_trials,
        slips=(
            plus_plus,
            by_the_maps,
            *family(
                cam_recipe,
                paired=(of_the_softmax, summed_over_pixels, never_rectified, averaged_maps),
                scoring=(
                    of_the_softmax,
                    of_the_log_softmax,
                    of_the_loss,
                    of_the_summed_loss,
                    all_classes,
                    first_class_for_all,
                    best_class,
                    best_of_the_batch,
                    next_class,
                    every_class_asked_for,
                    mean_over_the_batch,
                    of_a_sigmoid,
                    sign_turned,
                    against_the_others,
                    first_image_alone,
                ),
                averaging=(
                    summed_over_pixels,
                    largest_gradient,
                    pixel_by_pixel,
                    positive_pixels,
                    positive_gradients,
                    positive_gains,
                    absolute_gains,
                    squared_gradients,
                    gains_of_all_images,
                    length_of_the_gradient,
                    gains_as_shares,
                    gains_of_length_one,
                    averaged_gains,
                    equal_gains,
                ),
                summing=(
                    averaged_maps,
                    rectified_maps,
                    positive_maps,
                    gains_without_maps,
                    squared_maps,
                    strongest_map,
                ),
                ending=(
                    never_rectified,
                    always_rectified,
                    rectify_inverted,
                    absolute_map,
                    stretched,
                    over_the_largest,
                    from_the_smallest,
                    one_at_the_largest,
                    squashed_map,
                ),
            ),
        ),
        hints=(
            "If every pixel of map A_c rose a little, would the score of the class rise"
            " or fall?"
            " That number is the gain of the map.",
            "Make the maps a leaf that wants gradients, score them, pick each image's"
            " class, and"
            " let `torch.autograd.grad` differentiate the sum of the picked scores. The gain is"
            " the mean of the gradient over h and w.",
            "maps = maps.detach().requires_grad_(); scores = head(maps)\n"
            "chosen = scores[arange(b), classes]; gradient = grad of chosen.sum() by maps\n"
            "gains = gradient, b c h w -> b c, mean\n"
            "sum over c of gains and maps, b h w; relu if rectify",
        ),
        minutes=15,
        difficulty=3,
        otherwise=(cam_image_by_image, cam_by_onehot, cam_by_gather),
        laws=("a_constant_factor", "examples_do_not_mix"),
        skip=frozenset({"gradients", "large", "device"}),
    ),
]
