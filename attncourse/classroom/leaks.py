"""Whether an answer, or something of the teacher's, can be read in what is handed out."""

import json
import re
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path

from attncourse import places
from attncourse.errors import Broken
from attncourse.exercises.record import Exercise
from attncourse.exercises.source import blanked_lines

SHORT = 12  # a line of no more letters can turn up by chance
# Lines which say nothing about how an exercise is solved, though a solution may hold them.
TRIVIAL = re.compile(
    r"return [\w.]+|[\w, ]+ = [\w.]+\.shape(\[[-\d:]+\])?|(el)?if \w+ is (not )?None:"
    r"|super\(\).*|for \w+ in range\([\w.]+\):|[\"'#]+.{0,3}|(return|\w+ =) [\w.]+\("
)


def secret_lines(ex: Exercise) -> list[str]:
    """The lines of an answer that nobody should read."""
    try:
        lines = [line.strip() for line in blanked_lines(ex)]
    except Broken:
        return []
    told = "raise ValueError", "raise NotImplementedError"  # which the stub promises
    lines = [line for line in lines if not line.startswith(told)]
    return [s for s in dict.fromkeys(lines) if len(s) > SHORT and not TRIVIAL.fullmatch(s)]


def silent_hints(ex: Exercise, rungs: int) -> tuple[str, ...]:
    """The hints that may be handed out, up to the first that holds a line of the answer."""
    secret = secret_lines(ex)
    told = (any(line in text for line in secret) for text in ex.hints[:rungs])
    return ex.hints[: next((n for n, one in enumerate(told) if one), min(rungs, len(ex.hints)))]


def leaks(
    folder: Path, exercises: Iterable[Exercise], given: Mapping[str, Collection[str]]
) -> list[str]:
    """Every line of these answers that stands in a file of a folder, and every file that names
    this machine's folders or holds slips; one line each.

    given  by file, the lines that are there since what is given in the notebooks runs them
    """
    secret = {line: ex.id for ex in exercises for line in secret_lines(ex)}
    found = []
    for path in sorted(p for p in folder.rglob("*") if p.is_file()):
        where, text = path.relative_to(folder).as_posix(), readable(path)
        lines = {line.strip() for line in text.splitlines()}
        for line, id in secret.items():
            if line in given.get(where, ()):
                continue
            if line in lines or (len(line) > 2 * SHORT and line in text):
                found.append(f'{where}: "{line}" is of the answer to {id}')
        if str(places.TOP) in text:
            found.append(f"{where}: names a folder of this machine")
        if (
            where.count("/") == 4
            and where.startswith("package/attncourse/exercises/")
            and re.search(r"^\s*(\*often\(|wrong\(|by_hand\()", text, re.M)
        ):
            found.append(f"{where}: holds slips as edits of an answer")
    return found


def readable(path: Path) -> str:
    """What one reads in a file: of notebooks and records the texts, without JSON's escapes."""
    text = path.read_bytes().decode("utf-8", "replace")
    if path.suffix in (".ipynb", ".json"):
        return "\n".join(_strings(json.loads(text)))
    return text


def _strings(x) -> Iterable[str]:
    if isinstance(x, str):
        yield x
    elif isinstance(x, dict):
        for key, value in x.items():
            yield str(key)
            yield from _strings(value)
    elif isinstance(x, list):
        if x and all(isinstance(part, str) for part in x):
            yield "".join(x) if any(part.endswith("\n") for part in x) else "\n".join(x)
        else:
            for part in x:
                yield from _strings(part)
