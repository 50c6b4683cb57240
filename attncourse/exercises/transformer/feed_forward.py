"""The feed-forward network: the same two layers, with a ReLU between, for every token."""

import torch

from attncourse.exercises.edits import published, wrong
from attncourse.exercises.record import Exercise, Trial
from solutions.transformer import FeedForward


def feed_forward_trials():
    def trial(name, **sizes):
        init = dict(dim=sizes["dim"], hidden=sizes["m"])
        return Trial(name, sizes, dict(x="b n dim"), init)

    return (
        trial("with 5 hidden features", b=2, n=7, dim=3, m=5),
        trial("with as many tokens as features", b=3, n=4, dim=4, m=11),
    )


# fmt: off
BETWEEN = (
    wrong("without_relu", ".relu()", "",
          "The ReLU is missing: two linear layers in a row are one linear layer."),
    wrong("relu_at_the_end", "self.down(self.up(x).relu())", "self.down(self.up(x)).relu()",
          "The ReLU comes after `down`. It stands between the two layers."),
    wrong("relu_twice", ".relu())", ".relu()).relu()",
          "A second ReLU follows `down`. What goes back into the stream may be negative."),
    wrong("softmax_for_relu", ".relu()", ".softmax(-1)",
          "You use a softmax where the paper has a ReLU: hidden features do not compete."),
    published("gelu_for_relu", "self.up(x).relu()", "F.gelu(self.up(x))",
              "A GELU is what BERT, GPT and vision transformers have here; the paper has a ReLU."),
    published("silu_for_relu", "self.up(x).relu()", "F.silu(self.up(x))",
              "A SiLU (swish) is a later choice; the paper has a ReLU."),
)

AROUND = (
    wrong("way_around_added", "return self.down", "return x + self.down",
          "You add x. The residual connection is built around the network, outside it."),
    wrong("input_normalised", "self.up(x)", "self.up(F.layer_norm(x, x.shape[-1:]))",
          "You normalise x first. The norm is built around the network, outside it."),
    wrong("norm_at_the_end", "self.down(self.up(x).relu())",
          "F.layer_norm(self.down(self.up(x).relu()), x.shape[-1:])",
          "You normalise the result. The norm is built around the network, outside it."),
)
# fmt: on


class TokenByToken(FeedForward):
    def forward(self, x):
        outputs = [self.down(self.up(x[:, n]).clamp(min=0)) for n in range(x.shape[1])]
        return torch.stack(outputs, dim=1)


class ByMatrices(FeedForward):
    def forward(self, x):
        hidden = torch.einsum("bnd,md->bnm", x, self.up.weight) + self.up.bias
        hidden = torch.where(hidden > 0, hidden, 0)
        return torch.einsum("bnm,dm->bnd", hidden, self.down.weight) + self.down.bias


EXERCISE = Exercise(
    id="transformer.feed_forward",
    solution=FeedForward,
    probes={"forward": "b n dim"},
    trials=feed_forward_trials,
    blank=("forward",),
    slips=(*BETWEEN, *AROUND),
    hints=(
        "What would two linear layers be, one after the other, with nothing between them?",
        "b n dim -> b n m by `up`, a ReLU on the m hidden features, -> b n dim by `down`.",
        "return down(relu(up(x)))",
    ),
    minutes=3,
    difficulty=1,
    otherwise=(TokenByToken, ByMatrices),
    laws=("examples_do_not_mix", "one_step_more_or_less"),
)
