"""Parallel text: lines of UTF-8, plain or gzip, and their translations."""

import gzip
import zlib
from pathlib import Path
from typing import NamedTuple

from attncourse.errors import UserError


class Pairs(NamedTuple):
    """Sentences and their translations, line by line."""

    source: list[str]
    target: list[str]


def sentences(path: Path, longest: int) -> list[str]:
    """The lines of a text file in UTF-8, plain or gzip, none of them empty.

    `path` is without the `.gz`. Raises UserError, which names the file and the line, for one
    that is missing, empty or broken, and for a line that is not UTF-8, blank or has more than
    `longest` characters.
    """
    path, data = _bytes(path)
    lines = data.removeprefix(b"\xef\xbb\xbf").removesuffix(b"\n").split(b"\n")
    if lines == [b""]:
        raise UserError(f"{path} is empty: it should have one sentence a line.")
    return [_sentence(line, f"{path}, line {n}", longest) for n, line in enumerate(lines, 1)]


def _bytes(path: Path) -> tuple[Path, bytes]:
    both = path, path.with_name(f"{path.name}.gz")
    there = next((one for one in both if one.is_file()), None)
    if there is None:
        raise UserError(f"no {path.name} or {path.name}.gz in {path.parent}.")
    data = there.read_bytes()
    if data[:2] == b"\x1f\x8b":
        try:
            data = gzip.decompress(data)
        except (EOFError, OSError, zlib.error):
            raise UserError(f"{there} is a broken gzip file: fetch it again.") from None
    return there, data


def _sentence(line: bytes, where: str, longest: int) -> str:
    try:
        text = line.decode("utf-8").strip()
    except UnicodeDecodeError as error:
        raise UserError(
            f"{where}: byte {error.start + 1} is 0x{line[error.start]:02x}, which is no UTF-8. "
            "Convert the file: iconv -f latin1 -t utf-8."
        ) from None
    if not text:
        raise UserError(f"{where} is blank: take it out, and its translation.")
    if len(text) > longest:
        raise UserError(
            f"{where}: {len(text)} characters, more than the limit of {longest}. Take it out, "
            f"and its translation, or train with --longest {len(text)}."
        )
    return text
