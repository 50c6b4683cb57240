"""An answer in, a verdict out: `check`.

It looks at an answer from the coarsest to the finest, and says in one line what is wrong. It
reads records of `exercises`, and knows nothing of notebooks.
"""
