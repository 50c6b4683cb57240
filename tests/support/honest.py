"""Notebooks that are right and odd: each keeps every point.

A table of what each is, with its cells: a text is a code cell; a pair has the exercise's id in
its metadata. MEAN is an answer to `channel.squeeze`.
"""

import json

from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

ID = "channel.squeeze"
HEAD = "import torch\nfrom einops import rearrange, reduce\nfrom attncourse import check"
MEAN = "def squeeze(x):\n    return reduce(x, 'b c h w -> b c', 'mean')"
CHECK = f'check("{ID}", squeeze)'
WRONG = "def squeeze(x):\n    return x.amax((2, 3))"

CELLS = {
    "plain": [HEAD, (ID, MEAN), CHECK],
    "timed": [HEAD, (ID, "%%time\n" + MEAN), "%%time\n" + CHECK],
    "captured imports": ["%%capture\n" + HEAD, (ID, MEAN), CHECK],
    "a helper bound later": [
        HEAD,
        (ID, "def squeeze(x):\n    return helper(x)"),
        "def helper(x):\n    return x.mean((2, 3))",
        CHECK,
    ],
    "a helper after the check": [
        HEAD,
        (ID, "def squeeze(x):\n    return helper(x)"),
        CHECK,
        "def helper(x):\n    return x.mean((2, 3))",
    ],
    "a helper's name used again": [
        HEAD,
        "def helper(x):\n    return x.mean((2, 3))",
        (ID, "def squeeze(x):\n    return helper(x)"),
        CHECK,
        "def helper(x):\n    return x.amax((2, 3))",
    ],
    "a list that grows": [
        HEAD,
        "patterns = []",
        "patterns.append('b c h w -> b c')",
        (ID, "def squeeze(x):\n    return reduce(x, patterns[0], 'mean')"),
        CHECK,
    ],
    "a dictionary that is filled": [
        HEAD,
        "how = {}\nfor n in range(3):\n    how[n] = 'mean'",
        (ID, "def squeeze(x):\n    return reduce(x, 'b c h w -> b c', how[2])"),
        CHECK,
    ],
    "exec": [HEAD, f"exec({MEAN!r})", CHECK],
    "globals": [HEAD, "globals()['squeeze'] = lambda x: x.mean((2, 3))", CHECK],
    "setattr": [
        HEAD,
        "class Way: pass\nsetattr(Way, 'mean', staticmethod(lambda x: x.mean((2, 3))))",
        (ID, "def squeeze(x):\n    return Way.mean(x)"),
        CHECK,
    ],
    "a file that is written": [
        HEAD,
        "%%writefile mine.py\ndef helper(x):\n    return x.mean((2, 3))",
        "from mine import *",
        (ID, "def squeeze(x):\n    return helper(x)"),
        CHECK,
    ],
    "a folder on the path": [
        HEAD,
        "import os, sys\nos.makedirs('more', exist_ok=True)\n"
        "sys.path.insert(0, 'more')\nopen('more/own.py', 'w').write('mean = (2, 3)')",
        "from own import *",
        (ID, "def squeeze(x):\n    return x.mean(mean)"),
        CHECK,
    ],
    "another name": [HEAD, (ID, MEAN.replace("squeeze", "mine")), f'check("{ID}", mine)'],
    "assigned": [HEAD, (ID, "squeeze = lambda x: x.mean(dim=(2, 3))"), CHECK],
    "a partial": [
        HEAD,
        "from functools import partial",
        (ID, "squeeze = partial(torch.mean, dim=(2, 3))"),
        CHECK,
    ],
    "decorated": [
        HEAD,
        "def loud(f):\n    def inner(x):\n        print('!')\n        return f(x)\n    return inner",
        (ID, "@loud\n" + MEAN),
        CHECK,
    ],
    "split over cells": [HEAD, (ID, "how = 'mean'"), MEAN.replace("'mean'", "how"), CHECK],
    "twice, the last right": [HEAD, (ID, WRONG), CHECK, (ID, MEAN), CHECK],
    "twice, the first right": [HEAD, (ID, MEAN), CHECK, (ID, WRONG), CHECK],
    "the check deleted": [HEAD, (ID, MEAN), "def wrong(x): return x", f'check("{ID}", wrong)'],
    "the cell deleted": [HEAD, MEAN, CHECK],
    "metadata and check deleted": [HEAD, MEAN],
    "another cell loops": [HEAD, "while True: pass", (ID, MEAN), CHECK],
    "another cell ends": [HEAD, "import sys\nsys.exit()", (ID, MEAN), CHECK],
    "another cell is no Python": [HEAD, "this is no python", (ID, MEAN), CHECK],
    "another cell fails": [HEAD, "raise ValueError", (ID, MEAN), CHECK],
    "a training": [HEAD, (ID, MEAN), CHECK, "y = 0\nfor n in range(10**9):\n    y += n\nprint(y)"],
    "guarded": [HEAD, (ID, "if True:\n    " + MEAN.replace("\n", "\n    ")), CHECK],
    "tried": [HEAD, (ID, "try:\n    squeeze\nexcept NameError:\n    " + MEAN.replace("\n", "\n    "))],
    "odd separators": [HEAD, (ID, MEAN.replace("\n", '\n    """a\u2028b\x85c\x0cd"""\n', 1)), CHECK],
    "Windows": [HEAD.replace("\n", "\r\n"), (ID, MEAN.replace("\n", "\r\n")), CHECK],
    "half a character": [HEAD, "a = '\ud800'", (ID, MEAN), CHECK],
    "awaited": [HEAD, "async def f():\n    return 'mean'\nhow = await f()", (ID, MEAN.replace("'mean'", "how"))],
    "asked": [HEAD, "try:\n    a = input()\nexcept Exception:\n    a = 'mean'", (ID, MEAN.replace("'mean'", "a"))],
    "annotations of the future": ["from __future__ import annotations", HEAD, (ID, MEAN.replace("x)", "x: Unknown)", 1)), CHECK],
    "a counter": [HEAD, "calls = 0", (ID, MEAN.replace(":\n", ":\n    global calls\n    calls += 1\n", 1)), CHECK],
    "other defaults": ["torch_is = __import__('torch')\ntorch_is.set_default_dtype(torch_is.float64)", HEAD, (ID, MEAN)],
    "shell and magics": ["!pip list\n%matplotlib inline\n?print\n%load_ext autoreload", HEAD, (ID, MEAN), CHECK],
    "a semicolon": [HEAD + "; a = 1;", (ID, MEAN), CHECK + ";"],
    "numpy": [HEAD + "\nimport numpy as np", (ID, "def squeeze(x):\n    n = np.prod(x.shape[2:]).item()\n    return x.sum((2, 3)) / n"), CHECK],
    "loops": [HEAD, (ID, "def squeeze(x):\n    rows = [torch.stack([p.mean() for p in one]) for one in x]\n    return torch.stack(rows) if rows else x.new_zeros(x.shape[:2])"), CHECK],
}  # fmt: skip
QUICK = "a helper after the check", "timed", "twice, the last right", "a folder on the path"


def cell(source):
    if isinstance(source, str):
        return new_code_cell(source)
    return new_code_cell(source[1], metadata={"exercise": source[0]})


def saved(*sources):
    """The bytes of a notebook with these cells."""
    cells = [new_markdown_cell("# A notebook"), *map(cell, sources)]
    return json.dumps(new_notebook(cells=cells)).encode()


def files():
    """Every honest notebook as bytes; some are saved in another way."""
    found = {name: saved(*cells) for name, cells in CELLS.items()}
    plain = saved(*CELLS["plain"])
    found["half saved"] = saved(*CELLS["plain"], "the end = 3").rpartition(b"the end")[0]
    found["UTF-16"] = plain.decode().encode("utf-16")
    found["a mark of bytes"] = plain.decode().encode("utf-8-sig")
    bare = [
        {"cell_type": "code", "source": c["source"]} for c in json.loads(plain)["cells"][1:]
    ]
    found["without metadata"] = json.dumps({"cells": [*bare, None, {"source": None}]}).encode()
    sheet = [{"cell_type": "code", "input": c["source"]} for c in bare]
    found["format 3"] = json.dumps({"nbformat": 3, "worksheets": [{"cells": sheet}]}).encode()
    return found
