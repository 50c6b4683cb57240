"""How another way to do a step is written: its name, how it is told, and what happens.

What happens is a function of what would be called, with its arguments.
"""

from collections.abc import Callable

Change = Callable[..., object]  # of func, args, kwargs
Way = tuple[str, str, Change]  # name, message, what happens


def by(f: Callable) -> Change:
    """A step of one tensor done by another function."""
    return lambda func, args, kwargs: f(args[0])


LEFT_OUT = by(lambda t: t)


def twice(func, args, kwargs):
    return func(func(*args, **kwargs), *args[1:], **kwargs)
