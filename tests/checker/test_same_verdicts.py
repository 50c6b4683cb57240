"""A verdict is the same, to the letter, in every process: whatever the number of threads, the
instructions of the processor, and the order of sets."""

import os
import subprocess
import sys

ASKED = (
    "shapes.channel_means",
    "scaled_dot_product.softmax",
    "scaled_dot_product.causal_mask",
    "multi_head.multi_head_attention",
    "positional.sinusoidal",
    "transformer.beam_step",
    "channel.squeeze_excite",
    "spatial.bam",
    "non_local.danet_head",  # a logit added everywhere: many elements are equally far off
    "relative_2d.attention_widths",
    "sparse.local_attention",
    "fast.merge",
)
PROGRAM = """
import sys
from attncourse import check, course
from attncourse.exercises.edited import slips_of

for id in sys.argv[1:]:
    ex = course.exercise(id)
    answers = [*ex.otherwise[:2], *(slip.answer for slip in slips_of(ex)[:6])]
    for answer in answers:
        verdict = check(id, answer)
        print(id, verdict.status, verdict.slip, repr(verdict.message))
    print(check(id, lambda *given, **named: 0.1))
"""


def verdicts(**environment):
    """What is said of a few answers to each exercise, right and wrong, in a new process."""
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, *ASKED],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout.splitlines()


def test_verdicts_are_the_same_to_the_letter_in_every_process():
    plain = verdicts(OMP_NUM_THREADS="1", PYTHONHASHSEED="1")
    other = verdicts(OMP_NUM_THREADS="2", PYTHONHASHSEED="2", ATEN_CPU_CAPABILITY="default")
    assert len(plain) > 8 * len(ASKED)
    assert plain == other
