"""The library's pages: one for each module of `solutions`, from its docstrings."""

import re
from pathlib import Path

MODULE = """# {title}

```{{eval-rst}}
.. automodule:: {name}
   :members:
   :member-order: bysource
```
"""
KERNELS = re.compile(
    r"triton|operator|native|vectors|pieces|checks|gpu|once|whole|kernel|autocast"
)


def modules(root: Path) -> list[str]:
    """The modules that have a page: all but what only the fast implementations call."""
    return sorted(
        ".".join(path.relative_to(root).with_suffix("").parts)
        for path in (root / "solutions").rglob("*.py")
        if path.name != "__init__.py" and not KERNELS.search(path.stem)
    )


def pages(root: Path, into: Path) -> None:
    """A page a module, and a list of them."""
    into.mkdir(parents=True, exist_ok=True)
    for name in modules(root):
        (into / f"{name}.md").write_text(MODULE.format(name=name, title=f"`{name}`"), "utf-8")
    listed = "\n".join(modules(root))
    (into / "index.md").write_text(
        "# The modules of `solutions`\n\nFrom their docstrings: what it is, equations, axes, "
        "units, cost, source, and where it differs from\nthe paper.\n\n"
        f"```{{toctree}}\n:maxdepth: 1\n\n{listed}\n```\n",
        "utf-8",
    )


def as_rst(lines: list[str], whole: bool) -> list[str]:
    """A docstring, which is plain text, as reStructuredText.

    whole  the head of a file: its first sentence, then all of it as it stands
    """
    blocks = re.split(r"\n\s*\n", "\n".join(lines).strip())
    first, rest = blocks[0], blocks[1:]
    told = _prose(first) if _is_prose(first) else _as_it_stands(first)
    if whole and rest:
        return [*told, "", *_as_it_stands("\n\n".join(rest)), ""]
    for block in rest:
        told += ["", *(_prose(block) if _is_prose(block) else _as_it_stands(block))]
    return [*told, ""]


def _is_prose(block: str) -> bool:
    return not any(re.search(r"^\s|\S {2,}\S|^[-*] ", line) for line in block.splitlines())


def _prose(block: str) -> list[str]:
    pieces = re.split(r"(`[^`]+`)", block)
    return "".join(
        f"`{piece}`" if n % 2 else re.sub(r"([*_|\\`])", r"\\\1", piece)
        for n, piece in enumerate(pieces)
    ).splitlines()


def _as_it_stands(block: str) -> list[str]:
    return ["::", "", *(f"    {line}" if line else "" for line in block.splitlines())]
