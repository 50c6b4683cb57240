"""Local 2D attention, faster: blocks of queries in plain PyTorch, kernels in C and Triton.

    reference   windows of k and v are copied: window² d numbers a pixel
    blocked     4 x 4 queries share a halo of (window + 3)² keys: solutions.fast.local_blocks
    native      C: scores of a vector of pixels in registers, the map is never stored
    triton      on an NVIDIA GPU: as solutions.fast.local_triton says

Axes     as in solutions.stand_alone: b batch, d e features of a head, h w pixels, dy dx places
Cost     blocked: 6 d numbers a pixel for a window of 7, of the heads at hand; training keeps
         (window + 3)² shares a pixel and head
         native: memory for the padded k and v of one head a thread; the backward pass computes
         the map again from the log-sum-exp, so training keeps q, k, v, the output and one
         number a pixel and head
Source   Ramachandran et al., 2019, arXiv:1906.05909, sec. 3, which asks for such kernels;
         blocks with halos after Vaswani et al., "Scaling Local Self-Attention for Parameter
         Efficient Visual Backbones", CVPR 2021, arXiv:2103.12731, sec. 3; recomputing from the
         log-sum-exp after Dao et al., "FlashAttention", NeurIPS 2022, arXiv:2205.14135
Differs  as solutions.stand_alone does; float16 and bfloat16 are computed in float32 in C, and
         summed in float32 in Triton
"""

import torch
from einops import rearrange
from jaxtyping import Float
from torch import Tensor

from solutions import checks, stand_alone
from solutions.arguments import INTEGER
from solutions.fast import gpu, native, once
from solutions.fast.local_blocks import blocked
from solutions.fast.local_operator import LARGEST, Interpreted, backward, check, operator
from solutions.fast.pooling import averaged
from solutions.fast.switch import switched

__all__ = [
    "StandAloneSelfAttention2d",
    "backward",
    "blocked",
    "cannot",
    "choose",
    "local_attention",
    "operator",
]
IMPLEMENTATIONS = ("reference", "blocked", "native", "triton")


def local_attention(
    q: Float[Tensor, "b head d h w"],
    k: Float[Tensor, "b head d h w"],
    v: Float[Tensor, "b head e h w"],
    rows: Float[Tensor, "head dy half"],
    columns: Float[Tensor, "head dx half"],
    window: int,
    implementation: str = "auto",
) -> Float[Tensor, "b head e h w"]:
    """As `solutions.stand_alone.local_attention`, by the implementation that is asked for.

    "auto" takes what `choose` says. Raises ValueError for one that cannot run here, with the
    reason, for an even window, and for what does not fit together; images, heads and places of
    the window may be 1 and stand for all.
    """
    given = check(q, k, v, rows, columns, window, free="b head dy dx")
    names = ("q", "k", "v", "rows", "columns")
    checks.alike(*zip(names, given, strict=True))
    q, k, v, rows, columns = given
    if implementation == "auto":
        implementation = choose(q, window, v)
    if implementation == "reference":
        return stand_alone.local_attention(q, k, v, rows, columns, window)
    if implementation == "blocked":
        return blocked(q, k, v, rows, columns, window)
    if implementation not in IMPLEMENTATIONS:
        raise ValueError(f"no {implementation=}: there are auto, {', '.join(IMPLEMENTATIONS)}")
    if why := cannot(q, window, implementation, v):
        raise ValueError(f"the {implementation} kernel cannot run: {why}")
    if implementation == "triton" and q.device.type == "cpu":
        return Interpreted.apply(q, k, v, rows, columns, window)[0]
    return operator(q, k, v, rows, columns, window)[0]


local_attention = checks.numbers(window=INTEGER)(local_attention)


@switched(*IMPLEMENTATIONS)
def choose(q: Tensor, window: int, v: Tensor | None = None) -> str:
    """What "auto" takes: the device's kernel where it runs, else blocks. On the CPU that was
    measured; on a GPU nothing is measured yet. The interpreter is never taken, and under
    torch.func, which does not know operators of others, blocks are."""
    if once.transforming():
        return "blocked"
    kernel = "native" if q.device.type == "cpu" else "triton"
    if not cannot(q, window, kernel, v):
        return kernel
    if kernel == "native" and window <= LARGEST:
        native.say("local")
    return "blocked"


def cannot(
    q: Tensor, window: int, implementation: str = "native", v: Tensor | None = None
) -> str:
    """Why the native or the Triton kernel cannot do this, in one line; "" where it can. v
    where its width is not that of q."""
    if implementation == "triton":
        return _no_triton(
            q.device, q.dtype, q.shape[2], (q if v is None else v).shape[2], window
        )
    if q.device.type != "cpu":
        return f"the tensors are on {q.device}, and it is for the CPU"
    if window > LARGEST:
        return f"{window=} is more than {LARGEST}"
    return native.available("local")


@torch.compiler.assume_constant_result  # torch.compile asks once and does not look inside
def _no_triton(device: torch.device, dtype: torch.dtype, d: int, e: int, window: int) -> str:
    return gpu.available(device) or gpu.kernels("local").cannot(device, dtype, d, e, window)


# ---------------------------------------------------------------- the layer


class StandAloneSelfAttention2d(stand_alone.StandAloneSelfAttention2d):
    """The layer of `solutions.stand_alone`, same weights and same results, by a fast
    implementation.

    implementation  may be changed at any time: "auto", "reference", "blocked", "native" or
                    "triton"
    """

    implementation: str = "auto"

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b e h2 w2"]:
        """What the heads read, side by side; with a stride, averaged over its pixels."""
        q, k = self.split(self.query(x)) * self.scale, self.split(self.key(x))
        v = self.split(self.value(x))
        tables = self.rows, self.columns, self.window
        y = local_attention(q, k, v, *tables, self.implementation)
        y = rearrange(y, "b head d h w -> b (head d) h w")
        return averaged(y, self.stride)

    @torch.no_grad()
    def runs(self, x: Float[Tensor, "b c h w"]) -> str:
        """The implementation that `forward` takes for such maps."""
        auto = self.implementation == "auto"
        return choose(self.split(self.query(x)), self.window) if auto else self.implementation
