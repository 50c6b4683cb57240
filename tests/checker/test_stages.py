"""The inside of a module, told by what its layers are given."""

from einops import rearrange

from attncourse import check
from attncourse.checker import stages
from attncourse.checker.building import build
from attncourse.checker.sheet import sheet
from attncourse.course import exercise
from solutions.multi_head import MultiHeadAttention
from solutions.transformer import Transformer, padding


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


def test_layers_that_are_called_in_another_order_are_not_taken_for_each_other():
    class ValuesLast(MultiHeadAttention):
        def forward(self, x, context=None, mask=None):
            weights = self.attention(x, context, mask)
            v = self.value(x if context is None else context)
            v = rearrange(v, "b n (head d) -> b head n d", head=self.heads)
            return rearrange(weights @ v, "b head n d -> b n (head d)")  # without `out`

    ex = exercise("multi_head.multi_head_attention")
    trial = sheet(ex).trials[0]
    right, mine = (
        stages.calls(ex, build(ex, one, trial).answer, trial, "forward")
        for one in (MultiHeadAttention, ValuesLast)
    )
    assert [call.layer for call in mine] != [call.layer for call in right][: len(mine)]
    assert stages.departs(mine, right, trial) == "`self.out` is never applied."
    assert stages.departs(right[::-1], right, trial) == stages.departs(right, right, trial)


def test_layers_of_a_list_that_are_called_in_another_order_are_told_by_their_places():
    class Backwards(Transformer):
        def decode(self, target, memory, source):
            x = self.embed(target, self.target)
            for layer in reversed(self.decoder):
                x = layer(x, memory, padding(source))
            return self.out(self.decoder_norm(x))

    cause, *_ = check("transformer.transformer", Backwards).message.splitlines()
    assert cause == "`self.decoder[1]` is called where `self.decoder[0]` belongs."
