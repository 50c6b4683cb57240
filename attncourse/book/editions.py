"""Two editions of each notebook from one script: with blanks, and solved.

    notebooks/src/NN_name.py       the script, jupytext percent: the only text edited by hand
    notebooks/learner/NN_name.ipynb   exercises are stubs, no outputs
    notebooks/solved/NN_name.ipynb    exercises are the solutions, executed, with outputs

An exercise cell of the script is empty, `# %% exercise="chapter.name"`, and is filled here.
One way only, and deterministic: the same script and solutions give the same bytes.
"""

import hashlib
import os
import re
import sys
import tempfile
import warnings
from collections.abc import Iterable, Mapping
from pathlib import Path

import jupytext
import nbformat
from ipykernel.kernelspec import make_ipkernel_cmd
from jupyter_client import AsyncKernelManager
from jupyter_client.kernelspec import KernelSpec, KernelSpecManager
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError, CellTimeoutError, DeadKernelError
from nbformat import NotebookNode

from attncourse import course, places
from attncourse.course import Chapter
from attncourse.errors import Broken
from attncourse.exercises.record import Exercise
from attncourse.exercises.source import source, stub

ROOT = places.TOP
TIMEOUT = 1800  # seconds a cell, as nbval has: it stops what hangs, not what is slow
METADATA = {
    "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
    "language_info": {
        "file_extension": ".py",
        "mimetype": "text/x-python",
        "name": "python",
        "pygments_lexer": "ipython3",
    },
}


# ------------------------------------------------------------------ one notebook


def chapter_exercises(chapter: Chapter) -> dict[str, Exercise]:
    """The exercises of one chapter by id, whatever state the other chapters are in."""
    try:
        return {ex.id: ex for ex in course.of_chapter(chapter)}
    except ModuleNotFoundError as error:
        name = (error.name or "").removeprefix("attncourse.exercises.").replace(".", "/")
        if name == chapter.name:
            raise Broken(
                f"{chapter.stem}: there is no folder attncourse/exercises/{name}. Make it, with"
                " an __init__.py and a record for each exercise, or take the chapter out of"
                " CHAPTERS in attncourse/course.py."
            ) from error
        raise Broken(
            f"{chapter.stem}: attncourse/exercises/{name}.py cannot be imported, there is no"
            f" module {error.name}. Write it, or take it out of CHAPTERS in"
            " attncourse/course.py."
        ) from error
    except Exception as error:
        raise Broken(
            f"{chapter.stem}: a record in attncourse/exercises/{chapter.name} cannot be"
            f" imported: {type(error).__name__}: {error}"
        ) from error


def read_script(chapter: Chapter, root: Path = ROOT) -> str:
    """The text of a chapter's script. Raises Broken where there is none."""
    path = Path(root) / "notebooks" / "src" / f"{chapter.stem}.py"
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError as error:
        raise Broken(
            f"{chapter.stem}: notebooks/src/{chapter.stem}.py is missing. "
            "Write it, or take the chapter out of CHAPTERS in attncourse/course.py."
        ) from error
    except (OSError, UnicodeDecodeError) as error:
        raise Broken(
            f"{chapter.stem}: notebooks/src/{chapter.stem}.py cannot be read: {error}"
        ) from error


def read_cells(script: str) -> NotebookNode:
    """The cells of a script in jupytext percent format. Raises Broken if it is not one."""
    try:
        return jupytext.reads(script, fmt="py:percent")
    except Exception as error:
        cause = (str(error).splitlines() or ["no reason given"])[0]
        raise Broken(f"the script cannot be read: {type(error).__name__}: {cause}") from error


