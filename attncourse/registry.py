"""The list of exercises. Notebooks, checks, hints, tests and commands all start here."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from functools import cache
from importlib import import_module
from typing import Any

from torch import Tensor


@dataclass(frozen=True)
class Chapter:
    """One chapter: its name runs across `solutions`, `exercises`, `notebooks` and `tests`."""

    number: int
    name: str
    title: str
    writes: str  # what the learner writes, for the table of the README
    sees: str  # what the learner sees with it
    minutes: int

    @property
    def stem(self) -> str:
        """The file name of its notebook, without suffix: `01_scaled_dot_product`."""
        return f"{self.number:02}_{self.name}"


CHAPTERS: tuple[Chapter, ...] = (
    Chapter(
        0,
        "shapes",
        "Shapes",
        "patches, tiles, pools and an einsum, in einops",
        "a photograph taken apart and put together again",
        20,
    ),
    Chapter(
        1,
        "scaled_dot_product",
        "Scaled dot-product attention",
        "softmax, additive and dot-product scores, masks, attention",
        "a photograph whose patches denoise each other",
        75,
    ),
    Chapter(
        2,
        "multi_head",
        "Multi-head attention",
        "heads split and merged, self- and cross-attention",
        "a task that one head cannot solve and two can",
        60,
    ),
    Chapter(
        3,
        "positional",
        "Positions",
        "sinusoidal, learned, relative and rotary positions, skewing, CoordConv",
        "who still finds a neighbour in a longer sequence, and why",
        120,
    ),
    Chapter(
        4,
        "transformer",
        "The Transformer",
        "encoder and decoder, label smoothing, warm-up, greedy and beam decoding, a cache",
        "dates that are translated, and where the model looks for each figure",
        120,
    ),
    Chapter(
        5,
        "channel",
        "Channel attention",
        "squeeze-and-excitation, its four placements, gather-excite, ECA",
        "gains that undo a change of light, and the papers' tables coming out",
        75,
    ),
    Chapter(
        6,
        "spatial",
        "Spatial attention",
        "CBAM's two gates and their order, BAM, SResNet's layer, GALA, Grad-CAM",
        "a task that needs both what and where, and what a network looks at in clutter",
        120,
    ),
    Chapter(
        7,
        "non_local",
        "Non-local and dual attention",
        "the non-local block in four forms, DANet's position and channel attention, its head",
        "maps that can only be read by their legend, and which pixel looks where",
        120,
    ),
    Chapter(
        8,
        "relative_2d",
        "Relative positions in the plane",
        "relative logits gathered, skewed and as one product; the augmented convolution",
        "who finds a thing where it never was in training, and what memory that takes",
        110,
    ),
    Chapter(
        9,
        "stand_alone",
        "Stand-alone self-attention",
        "windows, local attention with relative embeddings, a stem, the cost law",
        "a network without convolutions, and what its windows can and cannot read",
        120,
    ),
    Chapter(
        10,
        "sparse",
        "Sparse attention",
        "local, strided and fixed patterns, two hops, heads, attention in blocks",
        "who copies from far back, what memory allows, and digits drawn pixel by pixel",
        120,
    ),
    Chapter(
        11,
        "fast",
        "Fast attention",
        "online softmax, tiles, halos, a kernel in Triton, patterns for FlexAttention",
        "where the time goes on this machine, and how near to its floor one comes",
        180,
    ),
)


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
    """

    name: str
    sizes: Mapping[str, int]
    inputs: Mapping[str, Any]
    init: Mapping[str, Any] = field(default_factory=dict)
    evaluate: bool = False


@dataclass(frozen=True)
class Slip:
    """A wrong answer that people really give; the learner reads `message` when it is theirs.

    A `variant` is not wrong: it is another published reading, and the message says whose.
    `parts` names the single slips of which a combined one is made; `ways` are more answers that
    make the same slip and differ in what does not matter.
    """

    name: str
    message: str
    answer: Callable
    variant: bool = False
    parts: tuple[str, ...] = ()
    ways: tuple[Callable, ...] = ()


def slip(answer: Callable) -> Slip:
    """A function or class as a slip: its name is the slip's, its docstring the message."""
    return Slip(answer.__name__, " ".join(answer.__doc__.split()), answer)


def variant(answer: Callable) -> Slip:
    """A function or class as a variant: another published reading, named and accepted as
    such."""
    return Slip(answer.__name__, " ".join(answer.__doc__.split()), answer, variant=True)


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
    slips      wrong answers we expect: functions or classes (named by their name and
               docstring), or `Slip`s, such as `families.family` makes
    hints      shown one at a time: a question, the idea in letters, the pseudocode
    minutes    how long it takes
    difficulty 1 (a line) to 5 (an afternoon)
    blank      the methods whose bodies the learner writes; a function is blanked whole
    otherwise  correct answers written another way; doctor proves that they pass
    laws       names in `attncourse.laws`: what must hold, used to explain a wrong answer
    remark     a trial outside the contract proper: failing it is said on a pass
    refuses    trials, named as in "an even window", that must end in a ValueError
    cost       what it may spend
    skip       standard checks that do not apply: "gradients", "large", "strided", "float32",
               "device", "kind" (what is refused may end in any error)
    through    how an answer is called where a trial cannot call it itself: a function of the
               answer and of a trial's inputs. Solution and slips go the same way
    needs      why this machine cannot check it, in one sentence; "" where it can
    """

    id: str
    solution: Callable
    probes: Mapping[str, str | tuple[str, ...]]
    trials: Callable[[], tuple[Trial, ...]]
    slips: tuple[Slip | Callable, ...]
    hints: tuple[str, ...]
    minutes: int
    difficulty: int
    blank: tuple[str, ...] = ()
    otherwise: tuple[Callable, ...] = ()
    laws: tuple[str, ...] = ()
    remark: Callable[[], Trial] | None = None
    refuses: Callable[[], tuple[Trial, ...]] = tuple
    cost: Cost | None = None
    skip: frozenset[str] = frozenset()
    through: Callable | None = None
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

    def all_slips(self) -> tuple[Slip, ...]:
        return tuple(s if isinstance(s, Slip) else slip(s) for s in self.slips)


class UnknownExercise(KeyError):
    """No exercise has this id; the message names the nearest."""

    def __str__(self):
        return self.args[0]


def nearest(name: str, known) -> str:
    """' Did you mean "x"?' for the known name closest to `name`, else what there is."""
    known = list(known)
    close = get_close_matches(str(name), known, n=1, cutoff=0.4)
    return f' Did you mean "{close[0]}"?' if close else f" There are: {', '.join(known)}."


@cache
def exercises() -> dict[str, Exercise]:
    """Every exercise by its id, in course order."""
    modules = (import_module(f"attncourse.exercises.{chapter.name}") for chapter in CHAPTERS)
    return {ex.id: ex for module in modules for ex in module.EXERCISES}


def exercise(id: str) -> Exercise:
    """One exercise by its id. Raises UnknownExercise with the nearest id."""
    try:
        return exercises()[id]
    except (KeyError, TypeError):
        raise UnknownExercise(
            f'There is no exercise "{id}".{nearest(id, exercises())}'
        ) from None


def chapter(name: str) -> Chapter:
    """A chapter by its name, number or notebook stem: "shapes", "0", "00", "00_shapes"."""
    wanted = str(name).removesuffix(".ipynb")
    for one in CHAPTERS:
        if wanted in {one.name, str(one.number), f"{one.number:02}", one.stem}:
            return one
    raise UnknownExercise(
        f'There is no chapter "{name}".{nearest(wanted, (one.stem for one in CHAPTERS))}'
    )
