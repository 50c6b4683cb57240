"""Check the exercises of a saved notebook, in a kernel of their own.

Of the notebook only imports, definitions, and what these need from other statements are run, so
that no training and no figure has to be waited for. A cell that never ends, or that ends its
kernel, costs its own exercise and no other. This shields from accidents, not from malice: grade
notebooks of strangers where you would run their programs.
"""

import ast
import subprocess
import symtable
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import asdict, dataclass, field
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import nbformat
import psutil

from attncourse.errors import UserError

MIME = "application/vnd.attncourse.verdict+json"
START_SECONDS = 120  # of processor time, for a kernel to import torch
DEAF = 3  # how many times the limit a check may compute before its kernel is ended
PATIENCE = 10  # how many times its processor time a cell may last: it waits, or others compute


@dataclass(frozen=True)
class Result:
    """The verdict on one exercise, and the number of the code cell that holds it."""

    id: str
    cell: int
    status: str
    slip: str | None
    message: str


@dataclass
class Report:
    """The verdicts on a notebook, and what could not be run in it."""

    notebook: Path
    results: list[Result] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    @property
    def passed(self) -> bool:
        return all(result.status == "passed" for result in self.results)

    @property
    def counts(self) -> dict[str, int]:
        """How many exercises have each status, as far as there are any."""
        every = ("passed", "taken over", "not yet", "not attempted")
        found = [result.status for result in self.results]
        return {status: found.count(status) for status in every if status in found}

    def as_dict(self) -> dict[str, Any]:
        """The report in the types of JSON."""
        return {
            "notebook": str(self.notebook),
            "passed": self.passed,
            "counts": self.counts,
            "exercises": [asdict(result) for result in self.results],
            "notes": self.notes,
        }


@dataclass(frozen=True)
class Statement:
    """One top-level statement of a cell, padded so that its lines keep their numbers."""

    cell: int
    line: int
    source: str
    binds: frozenset[str]
    needs: frozenset[str]
    defines: bool  # an import, a function or a class

    @property
    def where(self) -> str:
        return f"cell {self.cell}, line {self.line}"


def grade(path: Path, seconds: float) -> Report:
    """Check every exercise of a notebook. Raises UserError where there is nothing to check."""
    cells = code_cells(path)
    report = Report(path)
    statements = []
    for number, cell in cells.items():
        try:
            statements += parse(cell.source, number)
        except SyntaxError as error:
            text = (error.text or "").strip()
            report.notes.append(f"cell {number}, line {error.lineno}: {error.msg}: {text}")
    wanted = find_exercises(cells)
    if not wanted:
        raise UserError(f"{path} has no exercises in it.")
    kept = needed(statements, {name for _, name in wanted.values()})
    defined = {name for statement in kept for name in statement.binds}
    with Kernel(path.resolve().parent, kept, report.notes) as kernel:
        for id, (cell, name) in wanted.items():
            if name in defined:
                status, slip, message = kernel.verdict(id, name, seconds)
            else:
                status, slip = "not attempted", None
                message = f"`{name}` is not defined in this notebook."
                message += f" Cell {cell} could not be read." * any(
                    note.startswith(f"cell {cell},") for note in report.notes
                )
            report.results.append(Result(id, cell, status, slip, message))
    return report


# ---------------------------------------------------------------- reading the notebook


def code_cells(path: Path) -> dict[int, nbformat.NotebookNode]:
    """The code cells of a notebook by number, counted from 1. Raises UserError."""
    if not path.exists():
        raise UserError(f"there is no file {path}.{_meant(path)}")
    if path.is_dir():
        raise UserError(f"{path} is a folder; name a notebook in it.")
    try:
        notebook = nbformat.reads(path.read_text(encoding="utf-8"), as_version=4)
        return dict(enumerate((c for c in notebook.cells if c.cell_type == "code"), 1))
    except OSError:
        raise
    except Exception as error:  # nbformat has many ways to fail on what is not one
        what = str(error).strip().partition("\n")[0] or type(error).__name__
        raise UserError(f"{path} is not a Jupyter notebook ({what[:80]}).") from None


