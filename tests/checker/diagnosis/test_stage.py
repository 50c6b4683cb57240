"""The first stage that departs is named."""

from einops import rearrange
from told import HEADS, first_line
from torch import nn

from attncourse import check
from solutions.multi_head import MultiHeadAttention
from solutions.spatial import ChannelBranch, SpatialBranch


def test_a_first_stage_is_named_where_no_slip_fits():
    class Odd(MultiHeadAttention):
        def forward(self, x, context=None, mask=None):
            v = self.value(x if context is None else context)
            v = rearrange(v, "b n (head d) -> b head n d", head=self.heads)
            y = self.attention(x, context, mask) @ v
            return self.out(rearrange(y.roll(2, -1), "b head n d -> b n (head d)"))

    verdict = check(HEADS, Odd)
    assert verdict.slip is None
    assert "What reaches `self.out` holds the right numbers in another order" in verdict.message


def test_weights_used_by_hand_blame_no_single_layer_of_several():
    class Mirrored(SpatialBranch):
        def forward(self, x):
            for layer, norm in zip((self.down, self.near, self.far), self.norms, strict=True):
                x = nn.functional.pad(x, [layer.padding[0]] * 4, mode="circular")
                z = nn.functional.conv2d(x, layer.weight, layer.bias, dilation=layer.dilation)
                x = norm(z).relu()
            return self.out(x)[:, 0]

    cause = first_line(check("spatial.spatial_branch", Mirrored))
    assert "`self.down`, `self.near`, `self.far` by hand, and not all as the layers do" in cause


def test_a_layer_that_runs_more_often_than_it_should_is_named():
    class Again(ChannelBranch):
        def forward(self, x):
            y = super().forward(x)
            return y + self.up(self.norm(self.down(x[:, :, 0, 0])).relu())

    cause = first_line(check("spatial.channel_branch", Again))
    assert "`self.down` is applied twice; it should be applied once" in cause
