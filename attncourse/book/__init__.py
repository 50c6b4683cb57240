"""The notebooks: their two editions, and what a notebook draws, claims and shows.

Built from `notebooks/src` by `attncourse build`. It imports `course` and `exercises`. Notebooks
take from here `plots`, `claim` and `result`.
"""

from attncourse.book.claims import claim
from attncourse.book.results import result

__all__ = ["claim", "result"]
