"""A whole network faster: its layers taken from `solutions.fast`, with the weights they have.

network = faster(StandAloneResNet(50))     the same module; its attention is replaced inside
layer   = faster(NonLocal(64))             a layer by itself: a new one, with the same weights
"""

import importlib

from torch import nn

NAMES = (
    "AttentionAugmentedConv2d",
    "DANetHead",
    "MultiHeadAttention",
    "NonLocal",
    "PositionAttention",
    "SelfAttention",
    "SparseSelfAttention",
    "StandAloneSelfAttention2d",
)


def faster(model: nn.Module) -> nn.Module:
    """`model` with every layer that `solutions.fast` has taken from there.

    Parameters, buffers, hooks and modes are the very same objects, so that an optimizer that
    was made before goes on. Layers of other classes, subclasses of the library's among them,
    stay as they are.
    """
    kinds = _kinds()
    for parent in list(model.modules()):
        for name, child in parent.named_children():
            if type(child) in kinds:
                setattr(parent, name, _taken(child, kinds[type(child)]))
    return _taken(model, kinds[type(model)]) if type(model) in kinds else model


def _kinds() -> dict[type[nn.Module], type[nn.Module]]:
    """The fast class of each reference."""
    fast = importlib.import_module("solutions.fast")
    found = {}
    for name in NAMES:
        quick = getattr(fast, name)
        (slow,) = (base for base in quick.__mro__[1:] if base.__name__ == name)
        found[slow] = quick
    return found


def _taken(layer: nn.Module, kind: type[nn.Module]) -> nn.Module:
    """A layer of the fast class with all that the other one holds."""
    made = kind.__new__(kind)
    made.__dict__ = vars(layer) | (
        {"implementation": "auto"} if "implementation" in vars(layer) else {}
    )
    return made
