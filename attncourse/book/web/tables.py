"""The papers' printed figures as a page: what came out when it was built, and what did not."""

import hashlib
import json
from pathlib import Path

from attncourse import papers

HEAD = """# The papers' tables

{rows} rows of tables in {papers} papers are kept as they were printed, with a confidence and
the rule by which each paper counts. What can be built is built and counted: of {all} figures
{out} come out to the last printed digit ({cut} of them cut off rather than rounded), and
**{off} do not**. Nothing is tuned until it fits.
"""


def computed(root: Path, cache: Path) -> list[dict]:
    """Every figure that can be counted, printed and computed. Counting takes a minute, so it is
    kept until a file that it depends on changes."""
    state = hashlib.sha256()
    for folder in ("solutions", "attncourse/papers"):
        for path in sorted((root / folder).rglob("*")):
            if path.suffix in (".py", ".json"):
                state.update(path.read_bytes())
    wanted = state.hexdigest()
    if cache.is_file() and (kept := json.loads(cache.read_text("utf-8")))["state"] == wanted:
        return kept["lines"]
    lines = [
        {
            "id": id,
            "metric": line.metric,
            "printed": str(line.printed),
            "computed": line.computed,
            "agreement": line.agreement,
        }
        for id in papers.buildable()
        for line in papers.compare(id).lines
    ]
    cache.parent.mkdir(parents=True, exist_ok=True)
    cache.write_text(json.dumps({"state": wanted, "lines": lines}), "utf-8")
    return lines


def page(lines: list[dict]) -> str:
    """The page, in MyST."""
    rows = {row.id: row for row in papers.figures()}
    by_id: dict[str, list[dict]] = {}
    for line in lines:
        by_id.setdefault(line["id"], []).append(line)
    out = [line for line in lines if line["agreement"].startswith("to the digit")]
    off = [line for line in lines if line not in out]
    cut = sum(line["agreement"] != "to the digit" for line in out)
    parts = [
        HEAD.format(
            rows=len(rows),
            papers=len({id.split(".")[0] for id in rows} - {"computed"}),
            all=len(lines),
            out=len(out),
            cut=cut,
            off=len(off),
        )
    ]
    parts.append("\n## What does not come out\n\n" + _table(off, rows))
    parts.append("\n## What contradicts itself\n\nFigures in print that cannot all be right.\n")
    for one in papers.contradictions():
        places = "".join(
            f"- {_cell(text)}: {_place(where, rows)}\n" for text, where in one.figures
        )
        parts.append(f"\n**{_cell(one.what)}**\n\n{places}\n{_cell(one.says)}\n")
    parts.append("\n## Every table\n")
    of_table: dict[tuple[str, str], list] = {}
    for row in rows.values():
        of_table.setdefault((row.source, row.confidence), []).append(row)
    for (source, confidence), members in of_table.items():
        name = ".".join(members[0].id.split(".")[:2])
        parts.append(f"\n### `{name}`\n\n{_cell(source)}. Confidence: {confidence}. ")
        parts.append(f"Counting: {_cell(members[0].rule.says)}.\n\n{_rows(members, by_id)}")
    return "".join(parts)


def _rows(members, by_id) -> str:
    heads = list(dict.fromkeys(name for row in members for name in row.printed))
    lines = ["| row | " + " | ".join(map(_cell, heads)) + " | built and counted |"]
    lines.append("|---" * (len(heads) + 2) + "|")
    for row in members:
        cells = [str(row.printed[name]) if name in row.printed else "" for name in heads]
        told = "; ".join(
            f"{line['metric']} {line['computed']:,}, {line['agreement']}"
            for line in by_id.get(row.id, ())
        )
        lines.append("| " + " | ".join(map(_cell, [row.label, *cells, told])) + " |")
    return "\n".join(lines) + "\n"


def _table(lines: list[dict], rows) -> str:
    told = ["| table | row | figure | printed | computed | |", "|---|---|---|---|---|---|"]
    for line in lines:
        table = ".".join(line["id"].split(".")[:2])
        cells = (rows[line["id"]].label, line["metric"], line["printed"])
        told.append(
            f"| `{table}` | "
            + " | ".join(map(_cell, (*cells, f"{line['computed']:,}", line["agreement"])))
            + " |"
        )
    return "\n".join(told) + "\n"


def _place(where: str, rows) -> str:
    return f"{_cell(rows[where].label)}, `{where}`" if where in rows else _cell(where)


def _cell(text: str) -> str:
    for mark in "\\|*_$<[":
        text = text.replace(mark, f"\\{mark}")
    return text