def make(script: str, exercises: Mapping[str, Exercise], solved: bool) -> NotebookNode:
    """The notebook of one edition, not executed, from a script in jupytext percent format.

    In the learner edition the cells after the first exercise may raise, so that "Run All"
    goes on past what is not written yet. Exercise cells may not: they only define.
    """
    notebook = read_cells(script)
    notebook.metadata = nbformat.from_dict(METADATA)
    notebook.nbformat, notebook.nbformat_minor = 4, 5
    used: dict[str, int] = {}
    open_exercise = False
    for cell in notebook.cells:
        kept = {key: cell.metadata[key] for key in ("exercise", "tags") if key in cell.metadata}
        name = kept.get("exercise")
        if name is not None:
            if cell.cell_type != "code":
                raise Broken(f'"{name}" is cited by a {cell.cell_type} cell; take "# %%".')
            if not isinstance(name, str) or name not in exercises:
                raise Broken(
                    f'"{name}" is cited but not listed.{course.nearest(name, exercises)}'
                )
            open_exercise = True
            cell.source = source(exercises[name]) if solved else stub(exercises[name])
        elif open_exercise and not solved and cell.cell_type == "code":
            kept["tags"] = [*kept.get("tags", []), "raises-exception"]
        cell.id = _cell_id(cell, name, used)
        cell.metadata = nbformat.from_dict(kept)
        if cell.cell_type == "code":
            cell.outputs, cell.execution_count = [], None
    return notebook


def _cell_id(cell: NotebookNode, name: str | None, used: dict[str, int]) -> str:
    """The same id on every build: from the exercise, else from what the cell says."""
    if name is None:
        text = f"{cell.cell_type}\n{cell.source}"
        wanted = hashlib.sha256(text.encode()).hexdigest()[:12]
    else:
        wanted = re.sub(r"[^a-zA-Z0-9_-]", "-", name)[:60]
    used[wanted] = used.get(wanted, 0) + 1
    return wanted if used[wanted] == 1 else f"{wanted}-{used[wanted]}"


def dumps(notebook: NotebookNode) -> str:
    """The notebook as text, as it stands in the file."""
    return nbformat.writes(notebook).rstrip("\n") + "\n"


# ------------------------------------------------------------------ running


class _ThisPython(KernelSpecManager):
    """The kernel runs in this interpreter, whatever is registered under its name."""

    def get_kernel_spec(self, kernel_name):
        return KernelSpec(
            argv=make_ipkernel_cmd(
                executable=sys.executable, extra_arguments=["--log-level=ERROR"]
            ),
            **METADATA["kernelspec"],
        )


def run(
    notebook: NotebookNode, folder: Path, allow_errors: bool = False, timeout: int = TIMEOUT
) -> NotebookNode:
    """Execute a notebook in place: in this interpreter, on one thread, standing in `folder`."""
    import matplotlib.font_manager  # noqa: F401  builds its cache here, not inside a cell

    manager = AsyncKernelManager(kernel_spec_manager=_ThisPython())
    client = NotebookClient(
        notebook,
        km=manager,
        timeout=timeout,
        allow_errors=allow_errors,
        record_timing=False,
        coalesce_streams=True,
        resources={"metadata": {"path": str(folder)}},
    )
    with tempfile.TemporaryDirectory() as profile:
        env = {
            **os.environ,
            "OMP_NUM_THREADS": "1",
            "PYTHONHASHSEED": "0",
            "IPYTHONDIR": profile,
        }
        env.pop("MPLBACKEND", None)  # with agg the figures would vanish
        client.execute(env=env, cleanup_kc=True)
    notebook.metadata = nbformat.from_dict(METADATA)  # nbclient adds the Python version
    for cell in notebook.cells:
        for output in cell.get("outputs", ()):
            _mask_addresses(output)
    return notebook


def _mask_addresses(output: NotebookNode) -> None:
    """`<object at 0x7f…>` differs from run to run; pictures in base64 are left alone."""
    texts = output if output.output_type == "stream" else output.get("data", {})
    for key in ("text", "text/plain", "text/html"):
        if isinstance(texts.get(key), str) and ";base64," not in texts[key]:
            texts[key] = re.sub(r"\b0x[0-9a-fA-F]{6,16}\b", "0x0", texts[key])


# ------------------------------------------------------------------ all notebooks


