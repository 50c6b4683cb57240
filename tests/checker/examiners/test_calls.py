"""A BatchNorm runs as often as it should."""

from told import first_line

from attncourse import check
from solutions.spatial import BAM


def test_a_batchnorm_that_runs_too_often_in_training_is_caught():
    class Twice(BAM):
        def attention(self, x):
            self.channel(x)
            return super().attention(x)

    verdict = check("spatial.bam", Twice)
    assert verdict.slip == "calls_too_often"
    assert "`self.channel.norm` runs 2 times where 1 is enough" in first_line(verdict)
