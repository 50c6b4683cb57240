"""Chapter 12's attention in shifted windows, in the place of a 3 x 3 convolution.

    q, k, v = W x           1x1, b h w c -> b h w (three f)
    y = windows, rolled     b h w f; with a stride the mean over its pixels

Axes     b batch, c channels, f those that leave, h w height and width in pixels
Cost     as in solutions.united.windows, with 3 c f + f² for the projections
Source   Liu et al., "Swin Transformer", ICCV 2021, arXiv:2103.14030, sec. 3.2; the mean for a
         stride after Ramachandran et al., NeurIPS 2019, arXiv:1906.05909
Differs  stands alone in a residual network, without the norms and the MLP of Swin's blocks
"""

from einops import rearrange
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from solutions.arguments import FROM_0, equip
from solutions.united.windows import ShiftedWindowAttention, merge_windows


class ShiftedWindowAttention2d(nn.Module):
    """Each pixel attends to those of its window, for maps that may change their channels.

    shift         by how many pixels the windows are moved, less than the window
    out_channels  as `channels` if not given
    Raises ValueError when `heads` does not divide the channels, and for a shift as large as
    the window.
    """

    def __init__(
        self,
        channels: int,
        heads: int = 2,
        window: int = 4,
        shift: int = 0,
        stride: int = 1,
        out_channels: int | None = None,
    ):
        super().__init__()
        out_channels = channels if out_channels is None else out_channels
        self.windows = ShiftedWindowAttention(out_channels, heads, window, shift)
        self.windows.qkv = nn.Linear(channels, 3 * out_channels)
        self.shift, self.stride = shift, stride

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b f h2 w2"]:
        """What each pixel reads in its window; with a stride, averaged over its pixels."""
        x, attend = rearrange(x, "b c h w -> b h w c"), self.windows
        h, w = x.shape[1:3]
        q, k, v = attend.project(attend.windows(x))
        read = attend.weights(q, k, attend.may(h, w).to(x.device)) @ v
        read = rearrange(read, "b win head i d -> b win i (head d)")
        y = merge_windows(read, *attend.padded(x).shape[1:3])
        y = attend.proj(y.roll(attend.shifts(h, w), (1, 2))[:, :h, :w])
        y = rearrange(y, "b h w f -> b f h w")
        return y if self.stride == 1 else F.avg_pool2d(y, self.stride, ceil_mode=True)


equip(ShiftedWindowAttention2d, shift=FROM_0)
