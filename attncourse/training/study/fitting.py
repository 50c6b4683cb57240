"""One network trained on pictures, and which of others it has right.

Adam with decoupled weight decay; the rate rises over the first tenth of the steps and falls to
0 along a cosine. What is random in a run is decided by its seed alone, so that two networks
with one seed see the same pictures in the same order.
"""

import math
import time
from collections.abc import Callable

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.nn import functional as F

DECAY, WARM = 0.05, 0.1


def rate_at(step: int, steps: int, rate: float) -> float:
    """The learning rate of a step, counted from 1: up to `rate`, then down to 0."""
    warm = max(1, round(WARM * steps))
    if step <= warm:
        return rate * step / warm
    return rate * (1 + math.cos(math.pi * (step - warm) / (steps - warm))) / 2


def moved(
    x: Float[Tensor, "b c h w"], crop: int, dice: torch.Generator
) -> Float[Tensor, "b c h w"]:
    """Each picture mirrored or not, and all of them moved by up to `crop` pixels."""
    mirrored = torch.rand(len(x), 1, 1, 1, generator=dice).to(x.device) < 0.5
    x = torch.where(mirrored, x.flip(-1), x)
    if not crop:
        return x
    h, w = x.shape[-2:]
    down, right = torch.randint(2 * crop + 1, (2,), generator=dice).tolist()
    return F.pad(x, (crop,) * 4)[..., down : down + h, right : right + w]


def fit(
    network: nn.Module,
    image: Float[Tensor, "n c h w"],
    label: Int[Tensor, " n"],
    epochs: int,
    rate: float,
    seed: int,
    batch: int = 50,
    crop: int = 0,
    tick: Callable[[], None] = lambda: None,
) -> float:
    """Train a network in place; the seconds that it took: of the processor, on a CPU.

    tick  is called after each epoch
    """
    dice = torch.Generator().manual_seed(seed)
    on_cpu = image.device.type == "cpu"
    clock = time.process_time if on_cpu else time.perf_counter
    optimizer = torch.optim.AdamW(network.parameters(), rate, weight_decay=DECAY, fused=True)
    steps, step = epochs * math.ceil(len(image) / batch), 0
    network.train()
    start = clock()
    for _ in range(epochs):
        for chosen in torch.randperm(len(image), generator=dice).split(batch):
            step += 1
            for group in optimizer.param_groups:
                group["lr"] = rate_at(step, steps, rate)
            chosen = chosen.to(image.device)
            loss = F.cross_entropy(network(moved(image[chosen], crop, dice)), label[chosen])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        tick()
    if not on_cpu:
        torch.cuda.synchronize()
    return clock() - start


@torch.no_grad()
def right(
    network: nn.Module,
    image: Float[Tensor, "n c h w"],
    label: Int[Tensor, " n"],
    batch: int = 250,
) -> Bool[Tensor, " n"]:
    """True for the pictures whose class gets the highest score. The network is left in eval
    mode."""
    network.eval()
    said = torch.cat([network(part).argmax(-1) for part in image.split(batch)])
    return said == label
