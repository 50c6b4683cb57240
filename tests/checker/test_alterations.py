"""Wrong answers that no slip knows, each of which does one step of the solution otherwise."""

import pytest
import torch
from einops import rearrange, reduce
from torch.nn import functional as F

from attncourse import check
from attncourse.checker.alterations import altered
from attncourse.checker.alterations.finding import tried
from attncourse.checker.alterations.missteps.on_the_way import ON_THE_WAY
from attncourse.checker.alterations.missteps.reductions import REDUCED
from attncourse.checker.alterations.runs import runs
from attncourse.checker.equal import same
from attncourse.checker.running import calm
from attncourse.checker.sheet import sheet
from attncourse.checker.stages import given_to_layers
from attncourse.course import exercise, exercises
from solutions.channel import (
    ECA,
    SqueezeExcite,
    gather,
    identity,
    residual,
    squeeze,
)
from solutions.scaled_dot_product import AdditiveAttention
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
from solutions.transformer import Transformer, padding


def first_line(id, answer):
    """The cause that is told of an answer that no slip knows."""
    verdict = check(id, answer)
    assert verdict.status == "not yet"
    assert verdict.slip is None
    return verdict.message.splitlines()[0]


def like(base, **methods):
    """An answer that is right but for some methods."""
    return type(base.__name__, (base,), methods)


def scaled(self, x):
    return x * rearrange(self.attention(x), "b c -> b c 1 1")


@pytest.mark.parametrize(
    ("id", "answer", "said"),
    [
        (
            "channel.squeeze_excite",
            like(
                SqueezeExcite,
                attention=lambda s, x: s.up(
                    F.layer_norm(s.down(squeeze(x)), (s.down.out_features,)).relu()
                ).sigmoid(),
            ),
            "What `self.down` returns is standardised over m on the way to its ReLU.",
        ),
        (
            "channel.eca",
            like(
                ECA,
                attention=lambda s, x: s.conv(x.flatten(2).std(-1)[:, None])[:, 0].sigmoid(),
            ),
            "You take the standard deviation over h, w of `x`. It is the mean.",
        ),
        (
            "spatial.channel_branch",
            like(ChannelBranch, forward=lambda s, x: -ChannelBranch.forward(s, x)),
            "The result has its sign turned at the end.",
        ),
        (
            "spatial.spatial_branch",
            like(SpatialBranch, forward=lambda s, x: SpatialBranch.forward(s, x).sin()),
            None,  # no step does this: nothing is made up
        ),
        (
            "spatial.cbam",
            like(CBAM, forward=lambda s, x: x * s.attention(x) * 1.5),
            "Your result is everywhere 1.5 times what it should be.",
        ),
        (
            "spatial.bam",
            like(BAM, forward=lambda s, x: x + x * (1 - s.attention(x))),
            "What `self.attention` returns is subtracted from 1 before it is multiplied by",
        ),
        (
            "spatial.gala",
            like(GALA, channels=lambda s, x: F.linear(s.down(squeeze(x)).relu(), s.up.weight)),
            "`self.up` is used without its bias: call the layer itself.",
        ),
        (
            "spatial.spatial_gate",
            like(
                SpatialGate,
                attention=lambda s, x: (s.norm(s.conv(s.describe(x))) - s.norm.bias)[
                    :, 0
                ].sigmoid(),
            ),
            "`self.norm` is used without its bias: call the layer.",
        ),
    ],
)
def test_the_step_that_is_done_otherwise_is_told(id, answer, said):
    line = first_line(id, answer)
    if said is None:
        assert "self.out" in line or line.startswith(("The result is", "All layers"))
    else:
        assert line.startswith(said)


def test_scores_that_are_divided_before_their_softmax_are_told_by_the_letter():
    def attention(self, q, k):
        return (self.scores(q, k) / self.query.in_features**0.5).softmax(-1)

    said = first_line(
        "scaled_dot_product.additive_attention", like(AdditiveAttention, attention=attention)
    )
    assert "is divided by the root of query_dim" in said


def test_a_norm_that_stands_in_the_place_of_another_is_told():
    def encode(self, source):
        x = self.embed(source, self.source)
        for layer in self.encoder:
            x = layer(x, padding(source))
        return self.decoder_norm(x)

    said = first_line("transformer.transformer", like(Transformer, encode=encode))
    assert said == "You use `self.decoder_norm` where `self.encoder_norm` belongs."


def test_a_leaky_relu_in_every_place_is_told_as_such():
    def forward(self, x):
        for layer, norm in zip((self.down, self.near, self.far), self.norms, strict=True):
            x = F.leaky_relu(norm(layer(x)))
        return self.out(x)[:, 0]

    said = first_line("spatial.spatial_branch", like(SpatialBranch, forward=forward))
    assert said == "You have a leaky ReLU wherever the ReLU belongs."


