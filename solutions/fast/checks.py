"""What is checked before a kernel runs stands in solutions.checks, for references as well."""

from solutions.checks import alike, allowed, features, lowered, positive, sizes, spread, tables

__all__ = [
    "alike",
    "allowed",
    "features",
    "lowered",
    "positive",
    "sizes",
    "spread",
    "tables",
]
