"""Attention for vision, one mechanism or family a file, with torch, einops and jaxtyping alone.

    from solutions.spatial import CBAM                the reference, with its paper in the head
    from solutions.fast import NonLocal               the same, faster; same weights and results
    from solutions.backbones import ResNet            networks with a place for attention
    from solutions import create_attention            any of them by name, for maps

What has one name and two modules is meant so and is told by its module: `local_attention` is
that of `stand_alone` on a map and that of `sparse` on a line; `parameters` and `multiply_adds`
count what their module makes. `docs/library.md` tells the rest.
"""

from importlib import import_module

_LAZY = {
    "attention_mask": "masks",
    "create_attention": "registry",
    "list_attention": "registry",
    "mask_from_torch": "masks",
    "resize_positions": "resizing",
}
__all__ = sorted(_LAZY)


def __getattr__(name: str):
    if name not in _LAZY:
        raise AttributeError(f"module 'solutions' has no attribute {name!r}")
    return getattr(import_module(f"solutions.{_LAZY[name]}"), name)
