"""The examiners: each file asks one question of an answer.

Its docstring is the question, and its one function `examine(case)` returns None where there is
nothing to say, a Fault for what is wrong, or a Verdict that ends the matter otherwise. In what
order they are asked stands in `attncourse.checker.examination`.
"""
