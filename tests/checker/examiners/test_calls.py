"""What runs as often as it should: a BatchNorm, a function that is to be called once."""

import torch
from told import first_line, written

from attncourse import check
from solutions.spatial import BAM
from solutions.transformer import END, PAD, Residual


def test_a_batchnorm_that_runs_too_often_in_training_is_caught():
    class Twice(BAM):
        def attention(self, x):
            self.channel(x)
            return super().attention(x)

    verdict = check("spatial.bam", Twice)
    assert verdict.slip == "calls_too_often"
    assert "`self.channel.norm` runs 2 times where 1 is enough" in first_line(verdict)


def test_a_function_that_is_to_be_called_once_is_not_called_twice():
    class Twice(written("transformer.residual")):
        def forward(self, x, function):
            function(x)
            return super().forward(x, function)

    def greedy(logits, start, longest):
        target, ended = start, torch.zeros_like(start[:, 0], dtype=torch.bool)
        while target.shape[1] <= longest and not ended.all():
            assert logits(target).ndim == 2
            word = logits(target).argmax(-1).masked_fill(ended, PAD)
            target = torch.cat([target, word[:, None]], 1)
            ended = ended | (word == END)
        return target

    said = first_line(check("transformer.residual", Twice))
    assert "`function` is called 2 times where 1 is enough: the stub says once" in said
    verdict = check("transformer.greedy", greedy)
    assert verdict.slip == "calls_too_often"
    assert "`logits` is called" in first_line(verdict)
    assert check("transformer.residual", written("transformer.residual"))
    assert check("transformer.residual", Residual).status == "taken over"
