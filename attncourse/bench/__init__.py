"""What is fast, measured: `attncourse bench`. One file a mechanism, and what they share.

    measuring    ways in turns, ratios within a round, rates, floors, agreement
    memory       what a way needs at its peak, in a process of its own
    goals        what the library set out to reach, as data, and the verdicts
    reporting    tables, figures, files
    running      devices and allocators one after the other

A mechanism says WHAT it is, names its `cases(setting)` and what its FIGURE shows.
"""

PARTS = ("local", "layers", "networks", "relative", "sparse", "tiled", "heads", "non_local")