def build(
    chapters: Iterable[str | int | Chapter] | None = None,
    check: bool = False,
    execute: bool = True,
    root: Path = ROOT,
) -> list[str]:
    """Build both editions of the chapters, all by default, and say what went wrong.

    check    write nothing; compare what is there with what would be built. Outputs are left to
             nbval, but every cell must have run, in order, without an error
    execute  False leaves the solved edition as it is
    """
    if chapters is None:
        chapters = course.CHAPTERS
    problems = []
    for chapter in [c if isinstance(c, Chapter) else course.chapter(c) for c in chapters]:
        try:
            if check:
                problems += _compare(chapter, Path(root))
            else:
                _write_editions(chapter, Path(root), execute)
        except Broken as error:
            problems.append(str(error))
        except OSError as error:
            problems.append(
                f"{chapter.stem}: cannot write {error.filename or 'the notebook'}: "
                f"{error.strerror or error}. What was there is unchanged."
            )
    return problems + (_orphans(Path(root)) if check else [])


def _editions(chapter: Chapter, root: Path) -> dict[str, NotebookNode]:
    script, exercises = read_script(chapter, root), chapter_exercises(chapter)
    try:
        return {
            "learner": make(script, exercises, solved=False),
            "solved": make(script, exercises, solved=True),
        }
    except Broken as error:
        raise Broken(f"{chapter.stem}: {error}") from error


def _write_editions(chapter: Chapter, root: Path, execute: bool) -> None:
    built = _editions(chapter, root)
    for edition in built:
        (root / "notebooks" / edition).mkdir(parents=True, exist_ok=True)
    write(root / "notebooks" / "learner" / f"{chapter.stem}.ipynb", dumps(built["learner"]))
    if execute:
        folder = root / "notebooks" / "solved"
        try:
            run(built["solved"], folder)
        except (CellExecutionError, CellTimeoutError, DeadKernelError) as error:
            raise Broken(_failed(chapter, built["solved"], error)) from error
        if failing := _not_passed(built["solved"]):
            raise Broken(
                f"{chapter.stem}: {failing} of the solved edition does not pass. "
                f"Import in notebooks/src/{chapter.stem}.py what the solution needs."
            )
        if shouting := _first(_cells_with(built["solved"], _on_stderr)):
            raise Broken(
                f"{chapter.stem}: {shouting} of the solved edition writes to stderr. "
                "Outputs must be the same on every machine: "
                f"mend notebooks/src/{chapter.stem}.py."
            )
        write(folder / f"{chapter.stem}.ipynb", dumps(built["solved"]))


def _failed(chapter: Chapter, notebook: NotebookNode, error: Exception) -> str:
    """Which cell of the solved edition failed, and with what, in one line."""
    where = _first(_cells_with(notebook, lambda o: o.output_type == "error")) or "a cell"
    if isinstance(error, CellExecutionError):
        what = f"{error.ename}: {error.evalue}".splitlines()[0]
    else:
        what = str(error).strip().splitlines()[0]
    return (
        f"{chapter.stem}: {where} of the solved edition fails: {what} "
        f"(nothing written). Mend notebooks/src/{chapter.stem}.py or the solution."
    )


def write(path: Path, text: str) -> None:
    """Replace a file whole or not at all."""
    unfinished = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        unfinished.write_bytes(text.encode())
        os.replace(unfinished, path)
    finally:
        unfinished.unlink(missing_ok=True)


# ------------------------------------------------------------------ comparing


