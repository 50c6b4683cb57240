"""`python -m attncourse`: the same as `attncourse`, also where scripts are not on the path."""

from attncourse.cli import app

app(prog_name="attncourse")
