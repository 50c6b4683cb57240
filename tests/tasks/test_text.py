"""Lines of text, as other machines write them."""

import pytest

from attncourse.tasks.text import sentences


@pytest.mark.parametrize(
    "data",
    [b"a\nb\n", b"a\nb", b"a\r\nb\r\n", b"\xef\xbb\xbfa\nb\n", b"  a \n\tb\n"],
    ids=["plain", "without a last line end", "windows", "byte order mark", "spaces"],
)
def test_line_ends_and_marks_are_no_part_of_the_text(tmp_path, data):
    (tmp_path / "x").write_bytes(data)
    assert sentences(tmp_path / "x", 9) == ["a", "b"]


def test_only_a_line_feed_ends_a_line(tmp_path):
    (tmp_path / "x").write_text("a\u2028b\x85c\x0bd\ne\n", encoding="utf-8", newline="\n")
    assert len(sentences(tmp_path / "x", 9)) == 2
