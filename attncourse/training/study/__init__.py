"""One network, every mechanism, one budget: which accuracy each reaches, trained alike.

    options.py   what a study is told: the small one for a CPU, the full one for a GPU
    variants.py  the networks: each mechanism at the widths of the budget, and at the base's
    fitting.py   one network trained, and which pictures it has right
    cells.py     the runs of a study, each a file: what is there is not trained again
    running.py   all cells, and the report
    report.py    what came out, with spread and paired tests, as JSON and a figure

A run that is killed loses the cell it was at, and no other.
"""
