"""The notebooks: their two editions, and what a notebook draws, claims and shows.

Built from `notebooks/src` by `attncourse build`. It imports `course` and `exercises`.
"""
