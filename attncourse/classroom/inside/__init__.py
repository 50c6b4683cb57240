"""What runs inside the sandbox, beside a submission: it reads, executes, answers, checks.

Nothing here is trusted by what is outside: all that comes out are frames (`frames`), whose
numbers are compared outside and whose words are shown as text. The files import each other
alone, and of the course only what checks: they run beside the package of an assignment, in
which there are no answers. Imports run down this list:

    worker              executes a notebook, and forks for each exercise
    answering           calls an answer as it is asked to
    finding, reading    where exercises stand; the cells of a notebook
    statements, effects which statements count; what one changes beyond what it binds
    frames              what goes through the pipe
"""