def test_one_relu_of_several_that_is_missing_is_told_by_its_layer():
    def forward(self, x):
        for n, layer in enumerate((self.down, self.near, self.far)):
            x = self.norms[n](layer(x))
            x = x if n == 1 else x.relu()
        return self.out(x)[:, 0]

    said = first_line("spatial.spatial_branch", like(SpatialBranch, forward=forward))
    assert said == "The ReLU behind `self.norms[1]` is left out."


def test_what_is_passed_on_from_elsewhere_is_told():
    def forward(self, x):
        x = self.norms[0](self.down(x)).relu()
        x = x + self.norms[1](self.near(x)).relu()
        return self.out(self.norms[2](self.far(x)).relu())[:, 0]

    said = first_line("spatial.spatial_branch", like(SpatialBranch, forward=forward))
    assert said.startswith(
        "What the ReLU behind `self.norms[0]` returns is added to what the ReLU behind"
        " `self.norms[1]` returns on the way to `self.far`"
    )


def test_another_border_is_told():
    def attention(self, x):
        z = self.shrink(self.look(reduce(x, "b c h w -> b 1 h w", "mean")).relu()).relu()
        z = z.repeat_interleave(2, 2).repeat_interleave(2, 3)[..., : x.shape[2], : x.shape[3]]
        z = F.pad(z, (1, 1, 1, 1), mode="replicate")
        return F.conv2d(z, self.smooth.weight, self.smooth.bias)[:, 0].sigmoid()

    said = first_line("spatial.spatial_layer", like(SpatialLayer, attention=attention))
    assert said.startswith("Beyond the border of what `self.smooth` sees you repeat the pixels")


def test_functions_among_the_inputs_are_steps_too():
    def doubled(x, branch, gate, placement="standard", shortcut=identity):
        if placement == "post":
            return gate((shortcut(x) + 2 * branch(x)).relu())
        return residual(x, branch, gate, placement, shortcut)

    said = first_line("channel.residual", doubled)
    assert said == "You add what `branch` returns twice; once is enough."


def test_steps_behind_a_gradient_are_found_as_well():
    def magnitudes(maps, head, classes, rectify=True):
        maps = maps.detach().requires_grad_()
        with torch.enable_grad():
            chosen = head(maps).gather(1, classes[:, None]).sum()
            (slope,) = torch.autograd.grad(chosen, maps)
        y = torch.einsum("bc,bchw->bhw", slope.abs().mean((2, 3)), maps.detach())
        return y.relu() if rectify else y

    said = first_line("spatial.grad_cam", magnitudes)
    assert said == "You take the mean magnitude over h, w of the gradient. It is the mean."


def test_a_size_that_is_written_down_is_told():
    said = first_line("channel.squeeze", lambda x: x.sum((2, 3)) / 49)
    assert "h w / 49 times" in said
    assert "is 49 written down" in said


def test_a_factor_of_sizes_is_told_in_letters():
    said = first_line("channel.squeeze", lambda x: x.sum((2, 3)) / x.shape[2] ** 2)
    assert said == "Your result is everywhere w / h = 1.4 times what it should be."


def test_what_is_added_everywhere_is_told():
    def more(maps, head, classes, rectify=True):
        return grad_cam(maps, head, classes, rectify) + 0.25

    said = first_line("spatial.grad_cam", more)
    assert said == "Your result is everywhere 0.25 too large: is something added?"


def test_a_step_that_is_wrong_in_one_order_alone_is_told():
    class Answer(CBAM):
        def attention(self, x):
            if self.order != "channel-spatial":
                return super().attention(x)
            what = rearrange(self.channel.attention(x), "b c -> b c 1 1")
            seen = (x * what).sigmoid()
            return what * rearrange(self.spatial.attention(seen), "b h w -> b 1 h w")

    said = first_line("spatial.cbam", Answer)
    assert said.startswith(
        "The product of `x` and `self.channel(…)` goes through a sigmoid on the way"
        " to `self.spatial`"
    )


def test_a_step_is_not_told_where_it_fits_one_trial_alone():
    """Two times as much for one size only: no step of the solution explains that."""

    class Answer(ChannelGate):
        def attention(self, x):
            y = super().attention(x)
            return y.square() if x.shape[1] == 6 else y

    ex = exercise("spatial.channel_gate")
    answers = [
        Answer.attention(_built(ex, Answer, trial), trial.inputs["x"])
        for trial in (sheet(ex).trials[i] for i in sheet(ex).declared)
    ]
    index = next(
        i
        for i in sheet(ex).declared
        if not same(answers[i], sheet(ex).expected(i, "attention"))
    )
    assert altered(ex, index, "attention", answers) is None


def _built(ex, answer, trial):
    from attncourse.checker.building import build

    with torch.no_grad():
        layer, fault, _ = build(ex, answer, trial)
    assert fault is None
    return layer.requires_grad_(False)


