"""What comes out of grading: CSV, JSON, a page for each student, one page for the teacher.

Words that were made in the sandbox, names and file names are other people's text: every page
escapes them, and no page needs the network.
"""

import csv
import difflib
import hashlib
import io
import json
import re
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import jinja2

from attncourse import course, places
from attncourse.classroom.marking import NOT_YET, STATUSES, Mark
from attncourse.classroom.running import Class, as_dict
from attncourse.exercises.edited import slips_of
from attncourse.exercises.edits import Wrong
from attncourse.files import write_whole

PAGES = Path(__file__).parent / "pages"
SHINGLE, ENOUGH, ALIKE, PAIRS = 5, 30, 0.85, 60  # tokens; shingles; share; pairs shown
UNREAD = re.compile(r"#[^\n]*|'''.*?'''|\"\"\".*?\"\"\"", re.DOTALL)  # comments, docstrings
LONG, OFTEN = 200, 5  # characters of an example line; misunderstandings that are not folded
TOKEN = re.compile(r"[A-Za-z_]\w*|\d+(?:\.\d+)?|\"[^\"\n]*\"|'[^'\n]*'|[^\s\w]")


@dataclass
class Misunderstanding:
    """What several answers to one exercise have in common."""

    id: str
    message: str
    slip: str | None
    students: list[str] = field(default_factory=list)
    line: str = ""


@dataclass
class Row:
    """One exercise, as the class did it, beside what its card says."""

    id: str
    worth: float
    counts: Mapping[str, int]
    minutes: int
    difficulty: int
    section: str
    errors: list[Misunderstanding]


