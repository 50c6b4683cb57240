"""Time taken in turns, a machine that gets warm, and pixels as queries.

s_ij = x_i · x_j / σ² - |x_j|² / 2σ²            scores of `alike`, scaled by 1 / sqrt(4)
     = -|x_i - x_j|² / 2σ² + |x_i|² / 2σ²       so e^(L_i - |x_i|² / 2σ²) counts pixels
"""

import math
import time
from collections.abc import Callable, Mapping
from statistics import median
from typing import Any

import torch
from einops import rearrange
from jaxtyping import Bool, Float
from torch import Tensor

from solutions.fast import gpu
from solutions.fast.kernel import kernel_attention

# ---------------------------------------------------------------- time

Times = dict[str, list[float]]


def clock() -> Callable[[], float]:
    """The processor's time for one thread, which others disturb less; what passes for several,
    or where that time comes in large steps."""
    coarse = time.get_clock_info("process_time").resolution > 1e-4
    several = torch.get_num_threads() > 1
    return time.perf_counter if several or coarse else time.process_time


@torch.no_grad()
def turns(
    calls: Mapping[str, Callable[[], Any]],
    rounds: int = 5,
    now: Callable[[], float] | None = None,
    warm: int = 1,
) -> Times:
    """Seconds of each call, round by round; the first `warm` rounds do not count."""
    now, spent = now or clock(), {name: [] for name in calls}
    for _ in range(rounds + warm):
        for name, call in calls.items():
            start = now()
            call()
            spent[name].append(now() - start)
    return {name: each[warm:] for name, each in spent.items()}


def seconds(
    call: Callable[[], Any], rounds: int = 5, now: Callable[[], float] | None = None
) -> float:
    """The median of some calls, after one that does not count."""
    return median(turns({"": call}, rounds, now)[""])


class Warming:
    """A machine with a clock of its own that slows down as it works, always in the same way.

    Its m-th piece of work takes 1 + slower m seconds, `cold` seconds more for the first one of
    each name, and `late` seconds more for each `every`-th piece, when somebody else is served.
    """

    def __init__(
        self, slower: float = 0.0, cold: float = 0.0, late: float = 0.0, every: int = 7
    ):
        self.slower, self.cold, self.late, self.every = slower, cold, late, every
        self.passed, self.done, self.known = 0.0, 0, set()

    def now(self) -> float:
        """Seconds since it was made."""
        return self.passed

    def work(self, name: str = "", seconds: float = 1.0) -> None:
        """A piece of work that takes `seconds` on a machine that is at rest and knows it."""
        self.passed += seconds * (1 + self.slower * self.done)
        self.passed += self.cold * (name not in self.known)
        self.done += 1
        self.passed += self.late * (self.done % self.every == 0)
        self.known.add(name)


def largest_kept(call: Callable[[], Any]) -> int:
    """How many numbers the largest tensor has that autograd keeps for the way back."""
    sizes = [0]

    def note(x: Tensor) -> Tensor:
        sizes.append(x.numel())
        return x

    with torch.autograd.graph.saved_tensors_hooks(note, lambda x: x):
        call()
    return max(sizes)


# ---------------------------------------------------------------- Triton


def through_kernel(
    step: Callable, q: Tensor, k: Tensor, v: Tensor
) -> tuple[Tensor, Tensor] | None:
    """What the kernel returns with this step in it; says so and returns None without Triton.

    Raises NotImplementedError where the step does: Triton wraps what goes wrong inside.
    """
    if why := gpu.available(q.device):
        print(f"left out: {why}")
        return None
    try:
        return kernel_attention(q, k, v, step)
    except Exception as error:
        cause: BaseException | None = error
        while cause is not None:
            if isinstance(cause, NotImplementedError):
                raise NotImplementedError(*cause.args) from None
            cause = cause.__cause__ or cause.__context__
        raise


# ---------------------------------------------------------------- pixels


def alike(
    picture: Float[Tensor, "h w c"], sigma: float
) -> tuple[Float[Tensor, "n d"], Float[Tensor, "n d"], Float[Tensor, "n c"]]:
    """Pixels as queries, keys and values: the scores of attention say how alike two colours
    are, whatever their distance."""
    v = rearrange(picture, "h w c -> (h w) c")
    x = v / sigma
    size = x.square().sum(-1, keepdim=True)
    q, k = torch.cat([x, torch.ones_like(size)], -1), torch.cat([x, -size / 2], -1)
    return q * math.sqrt(q.shape[-1]), k, v


def how_many(
    picture: Float[Tensor, "h w c"], sigma: float, lse: Float[Tensor, " n"]
) -> Float[Tensor, "h w"]:
    """How many pixels there are of each one's colour, from the log-sum-exp of its scores."""
    size = (picture / sigma).square().sum(-1)
    return (rearrange(lse, "(h w) -> h w", h=len(picture)) - size / 2).exp()


def in_blocks_of(block: int, height: int, width: int) -> Tensor:
    """The pixels of a map in another order: block after block, row by row in each."""
    for n in (height, width):
        if n % block:
            raise ValueError(f"{n} is not a multiple of {block=}")
    line = torch.arange(height * width)
    return rearrange(
        line,
        "(high y wide x) -> (high wide y x)",
        high=height // block,
        wide=width // block,
        y=block,
    )


def tiles_touched(seen: Bool[Tensor, "i j"], side: int) -> Bool[Tensor, "high wide"]:
    """Which side x side tiles of a mask hold a pair that counts: those a kernel computes."""
    tiles = rearrange(seen, "(high i) (wide j) -> high wide (i j)", i=side, j=side)
    return tiles.any(-1)