def test_a_layer_that_is_given_the_right_thing_clears_what_comes_before_it():
    ex = exercise("channel.squeeze_excite")
    trial = sheet(ex).trials[0]
    with calm():
        given = given_to_layers(ex, ex.solution, trial, "attention")
    assert set(given) == {"down", "up"}
    here = runs(ex, 0, "attention")
    every, left = list(tried(here, {})), list(tried(here, given))
    assert len(left) < len(every)
    assert not any("over h, w of `x`. It is the mean" in one.text for one in left)
    assert any("behind `self.up`" in one.text for one in left)


def test_a_run_that_is_not_altered_gives_what_the_solution_gives():
    """On every exercise that returns a tensor; the statistics of a BatchNorm do not pile up."""
    for id in ("channel.gather_excite", "spatial.bam", "spatial.grad_cam"):
        ex = exercise(id)
        for probe in ex.probes:
            here = runs(ex, 0, probe)
            for _ in range(2):
                with calm():
                    again = here.run(here.watch.__class__({}, here.trial))
                assert same(again, sheet(ex).expected(0, probe))


@pytest.mark.parametrize("id", exercises())
def test_every_exercise_can_be_altered(id):
    """A mistake in here would show as nothing but causes that are not told."""
    ex = exercise(id)
    for probe in ex.probes:
        right = sheet(ex).expected(0, probe)
        here = runs(ex, 0, probe)
        assert same(here.result, right) or type(here.result) is type(right)
        if isinstance(right, torch.Tensor) and right.is_floating_point():
            assert len(here.likely) > 40
            assert len({one.key for one in here.likely}) == len(here.likely)


def test_two_steps_that_are_exchanged_are_told():
    def attention(self, x):
        z = self.shrink(self.look(reduce(x, "b c h w -> b 1 h w", "mean")).relu()).relu()
        z = z.repeat_interleave(2, 2).repeat_interleave(2, 3)[..., : x.shape[2], : x.shape[3]]
        return self.smooth(z.sigmoid())[:, 0]

    said = first_line("spatial.spatial_layer", like(SpatialLayer, attention=attention))
    assert said == "The sigmoid comes before `self.smooth`; it comes behind."


def test_what_shows_with_large_inputs_alone_is_told():
    def forward(self, x):
        return self.up(F.relu6(self.norm(self.down(squeeze(x)))))

    said = first_line("spatial.channel_branch", like(ChannelBranch, forward=forward))
    assert said == "Behind `self.norm` you have a ReLU6 where the ReLU belongs."


def test_a_layer_that_is_used_by_hand_in_both_its_calls_is_told():
    def attention(self, x):
        pools = [reduce(x, "b c h w -> b c", pool) for pool in self.pools]
        hidden = [F.linear(z, self.down.weight).relu() for z in pools]
        return sum(self.up(z) for z in hidden).sigmoid()

    said = first_line("spatial.channel_gate", like(ChannelGate, attention=attention))
    assert said == "`self.down` is used without its bias: call the layer itself."


def test_a_function_that_is_called_once_too_often_is_told():
    def gated_again(x, branch, gate, placement="standard", shortcut=identity):
        if placement == "pre":
            return (shortcut(x) + gate(branch(gate(x)))).relu()
        return residual(x, branch, gate, placement, shortcut)

    said = first_line("channel.residual", gated_again)
    assert said.startswith("What `branch` returns goes through `gate` as well")


@pytest.mark.parametrize("name", ["text", "reduced"])
def test_every_way_is_told_in_words_of_its_own(name):
    words = [text for text, _ in (ON_THE_WAY if name == "text" else REDUCED)]
    doubled = {w for w in words if words.count(w) > 1}
    assert doubled <= {"standard deviation", "variance"}


def test_a_wrong_answer_to_any_exercise_is_looked_at_without_harm():
    """The result squared, and one more: whatever the exercise, the verdict is a sentence."""
    for ex in list(exercises().values())[::6]:
        if ex.is_module:
            probe = list(ex.probes)[-1]
            usual = getattr(ex.solution, probe)
            body = {probe: lambda self, *a, f=usual, **k: f(self, *a, **k) * 1.25}
            verdict = check(ex.id, type(ex.name, (ex.solution,), body))
            assert "defect of the course" not in verdict.message


def test_pixels_of_a_mean_are_read_off():
    def crosses(x, extent=None):
        if extent is None:
            return gather(x, extent)
        rows = torch.arange(x.shape[2])[:, None]
        columns = torch.arange(x.shape[3])
        parts = [
            [
                x[..., ((rows - u).abs() + (columns - v).abs()) < extent].mean(-1)
                for v in range(0, x.shape[3], extent)
            ]
            for u in range(0, x.shape[2], extent)
        ]
        return torch.stack([torch.stack(row, -1) for row in parts], -2)

    said = first_line("channel.gather", crosses)
    assert said.startswith("Around u=1, v=1, which is pixel h=2, w=2, you leave out the pixel")
