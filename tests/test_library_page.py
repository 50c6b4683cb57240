"""docs/library.md: every block of code runs, in order, and its table is the registry's."""

import re
import subprocess
import sys
from pathlib import Path

from solutions import fast
from solutions.registry import list_attention

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs/library.md").read_text(encoding="utf-8")


def test_every_block_runs_in_order():
    blocks = re.findall(r"^```python\n(.*?)^```$", PAGE, flags=re.M | re.S)
    assert len(blocks) >= 8
    assert PAGE.count("```") == 2 * (len(blocks) + 1)  # the other one is for a shell
    command = [sys.executable, "-W", "error", "-c", "\n".join(blocks)]
    ran = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300)
    assert ran.returncode == 0, ran.stderr[-3000:]
    for said in ("did you mean 'cbam'", "take 80 channels", "heads must be", "reduction=16"):
        assert said in ran.stdout


def test_its_table_is_the_registry():
    assert dict(re.findall(r"^\| `(\w+)` \| (.*) \|$", PAGE, flags=re.M)) == list_attention()


def test_the_course_s_answers_are_named_and_nobody_depends_on_them():
    for name in ("kernel", "mods", "measure"):
        assert f"`{name}`" in PAGE
        for path in (ROOT / "solutions").rglob("*.py"):
            asked = re.search(
                rf"solutions\.fast(\.| import .*\b){name}\b", path.read_text("utf-8")
            )
            assert not asked, path
    assert fast.in_use() == "auto"