def write(whole: Class, into: Path, notebooks: Path) -> None:
    """All reports of a class into a folder."""
    (into / "students").mkdir(parents=True, exist_ok=True)
    text = json.dumps(as_dict(whole), indent=1, ensure_ascii=False)
    write_whole(into / "grades.json", text.encode())
    write_whole(into / "grades.csv", table(whole).encode("utf-8-sig"))
    where = sections(notebooks)
    pages = jinja2.Environment(
        loader=jinja2.FileSystemLoader(PAGES),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    pages.filters |= {"words": words, "number": number}
    known = {"rules": whole.rules, "rung": whole.rung, "missed": whole.missed}
    known |= {"where": where, "page": page_of, "statuses": STATUSES, "worth": whole.rules.worth}
    known["total"] = lambda one: sum(map(whole.rules.worth, one.marks))
    page = pages.get_template("student.html")
    for one in whole.students:
        html = page.render(student=one, **known)
        write_whole(into / "students" / page_of(one.name), html.encode())
    html = pages.get_template("teacher.html").render(
        whole=whole, rows=rows(whole, where), pairs=alike(whole), often=OFTEN, **known
    )
    write_whole(into / "index.html", html.encode())


def number(x: float) -> str:
    return f"{x:g}"


def words(text: str) -> list[tuple[bool, str]]:
    """A text in parts: what stands in backticks is code."""
    parts = re.split(r"`([^`]*)`", text)
    return [(n % 2 == 1, part) for n, part in enumerate(parts) if part]


def page_of(name: str) -> str:
    """The file name of a student's page: safe, and another for every name."""
    plain = re.sub(r"[^A-Za-z0-9]+", "_", name).strip("_")[:40]
    return f"{plain or 'student'}-{hashlib.sha256(name.encode()).hexdigest()[:8]}.html"


def table(whole: Class) -> str:
    """A row for each student, as gradebooks take them."""
    out = io.StringIO()
    rows, rules = csv.writer(out), whole.rules
    ids = list(rules.points)
    rows.writerow(["student", "points", "of", *ids, *(f"{id} status" for id in ids), "notes"])
    for one in whole.students:
        points = [rules.worth(mark) for mark in one.marks]
        total = [number(sum(points)), number(sum(rules.points.values()))]
        rows.writerow(
            [
                *(_cell(one.name), *total, *map(number, points)),
                *(mark.status for mark in one.marks),
                _cell(" ".join(one.notes)),
            ]
        )
    return out.getvalue()


def _cell(text: str) -> str:
    """A text that no spreadsheet takes for a formula."""
    plain = "".join(c if c.isprintable() else " " for c in text)
    return f"'{plain}" if plain.lstrip().startswith(("=", "+", "-", "@")) else plain


# ---------------------------------------------------------------- what a class misunderstands


def sections(notebooks: Path) -> dict[str, str]:
    """The section in which each exercise stands: "05_channel, 5.2 Excite"."""
    found = {}
    for path in sorted(notebooks.glob("*.ipynb")):
        heading = ""
        for cell in json.loads(path.read_text("utf-8"))["cells"]:
            text = "".join(cell["source"])
            if cell["cell_type"] == "markdown":
                titles = re.findall(r"^## +(.+)$", text, re.MULTILINE)
                heading = titles[-1] if titles else heading
            elif id := cell["metadata"].get("exercise"):
                found[id] = f"{path.stem}, {heading}" if heading else path.stem
    return found


def rows(whole: Class, where: Mapping[str, str]) -> list[Row]:
    """Every exercise, as the class did it."""
    found = []
    for n, (id, worth) in enumerate(whole.rules.points.items()):
        ex = course.exercise(id)
        marks = [(one.name, one.marks[n]) for one in whole.students]
        counts = Counter(mark.status for _, mark in marks)
        shown = {status: counts[status] for status in STATUSES}
        section = where.get(id, "")
        errors = misunderstandings(id, marks)
        found.append(Row(id, worth, shown, ex.minutes, ex.difficulty, section, errors))
    return found


def misunderstandings(id: str, marks: list[tuple[str, Mark]]) -> list[Misunderstanding]:
    """What went wrong, the most frequent first; by slip, else by what the checker says."""
    known = {slip.name: slip.message for slip in slips_of(course.exercise(id))}
    found: dict[str, Misunderstanding] = {}
    for name, mark in marks:
        if mark.status != NOT_YET:
            continue
        first = mark.message.partition("\n")[0]
        slip = mark.slip if mark.slip in known else None
        key = slip or re.sub(r"\d+(\.\d+)?", "0", first)
        one = found.setdefault(key, Misunderstanding(id, known.get(slip or "", first), slip))
        one.students.append(name)
        one.line = one.line or example(id, slip, mark)[:LONG]
    return sorted(found.values(), key=lambda one: -len(one.students))


def example(id: str, slip: str | None, mark: Mark) -> str:
    """A line of the learner's in which it shows: that nearest to how the slip is written, or
    that which the message names."""
    told = re.search(r"line \d+, `([^`]+)`", mark.message)
    if told:
        return told[1]
    code = UNREAD.sub(" ", mark.source)
    lines = [line.strip() for line in code.splitlines()[1:] if line.strip()]
    edits = [one for one in course.exercise(id).slips if isinstance(one, Wrong)]
    texts = [edit.new for one in edits if one.name == slip for edit in one.edits[:1]]
    if not texts or not lines:
        return ""
    return max(lines, key=lambda line: difflib.SequenceMatcher(None, line, texts[0]).ratio())


# ---------------------------------------------------------------- who wrote the same


def alike(whole: Class) -> list[tuple[str, str, list[str]]]:
    """Pairs whose answers are made of the same pieces, beyond what the class has in common;
    the exercises in which they are. A plain fact, and no verdict."""
    found: dict[tuple[str, str], list[str]] = defaultdict(list)
    for n, id in enumerate(whole.rules.points):
        pieces = {one.name: shingles(one.marks[n].source) for one in whole.students}
        often = Counter(piece for some in pieces.values() for piece in some)
        many = max(3, len(pieces) // 3)
        own = {name: {p for p in some if often[p] <= many} for name, some in pieces.items()}
        long = sorted(name for name, some in own.items() if len(some) >= ENOUGH)
        for at, one in enumerate(long):
            for other in long[at + 1 :]:
                less = min(len(own[one]), len(own[other]))
                if len(own[one] & own[other]) >= ALIKE * less:
                    found[one, other].append(id)
    ranked = sorted(found.items(), key=lambda item: -len(item[1]))
    return [(one, other, ids) for (one, other), ids in ranked[:PAIRS]]


def shingles(source: str) -> set[tuple[str, ...]]:
    tokens = list(_tokens(source))
    return {tuple(tokens[n : n + SHINGLE]) for n in range(len(tokens) - SHINGLE + 1)}


def _tokens(source: str) -> Iterator[str]:
    """What the learner wrote, without comments and docstrings."""
    yield from TOKEN.findall(UNREAD.sub(" ", source))


def notebooks_of(assignment: Path | None) -> Path:
    """Where the sections are looked up: in the assignment, else in the course."""
    if assignment and (assignment / "notebooks").is_dir():
        return assignment / "notebooks"
    return places.notebooks()
