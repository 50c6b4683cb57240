"""The catalogue: one record an exercise, `exercises/<chapter>/<exercise>.py`.

A record names its solution, the trials that answers are compared on, what goes wrong and what
helps. It imports `solutions`, and of ours only the small files beside it.
"""
