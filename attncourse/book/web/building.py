"""The web edition built by Sphinx, from a folder in which all its pages stand."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

from attncourse.book import explorer
from attncourse.book.web import chapters, glossary, library, tables
from attncourse.course import CHAPTERS

MAPS = "maps"
START = "temple"  # the maps of the start page, which has to be light
EXTRA = "extra"  # what is copied as it is


def build(root: Path, into: Path) -> int:
    """Build the site into a folder; returns Sphinx's exit code. Warnings are errors."""
    source = into / "source"
    shutil.rmtree(source, ignore_errors=True)
    stage(root, source, into / "papers.json")
    shutil.rmtree(into / "html", ignore_errors=True)
    command = [sys.executable, "-m", "sphinx", "-q", "-W", "--keep-going", "-b", "html"]
    command += ["-j", "2", "-d", str(into / "doctrees"), str(source), str(into / "html")]
    code = subprocess.run(
        command, cwd=root, env=os.environ | {"OMP_NUM_THREADS": "1"}
    ).returncode
    # Icons twice: as a font of 115 kB, which stays, and as a script of 1.6 MB on every page.
    (into / "html" / "_static" / "scripts" / "fontawesome.js").write_text("")
    return code


def stage(root: Path, source: Path, cache: Path) -> None:
    """Everything that Sphinx reads: the configuration, the chapters, the pages made here."""
    shutil.copytree(root / "site", source, ignore=shutil.ignore_patterns("_build"))
    chapters.pages(root, source, source / EXTRA)
    for name in ("benchmarks", "library", "teaching"):
        page = root / "docs" / f"{name}.md"
        if page.is_file():
            shutil.copy(page, source / page.name)
    _teachers(source)
    _benchmarks(root, source)
    (source / "glossary.md").write_text(glossary.page(root), "utf-8")
    (source / "papers.md").write_text(tables.page(tables.computed(root, cache)), "utf-8")
    library.pages(root, source / "modules")
    shutil.copy(root / "docs" / "attention.png", source / "_static")
    shutil.copy(root / "attncourse" / "book" / "explorer.js", source / "_static")
    maps = root / "notebooks" / MAPS
    if maps.is_dir():
        shutil.copytree(maps, source / EXTRA / MAPS)
        spec = json.loads((maps / f"{START}.json").read_text("utf-8"))
        light = explorer.thinned(spec, (maps / f"{START}.maps").read_bytes())
        explorer.keep(source / EXTRA / MAPS, f"{START}-small", *light)
    start = source / "index.md"
    text = start.read_text("utf-8").replace("<!-- chapters -->", _chapters())
    start.write_text(text, "utf-8")


def _chapters() -> str:
    rows = ["| | chapter | you write | you see | minutes |", "|---|---|---|---|---|"]
    rows += [
        f"| {c.number:02} | [{c.title}](chapters/{c.stem}.ipynb) | {c.writes} | {c.sees} "
        f"| {c.minutes} |"
        for c in CHAPTERS
    ]
    return "\n".join(rows)


def _teachers(source: Path) -> None:
    """Where there is a page on teaching, the one for teachers links to it."""
    page = source / "teachers.md"
    link = "```{toctree}\nteaching\n```" if (source / "teaching.md").is_file() else ""
    page.write_text(page.read_text("utf-8").replace("<!-- teaching -->", link), "utf-8")


def _benchmarks(root: Path, source: Path) -> None:
    """The figures of what was measured stand below the table of goals."""
    parts = [(source / "benchmarks.md").read_text("utf-8"), "\n## As figures\n"]
    for picture in sorted((root / "results").glob("*.png")):
        shutil.copy(picture, source / "_static")
        name = re.sub("^fast_", "", picture.stem).replace("_", " ")
        parts.append(
            f"\n```{{figure}} _static/{picture.name}\n"
            f":alt: Measured times and memory of {name}, ours beside what one would use; "
            f"the numbers stand in results/{picture.stem}.json.\n\n"
            f"`results/{picture.stem}.json`\n```\n"
        )
    (source / "benchmarks.md").write_text("".join(parts), "utf-8")
