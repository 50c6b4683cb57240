"""Of several exercises of the chapter: channel."""

import torch

from attncourse.exercises.edits import often, wrong


def gather_loops(x, extent=None):
    h, w = x.shape[-2:]
    if extent is None:
        return torch.stack([torch.stack([m.mean() for m in image]) for image in x])[
            ..., None, None
        ]
    rows = []
    for u in range(0, h, extent):
        row = []
        for v in range(0, w, extent):
            near = x[
                :, :, max(u - extent + 1, 0) : u + extent, max(v - extent + 1, 0) : v + extent
            ]
            row.append(near.mean((2, 3)))
        rows.append(torch.stack(row, -1))
    return torch.stack(rows, -2)


def gather_by_matrices(x, extent=None):
    def means(n):
        i, u = (
            torch.arange(n, device=x.device),
            torch.arange(0, n, extent or n, device=x.device),
        )
        near = ((i[None] - u[:, None]).abs() < (extent or n)).to(x)
        return near / near.sum(-1, keepdim=True)

    return means(x.shape[-2]) @ x @ means(x.shape[-1]).T


# fmt: off
SQUEEZES = (
    *often(
        wrong("largest_for_the_mean", "squeeze(x)", 'reduce(x, "b c h w -> b c", "max")',
              "You squeeze by the largest value of each map. It is the mean: `squeeze(x)`."),
        wrong("sum_for_the_mean", "squeeze(x)", 'reduce(x, "b c h w -> b c", "sum")',
              "You squeeze by the sum of each map. It is the mean: `squeeze(x)`."),
        wrong("images_mixed", "squeeze(x)", "squeeze(x).mean(0, keepdim=True).expand(len(x), -1)",
              "All images of a batch get the same gains. Average over h and w only, not over b."),
    ),
    wrong("squeezed_after_relu", "squeeze(x)", "squeeze(x.relu())",
          "You cut off negative values before you squeeze. The mean is that of x as it is."),
    wrong("mean_and_largest", "squeeze(x)", 'squeeze(x) + reduce(x, "b c h w -> b c", "max")',
          "You add the largest value of each map to its mean, as the next chapter does. Here it is"
          " the mean alone: `squeeze(x)`."),
)

GATES = (
    *often(
        wrong("no_sigmoid", ".sigmoid()", "",
              "Your gains leave (0, 1). The last step is a sigmoid."),
        wrong("softmax_over_channels", ".sigmoid()", ".softmax(-1)",
              "You take a softmax over c: the channels compete, and the gains of an image sum to 1."
              " It is a sigmoid, for each channel alone."),
        wrong("tanh_for_sigmoid", ".sigmoid()", ".tanh()",
              "Your gains run from -1 to 1: a tanh. The last step is a sigmoid."),
        wrong("hard_sigmoid", ".sigmoid()", ".add(3).clamp(0, 6) / 6",
              "Your gains are a hard sigmoid, made of straight lines, as in MobileNetV3. It is"
              " the smooth one here."),
    ),
    wrong("softmax_over_images", ".sigmoid()", ".softmax(0)",
          "You take a softmax over b, the images. It is a sigmoid, for each number alone."),
    wrong("sigmoid_twice", ".sigmoid()", ".sigmoid().sigmoid()",
          "You take the sigmoid twice: your gains lie between 1/2 and 0.73. Once is enough."),
)

SCALES = (
    *often(
        wrong("gains_added", "x * rearrange", "x + rearrange",
              "You add the gains to x. They multiply it."),
        wrong("x_added", "x * rearrange", "x + x * rearrange",
              "You add x to the scaled maps. It is s x alone; the sum belongs to the residual"
              " block."),
        wrong("gains_alone", 'x * rearrange(self.attention(x), "b c -> b c 1 1")',
              'rearrange(self.attention(x), "b c -> b c 1 1").expand_as(x)',
              "You return the gains, spread over the map. They multiply x."),
    ),
    wrong("gains_twice", "x * rearrange(self.attention(x), \"b c -> b c 1 1\")",
          'x * rearrange(self.attention(x), "b c -> b c 1 1") ** 2',
          "You scale by the gains twice. Once is enough."),
    wrong("not_scaled", 'x * rearrange(self.attention(x), "b c -> b c 1 1")', "x.clone()",
          "You return x as it came. It is multiplied by the gains."),
)
# fmt: on
