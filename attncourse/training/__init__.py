"""What trains longer than a notebook should: the loop that can be killed, and the translator.

It imports `solutions` and `tasks`.
"""
