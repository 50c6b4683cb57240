"""The inside of a module, told by what its layers are given."""

from einops import rearrange

from attncourse.checker import stages
from attncourse.checker.building import build
from attncourse.checker.sheet import sheet
from attncourse.course import exercise
from solutions.multi_head import MultiHeadAttention


def test_the_inside_of_a_module_is_told_by_what_its_layers_are_given():
    class NoOut(MultiHeadAttention):
        def forward(self, x, context=None, mask=None):
            v = rearrange(self.value(x), "b n (head d) -> b head n d", head=self.heads)
            return rearrange(self.attention(x) @ v, "b head n d -> b n (head d)")

    ex = exercise("multi_head.multi_head_attention")
    trial = sheet(ex).trials[0]
    right, mine = (
        stages.calls(ex, build(ex, one, trial).answer, trial, "forward")
        for one in (MultiHeadAttention, NoOut)
    )
    assert {call.layer for call in right} == {"query", "key", "value", "out"}
    assert stages.departs(mine, right, trial) == "`self.out` is never applied."
    assert "comes after the last" in stages.departs(right, right, trial)
