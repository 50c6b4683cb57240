"""Made-up and real tasks of the chapters, the small networks for them, and their data.

A task isolates one ability, and says what the best possible result is. It imports `solutions`.
"""
