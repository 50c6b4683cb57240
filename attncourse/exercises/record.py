"""What an exercise is: its solution, its trials, what goes wrong, what helps."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

from torch import Tensor


@dataclass(frozen=True)
class Given:
    """An input with chosen values, such as a mask, and its axes in letters; or, with axes "", a
    word that is passed on as it is."""

    axes: str
    value: Tensor | str


@dataclass(frozen=True)
class Trial:
    """One set of inputs to compare answers on.

    name      how a message speaks of it: "with a causal mask"
    sizes     the size of each letter. All differ, so a shape spells its own axes
    inputs    in the order of the call: a string is drawn from a normal distribution with these
              axes ("b i d"); `Given` is taken as it is; anything else is passed on untouched
    init      what a module is constructed with
    evaluate  whether a module is in evaluation mode, as after `.eval()`; else it trains. Where
              there is BatchNorm, have both kinds: training hides factors and added constants
    says      of what is refused: numbers and words that the text of the error must hold
    """

    name: str
    sizes: Mapping[str, int]
    inputs: Mapping[str, Any]
    init: Mapping[str, Any] = field(default_factory=dict)
    evaluate: bool = False
    says: tuple[int | str, ...] = ()


@dataclass(frozen=True)
class Slip:
    """A wrong answer that people really give; the learner reads `message` when it is theirs.

    A `variant` is not wrong: it is another published reading, and the message says whose.
    `answers` make the wrong answer when they are called: first the usual one, then others that
    make the same slip and differ in what does not matter. `parts` names the single slips of
    which a combined one is made.
    """

    name: str
    message: str
    answers: tuple[Callable[[], Callable], ...]
    variant: bool = False
    parts: tuple[str, ...] = ()

    @property
    def answer(self) -> Callable:
        """The usual one."""
        return self.answers[0]()


def slip(answer: Callable, *ways: Callable) -> Slip:
    """A function or class as a slip: its name is the slip's, its docstring the message. `ways`
    make the same slip, and differ in what does not matter."""
    answers = tuple(partial(_itself, one) for one in (answer, *ways))
    return Slip(answer.__name__, " ".join(answer.__doc__.split()), answers)


def _itself(x: Any) -> Any:
    return x


def variant(answer: Callable) -> Slip:
    """A function or class as a variant: another published reading, named and accepted as
    such."""
    return replace(slip(answer), variant=True)


@dataclass(frozen=True)
class Cost:
    """What an answer may spend, as multiples of what the solution spends on the same trial.

    Counted, never timed. None: not looked at.
    """

    largest_tensor: float | None = None  # numbers in the largest tensor that is made
    multiply_adds: float | None = None  # of matrix products and convolutions


@dataclass(frozen=True, eq=False)
class Exercise:
    """One thing the learner writes: a function, or a module with some bodies left out.

    id         chapter and name: "multi_head.split_heads"
    solution   the object in `solutions` that is the answer
    probes     what to compare, and the axes it returns, in the order in which errors should
               surface: method names for a module, the function's own name for a function. A
               tuple of axes stands for several returns; "" for one number
    trials     makes the trials
    slips      wrong answers we expect: edits of the solution (`attncourse.exercises.edits`);
               functions or classes, named by their name and docstring, where another
               algorithm is no edit; or `Slip`s
    hints      shown one at a time: a question, the idea in letters, the pseudocode
    minutes    how long it takes
    difficulty 1 (a line) to 5 (an afternoon)
    blank      the methods whose bodies the learner writes; a function is blanked whole
    otherwise  correct answers written another way; doctor proves that they pass
    laws       names in `attncourse.checker.laws`: what must hold, to explain a wrong answer
    remark     a trial outside the contract proper: failing it is said on a pass
    half       one more trial for half precision, where what it spoils shows on no other
    refuses    trials, named as in "an even window", that must end in a ValueError where the
               solution does; each promise of the stub has one
    cost       what it may spend
    skip       standard checks that do not apply: "gradients", "large", "strided", "float32",
               "half", "device", "sizes" (some inputs are computed from others, and belong to
               them)
    ready      what torch has that does all of it, by full names: to call it is told on a pass
    forbidden  the same, where the stub says that it is not to be called
    through    how an answer is called where a trial cannot call it itself: a function of the
               answer and of a trial's inputs. Solution and slips go the same way
    tied       sets of letters whose sizes belong together by meaning, and may agree on every
               trial: "dy dx", both the window; "h w i", as i = h w
    needs      why this machine cannot check it, in one sentence; "" where it can
    """

    id: str
    solution: Callable
    probes: Mapping[str, str | tuple[str, ...]]
    trials: Callable[[], tuple[Trial, ...]]
    slips: tuple[Any, ...]
    hints: tuple[str, ...]
    minutes: int
    difficulty: int
    blank: tuple[str, ...] = ()
    otherwise: tuple[Callable, ...] = ()
    laws: tuple[str, ...] = ()
    remark: Callable[[], Trial] | None = None
    half: Callable[[], Trial] | None = None
    refuses: Callable[[], tuple[Trial, ...]] = tuple
    cost: Cost | None = None
    skip: frozenset[str] = frozenset()
    ready: tuple[str, ...] = ()
    forbidden: tuple[str, ...] = ()
    through: Callable | None = None
    tied: tuple[str, ...] = ()
    needs: Callable[[], str] = str

    @property
    def chapter(self) -> str:
        return self.id.split(".")[0]

    @property
    def name(self) -> str:
        """What the learner's object is called: the name of the solution."""
        return self.solution.__name__

    @property
    def is_module(self) -> bool:
        return isinstance(self.solution, type)


def file_of(id: str) -> str:
    """The file that holds the record of an exercise."""
    return f"attncourse/exercises/{id.replace('.', '/')}.py"