def _meant(path: Path) -> str:
    """A file that exists and may have been meant."""
    near = {str(p): p for folder in (path.parent, Path("work")) for p in folder.glob("*.ipynb")}
    names = {p.name: shown for shown, p in near.items()}
    close = get_close_matches(path.name.removesuffix(".ipynb") + ".ipynb", names, 1, 0.5)
    return f" Did you mean {names[close[0]]}?" if close else ""


def find_exercises(cells: dict[int, nbformat.NotebookNode]) -> dict[str, tuple[int, str]]:
    """Every exercise's id, with its cell and what the answer is called; in order.

    Found by the cell's metadata, else by a call of `check`. Raises UserError for an unknown id.
    """
    from attncourse.course import exercise
    from attncourse.errors import UnknownExercise

    found, called = {}, {}
    for number, cell in cells.items():
        if id := cell.metadata.get("exercise"):
            found.setdefault(str(id), (number, None))
        for id, name in _checks(cell.source):
            found.setdefault(id, (number, None))
            called.setdefault(id, name)
    for id, (number, _) in found.items():
        try:
            found[id] = number, called.get(id) or exercise(id).name
            exercise(id)
        except UnknownExercise as error:
            raise UserError(f"cell {number}: {error}") from None
    return found


def _checks(source: str) -> Iterator[tuple[str, str]]:
    """Every `check("id", name)` in a cell."""
    try:
        tree = _parsed(source)[1]
    except SyntaxError:
        return
    for node in ast.walk(tree):
        match node:
            case ast.Call(
                func=ast.Name("check") | ast.Attribute(attr="check"),
                args=[ast.Constant(str(id)), ast.Name(name)],
            ):
                yield id, name


def _parsed(source: str) -> tuple[str, ast.Module]:
    """A cell as Python: with `%magics` and `!commands` turned into calls."""
    from IPython.core.inputtransformer2 import TransformerManager

    python = TransformerManager().transform_cell(source)
    return python, ast.parse(python)


def parse(source: str, cell: int) -> list[Statement]:
    """The top-level statements of a cell. Raises SyntaxError."""
    python, tree = _parsed(source)
    # Leading empty lines are dropped on the way; lines keep the numbers the learner sees.
    lost = len(source) - len(source.lstrip("\n"))
    return [_statement(node, python, cell, lost) for node in tree.body]


def _statement(node: ast.stmt, python: str, cell: int, lost: int) -> Statement:
    first = min([node.lineno, *(d.lineno for d in getattr(node, "decorator_list", ()))])
    text = "\n".join(python.splitlines()[first - 1 : node.end_lineno])
    if node.col_offset or text.count(";"):  # several on a line
        text = ast.unparse(node)
    names = symtable.symtable(text, "cell", "exec")
    symbols = names.get_symbols()
    changed = {
        root.id
        for target in ast.walk(node)
        if isinstance(target, ast.Attribute | ast.Subscript)
        and isinstance(target.ctx, ast.Store)
        if isinstance(root := _root(target), ast.Name)
    }
    return Statement(
        cell=cell,
        line=first + lost,
        source="#\n" * (first + lost - 1) + text,
        binds=frozenset(s.get_name() for s in symbols if s.is_assigned() or s.is_imported())
        | changed,
        needs=frozenset(s.get_name() for s in symbols if s.is_referenced()) | _globals(names),
        defines=isinstance(
            node,
            ast.Import | ast.ImportFrom | ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef,
        ),
    )


def _root(node: ast.expr) -> ast.expr:
    while isinstance(node, ast.Attribute | ast.Subscript):
        node = node.value
    return node


def _globals(table: symtable.SymbolTable) -> frozenset[str]:
    """The global names that the functions and classes inside refer to."""
    names = frozenset()
    for inner in table.get_children():
        names |= {s.get_name() for s in inner.get_symbols() if s.is_global()} | _globals(inner)
    return names


def needed(statements: list[Statement], names: set[str]) -> list[Statement]:
    """Imports, definitions, and whatever else binds a name that these, or `names`, refer to."""
    names = set(names)
    kept: set[Statement] = set()
    while more := {s for s in statements if s not in kept and (s.defines or s.binds & names)}:
        kept |= more
        for statement in more:
            names |= statement.needs
    return [statement for statement in statements if statement in kept]


# ---------------------------------------------------------------- running it


