"""One step done otherwise: the solution is run once more for each way to get one of its steps
wrong, and an answer that gives the same numbers is told which step it is.

Steps are the calls of torch while a probe runs: layers, activations, means, sums, products, and
the functions among the inputs. What a step is given may be changed on the way (rectified,
squared, averaged over the batch, taken from another place), or the step itself (a tanh for a
sigmoid, a maximum for a mean, a layer without its bias, another border). Nothing is said unless
all numbers agree, on every trial in which the step occurs.

    steps, words    what a step is, and how it is spoken of
    watch, runs     the solution followed, and run otherwise
    missteps, every what people do in place of a step; every alteration of a run
    finding         the one that gives what the answer gives
    factors         what is done to the whole result, the same everywhere
"""

from attncourse.checker.alterations.factors import everywhere
from attncourse.checker.alterations.finding import altered

__all__ = ["altered", "everywhere"]
