"""What a teacher types: `release` hands out, `grade` marks what comes back."""

from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape

from attncourse.cli.common import console, fail

commands = typer.Typer()


@commands.command()
def release(
    folder: Annotated[Path, typer.Argument(help="a new folder; FOLDER.zip is made beside it")],
    chapters: Annotated[str, typer.Option(help="by numbers or names, as 05,06")],
    exercises: Annotated[
        str, typer.Option(help="of these chapters, as squeeze,eca; all, if none is named")
    ] = "",
    points: Annotated[
        str, typer.Option(help="2 for each; squeeze=1,eca=3 for some; 1 where nothing is said")
    ] = "",
    due: Annotated[str | None, typer.Option(help="a date, as 2027-03-01T23:59")] = None,
    hints: Annotated[int, typer.Option(min=0, max=3, help="rungs that are handed out")] = 3,
    title: Annotated[str | None, typer.Option(help="default: those of the chapters")] = None,
    nbgrader: Annotated[
        bool, typer.Option("--nbgrader", help="a course folder as well: FOLDER-nbgrader")
    ] = False,
    gradescope: Annotated[
        bool, typer.Option("--gradescope", help="an autograder as well: FOLDER-gradescope.zip")
    ] = False,
):
    """Hand out an assignment: notebooks, checks, hints and named slips, without the answers.

    What the notebooks need of the course goes into a package that students install. It holds no
    answer to these exercises: `check` there compares with a record. FOLDER.zip is what students
    are given; what is asked for beside it is the teacher's.
    """
    from attncourse.exercises import interpreter  # noqa: F401, I001 (goes before Triton)
    from attncourse.classroom.assignment import plan
    from attncourse.classroom.releasing import refuse_there
    from attncourse.classroom.releasing import release as hand_out

    assignment = plan(chapters, exercises, points, due, hints, title)
    more = [f"{folder.name}-nbgrader"] * nbgrader + [
        f"{folder.name}-gradescope.zip"
    ] * gradescope
    refuse_there(folder, *more)
    with console.status("") as status:
        done = hand_out(folder, assignment, lambda what: status.update(escape(what)))
        beside = []
        if nbgrader:
            from attncourse.classroom.nbgrading import write_course

            beside.append(write_course(done.folder, assignment))
        if gradescope:
            from attncourse.classroom.gradescope import write_autograder

            beside.append(write_autograder(done.folder, assignment))
    _say_released(done, assignment)
    for path in beside:
        console.print(f"for you, not for students: {path}", soft_wrap=True)


def _say_released(done, assignment) -> None:
    worth = sum(assignment.points.values())
    console.print(
        f"{done.zip}: {len(assignment.points)} exercises, {worth:g} points", soft_wrap=True
    )
    for id, why in done.kept.items():
        console.print(f"answer to {id} is in it: {escape(why)} runs it", soft_wrap=True)
    for stem, ids in done.uses.items():
        console.print(
            f"{stem} asks once more for what {', '.join(ids)} asks for: it builds on that",
            soft_wrap=True,
        )
    for id, rungs in done.hints.items():
        console.print(
            f"hints of {id}: {rungs}, for the next holds a line of the answer", soft_wrap=True
        )
    for line in done.shown:
        console.print(f"given code, which the notebooks need: {escape(line)}", soft_wrap=True)


@commands.command()
def grade(
    submissions: Annotated[
        list[Path], typer.Argument(help="notebooks, folders, zips: what students handed in")
    ],
    into: Annotated[Path, typer.Option(help="a folder for the reports")],
    assignment: Annotated[
        Path | None, typer.Option(help="the folder that was handed out; default: the course")
    ] = None,
    chapters: Annotated[str, typer.Option(help="of the course, as 05,06")] = "",
    jobs: Annotated[
        int | None, typer.Option(min=1, help="at a time; default: all cores")
    ] = None,
    seconds: Annotated[float, typer.Option(min=1, help="of processor time an exercise")] = 10.0,
    taken_over: Annotated[
        float, typer.Option(min=0, max=1, help="share of the points for the course's own")
    ] = 0.0,
    ready: Annotated[
        float, typer.Option(min=0, max=1, help="share for a ready function of torch")
    ] = 1.0,
    one_student: Annotated[
        bool, typer.Option("--one-student", help="all of it is one student's")
    ] = False,
    unsafe: Annotated[
        bool, typer.Option("--unsafe", help="go on where no sandbox works: trust everybody")
    ] = False,
):
    """Grade what students handed in, each in a sandbox, with reports for all.

    Stopped, the same command goes on where it was. The exit code is 0 if all could be marked.
    """
    from attncourse.classroom.command import grade as mark_all

    whole = mark_all(
        submissions,
        assignment,
        into,
        console,
        chapters=chapters,
        jobs=jobs,
        seconds=seconds,
        taken_over=taken_over,
        ready=ready,
        unsafe=unsafe,
        one_student=one_student,
    )
    left = sum(any(mark.unmarked for mark in one.marks) for one in whole.students)
    if left:
        fail(f"{left} of {len(whole.students)} could not be marked; each page says why.")