class Kernel:
    """A kernel with the notebook's definitions in it; started again when one is lost."""

    def __init__(self, folder: Path, statements: list[Statement], notes: list[str]):
        self.folder = folder
        self.statements = list(statements)
        self.notes = notes
        self.client = None
        self.running = ExitStack()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._stop()

    def verdict(self, id: str, name: str, seconds: float) -> tuple[str, str | None, str]:
        """Status, slip and message of one exercise."""
        while self.client is None:
            self._start(seconds)
        code = (
            "import attncourse.classroom.grading as _attncourse_grading\n"
            f"_attncourse_grading.show_verdict({id!r}, {name!r}, {seconds!r})"
        )
        # which stops an answer itself, and names its line, unless that hears nothing
        ended, outputs = self._run(code, DEAF * seconds)
        if ended == "lost":
            return (
                "not yet",
                None,
                "ends its kernel: does it call exit, or take all the memory?",
            )
        if ended == "late":
            return "not yet", None, f"does not return within {seconds:g} s: where does it loop?"
        for output in outputs:
            if output.output_type == "display_data" and MIME in output.data:
                verdict = output.data[MIME]
                return verdict["status"], verdict["slip"], verdict["message"]
        return "not yet", None, f"cannot be checked: {ended}"

    def _start(self, seconds: float) -> None:
        """A new kernel with the definitions run; a statement that loses it is left out."""
        from nbclient import NotebookClient

        self.client = NotebookClient(
            nbformat.v4.new_notebook(),
            kernel_name="python3",
            resources={"metadata": {"path": str(self.folder)}},
            shutdown_kernel="immediate",
        )
        quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        self.running.enter_context(self.client.setup_kernel(**quiet))
        self._run("import attncourse.checker.examination", START_SECONDS)
        for statement in list(self.statements):
            limit = START_SECONDS if statement.defines else seconds
            ended, _ = self._run(statement.source, limit)
            if ended in {"lost", "late"}:
                says = "ends its kernel" if ended == "lost" else f"takes over {limit:g} s"
                self.notes.append(f"{statement.where} {says}, and is left out.")
                self.statements.remove(statement)
                return
            if ended and not ended.startswith("NotImplementedError"):
                note = f"{statement.where}: {ended}"
                if note not in self.notes:
                    self.notes.append(note)

    def _run(self, source: str, seconds: float) -> tuple[str, list]:
        """Run code. Returns how it ended, and its outputs.

        It ended well (""), with an error (its line), or with the kernel gone: "late", "lost".
        """
        from nbclient.exceptions import CellExecutionError, CellTimeoutError, DeadKernelError

        cell = nbformat.v4.new_code_cell(source)
        self.client.nb.cells = [cell]
        self.client.timeout = PATIENCE * seconds
        with limited(self.client.km.provisioner.pid, seconds) as over:
            try:
                self.client.execute_cell(cell, 0)
            except CellExecutionError as error:
                return f"{error.ename}: {error.evalue}".partition("\n")[0], cell.outputs
            except CellTimeoutError:
                over.set()
            except DeadKernelError:
                pass
            else:
                return "", cell.outputs
        self._stop()
        return ("late" if over.is_set() else "lost"), []

    def _stop(self) -> None:
        self.client = None
        self.running.close()


@contextmanager
def limited(pid: int, seconds: float) -> Iterator[threading.Event]:
    """End a process that computes for more than `seconds` here; the event says that it did."""
    process, over, done = psutil.Process(pid), threading.Event(), threading.Event()

    def spent() -> float:
        return sum(process.cpu_times()[:2])

    def watch(limit: float) -> None:
        with suppress(psutil.Error):  # it has ended by itself
            while not (over.is_set() or done.wait(0.1)):
                if spent() > limit:
                    over.set()
                    process.kill()

    watcher = threading.Thread(target=watch, args=(spent() + seconds,), daemon=True)
    watcher.start()
    try:
        yield over
    finally:
        done.set()
        watcher.join()


def show_verdict(id: str, name: str, seconds: float) -> None:
    """Runs in that kernel: check what is called `name` there, and send the verdict back."""
    from IPython import get_ipython
    from IPython.display import display

    from attncourse.checker import check

    answer = get_ipython().user_ns.get(name)
    verdict = check(id, answer, seconds=seconds)
    data = {"status": verdict.status, "slip": verdict.slip, "message": str(verdict.message)}
    display({MIME: data}, raw=True)