def _compare(chapter: Chapter, root: Path) -> list[str]:
    """How the committed editions of a chapter differ from what would be built."""
    problems = []
    for edition, built in _editions(chapter, root).items():
        file = f"notebooks/{edition}/{chapter.stem}.ipynb"
        try:
            text = (root / file).read_text(encoding="utf-8")
            committed = _read(text)
        except FileNotFoundError:
            problems.append(f"{chapter.stem}: {file} is missing. Run `make notebooks`.")
            continue
        except Exception as error:
            cause = (str(error).splitlines() or [type(error).__name__])[0]
            problems.append(
                f"{chapter.stem}: {file} is not a notebook: {cause}. Run `make notebooks`."
            )
            continue
        complaint = _not_executed(committed) if edition == "solved" else ""
        if edition == "solved":
            for cell in committed.cells:
                if cell.cell_type == "code":
                    cell.outputs, cell.execution_count = [], None
            text = dumps(committed)
        if text != dumps(built):
            complaint = _difference(built, committed)
        if complaint:
            problems.append(f"{chapter.stem}: {file}: {complaint}. Run `make notebooks`.")
    return problems


def _read(text: str) -> NotebookNode:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of a notebook that is not ours, said in our own words
        return nbformat.reads(text, as_version=4)


def _difference(built: NotebookNode, committed: NotebookNode) -> str:
    for number, (new, old) in enumerate(zip(built.cells, committed.cells, strict=False), 1):
        for part in ("cell_type", "source", "metadata", "id", "outputs", "execution_count"):
            if new.get(part) != old.get(part):
                return f"{describe(new, number)} differs in its {part.replace('_', ' ')}"
    if len(built.cells) != len(committed.cells):
        return f"it has {len(committed.cells)} cells and would be built with {len(built.cells)}"
    return "its metadata or its layout as a file differs, though no cell does"


def _not_executed(notebook: NotebookNode) -> str:
    """Why the outputs of a solved notebook cannot be those of one run from top to bottom."""
    code = [(n, c) for n, c in enumerate(notebook.cells, 1) if c.cell_type == "code"]
    for wanted, (number, cell) in enumerate(code, 1):
        if cell.execution_count != wanted:
            return (
                f"{describe(cell, number)} has execution count {cell.execution_count}, "
                f"not {wanted}: it was not run from top to bottom"
            )
    failed = _first(_cells_with(notebook, lambda output: output.output_type == "error"))
    shouting = _first(_cells_with(notebook, _on_stderr))
    return (failed and f"{failed} shows an error") or (
        f"{shouting} wrote to stderr" if shouting else ""
    )


def _not_passed(notebook: NotebookNode) -> str:
    """The first check right after an exercise that says something else than that it passed."""
    pairs = zip(notebook.cells, notebook.cells[1:], strict=False)
    for number, (exercise, cell) in enumerate(pairs, 2):
        said = " ".join(
            output.get("data", {}).get("text/plain", "") for output in cell.get("outputs", ())
        )
        if "exercise" in exercise.metadata and re.match(r"\S+: not (yet|attempted)\b", said):
            return f"{describe(cell, number)} ({' '.join(said.split())[:160]})"
    return ""


def _on_stderr(output: NotebookNode) -> bool:
    return output.output_type == "stream" and output.name == "stderr"


def _cells_with(notebook: NotebookNode, wanted) -> list[str]:
    return [
        describe(cell, number)
        for number, cell in enumerate(notebook.cells, 1)
        if any(wanted(output) for output in cell.get("outputs", ()))
    ]


def _first(found: list[str]) -> str:
    return found[0] if found else ""


def describe(cell: NotebookNode, number: int) -> str:
    """A cell by its number and what one sees of it: `cell 7 ("## 2.2 Excite")`."""
    said = cell.metadata.get("exercise") or next(
        iter(cell.source.strip().splitlines()), "empty"
    )
    return f'cell {number} ("{said if len(said) <= 48 else said[:45] + "..."}")'


def _orphans(root: Path) -> list[str]:
    """Files in learner/ and solved/ that no chapter accounts for."""
    known = {f"{chapter.stem}.ipynb" for chapter in course.CHAPTERS}
    return [
        f"notebooks/{edition}/{path.name} belongs to no chapter. Delete it, or list its "
        "chapter in CHAPTERS in attncourse/course.py."
        for edition in ("learner", "solved")
        for path in sorted((root / "notebooks" / edition).glob("*"))
        if path.name not in known | {".ipynb_checkpoints"}
    ]
