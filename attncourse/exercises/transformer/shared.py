"""Of several exercises of the chapter: transformer."""

from solutions.transformer import (
    FeedForward,
)


def feed_forward(forward):
    """The network with another forward pass, called as the function and with its message."""
    members = {"forward": forward, "__doc__": forward.__doc__}
    return type(forward.__name__, (FeedForward,), members)
