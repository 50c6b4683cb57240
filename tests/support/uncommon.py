"""More notebooks that are right and odd, by somebody who has not built what reads them.

As in `honest`: a text is a code cell, a pair has the exercise's id in its metadata.
"""

import json

from honest import CHECK, HEAD, ID, MEAN, WRONG, saved

USES = "def squeeze(x):\n    return reduce(x, 'b c h w -> b c', {})"
ANSWER = "def squeeze(x):\n    return {}"

CELLS = {
    "a global that a function sets": [
        HEAD,
        "def set_up():\n    global how\n    how = 'mean'",
        "set_up()",
        (ID, USES.format("how")),
        CHECK,
    ],
    "a function that calls one that sets a global": [
        HEAD,
        "def one():\n    global how\n    how = 'mean'\ndef two():\n    one()",
        "if True:\n    two()",
        (ID, USES.format("how")),
        CHECK,
    ],
    "a registry by decorator": [
        HEAD,
        "ways = {}\ndef way(f):\n    ways[f.__name__] = f\n    return f",
        "@way\ndef mean(x):\n    return x.mean((2, 3))",
        (ID, ANSWER.format("ways['mean'](x)")),
        CHECK,
    ],
    "a registry by its method": [
        HEAD,
        "class Ways(dict):\n    def way(self, f):\n"
        "        self[f.__name__] = f\n        return f",
        "ways = Ways()",
        "@ways.way\ndef mean(x):\n    return x.mean((2, 3))",
        (ID, ANSWER.format("ways['mean'](x)")),
        CHECK,
    ],
    "a registry by inheritance": [
        HEAD,
        "class Way:\n    ways = []\n"
        "    def __init_subclass__(cls):\n        Way.ways.append(cls)",
        "class Mean(Way):\n    def of(self, x):\n        return x.mean((2, 3))",
        (ID, ANSWER.format("Way.ways[0]().of(x)")),
        CHECK,
    ],
    "a dictionary that a function fills": [
        HEAD,
        "how = {}\ndef fill(d, what):\n    d['how'] = what",
        "fill(how, 'mean')",
        (ID, USES.format("how['how']")),
        CHECK,
    ],
    "weights that torch fills": [
        HEAD,
        "from torch import nn\nkernel = torch.empty(1)",
        "nn.init.ones_(kernel)",
        (ID, ANSWER.format("x.mean((2, 3)) * kernel.item()")),
        CHECK,
    ],
    "weights within no_grad": [
        HEAD,
        "kernel = torch.zeros(1)\nwith torch.no_grad():\n    kernel.add_(1)",
        (ID, ANSWER.format("x.mean((2, 3)) * kernel.item()")),
        CHECK,
    ],
    "an out of torch": [
        HEAD,
        "kernel = torch.zeros(1)",
        "torch.ones(1, out=kernel)",
        (ID, ANSWER.format("x.mean((2, 3)) * kernel.item()")),
        CHECK,
    ],
    "a heap": [
        HEAD,
        "import heapq\nhow = ['n']",
        "heapq.heappush(how, 'mean')",
        (ID, USES.format("how[0]")),
        CHECK,
    ],
    "a method put into Tensor": [
        HEAD,
        "from torch import Tensor\nTensor.of_pixels = lambda x: x.mean((2, 3))",
        (ID, ANSWER.format("x.of_pixels()")),
        CHECK,
    ],
    "a method put into torch.Tensor": [
        HEAD,
        "torch.Tensor.of_pixels = lambda x: x.mean((2, 3))",
        (ID, ANSWER.format("x.of_pixels()")),
        CHECK,
    ],
    "put into builtins": [
        HEAD,
        "import builtins\nbuiltins.pixels = (2, 3)",
        (ID, ANSWER.format("x.mean(pixels)")),
        CHECK,
    ],
    "put into the shell": [
        HEAD,
        "get_ipython().user_ns['pixels'] = (2, 3)",
        (ID, ANSWER.format("x.mean(pixels)")),
        CHECK,
    ],
    "locals": [HEAD, "locals()['pixels'] = 2, 3", (ID, ANSWER.format("x.mean(pixels)")), CHECK],
    "a setting of the class": [
        HEAD,
        "class Settings:\n    how = 'max'",
        "Settings.how = 'mean'",
        (ID, USES.format("Settings.how")),
        CHECK,
    ],
    "a method that sets": [
        HEAD,
        "class Settings:\n    def use(self, how):\n        self.how = how",
        "settings = Settings()",
        "settings.use('mean')",
        (ID, USES.format("settings.how")),
        CHECK,
    ],
    "an environment variable": [
        HEAD,
        "import os",
        "os.environ['HOW'] = 'mean'",
        (ID, USES.format("os.environ['HOW']")),
        CHECK,
    ],
    "a magic of the environment": [
        HEAD,
        "import os",
        "%env HOW=mean",
        (ID, USES.format("os.environ['HOW']")),
        CHECK,
    ],
    "a file in a with": [
        HEAD,
        "with open('own_way.py', 'w') as f:\n    f.write('mean = (2, 3)')",
        "import own_way",
        (ID, ANSWER.format("x.mean(own_way.mean)")),
        CHECK,
    ],
    "a path": [
        HEAD,
        "from pathlib import Path\nplace = Path('.') / 'ways.py'",
        "place.write_text('mean = 2, 3')",
        "from ways import mean",
        (ID, ANSWER.format("x.mean(mean)")),
        CHECK,
    ],
    "a script that is run": [
        HEAD,
        "%%writefile run_it.py\nhow = 'mean'",
        "%run run_it.py",
        (ID, USES.format("how")),
        CHECK,
    ],
    "several by exec": [
        HEAD,
        "for name in ('mean', 'sum'):\n    exec(f'def of_{name}(x): return x.{name}((2, 3))')",
        (ID, ANSWER.format("of_mean(x)")),
        CHECK,
    ],
    "a module made by hand": [
        HEAD,
        "import sys, types\nown = types.ModuleType('own')\nexec('mean = 2, 3', own.__dict__)\n"
        "sys.modules['own'] = own",
        "from own import mean as over",
        (ID, ANSWER.format("x.mean(over)")),
        CHECK,
    ],
    "a walrus": [HEAD, "print(how := 'mean')", (ID, USES.format("how")), CHECK],
    "a comprehension that appends": [
        HEAD,
        "ways = []\n[ways.append(way) for way in ('mean', 'max')]",
        (ID, USES.format("ways[0]")),
        CHECK,
    ],
    "unpacked": [HEAD, "(how, *_), other = ('mean', 1, 2), 3", (ID, USES.format("how")), CHECK],
    "a match": [
        HEAD,
        "match 3:\n    case 4:\n        how = 'max'\n    case _:\n        how = 'mean'",
        (ID, USES.format("how")),
        CHECK,
    ],
    "a loop that breaks": [
        HEAD,
        "for how in ('max', 'mean', 'min'):\n    if how == 'mean':\n        break",
        (ID, USES.format("how")),
        CHECK,
    ],
    "a missing module": [
        HEAD,
        "try:\n    import no_such_module as fast\nexcept ImportError:\n    fast = None",
        (ID, ANSWER.format("x.mean((2, 3)) if fast is None else fast(x)")),
        CHECK,
    ],
    "only as a program": [
        HEAD,
        (ID, "if __name__ == '__main__':\n    " + MEAN.replace("\n", "\n    ")),
        CHECK,
    ],
    "made by a function": [
        HEAD,
        "def make(how):\n    def squeeze(x):\n        return reduce(x, 'b c h w -> b c', how)\n"
        "    return squeeze",
        (ID, "squeeze = make('mean')"),
        CHECK,
    ],
    "an object that is called": [
        HEAD,
        (ID, "class Squeeze:\n    def __call__(self, x):\n        return x.mean((2, 3))"),
        "squeeze = Squeeze()",
        CHECK,
    ],
    "names of builtins": [
        "sum = 3\nlist = max = 'x'\nid = input = type = 5",
        HEAD,
        (ID, MEAN),
        CHECK,
    ],
    "names of the course": ["checks = 1\nverdict = 2\nsame = 3", HEAD, (ID, MEAN), CHECK],
    "a comparison of one's own": [
        HEAD,
        (ID, MEAN),
        CHECK,
        "from solutions.channel import squeeze as theirs",
        "x = torch.randn(2, 3, 4, 5)\nassert torch.equal(squeeze(x), theirs(x))",
    ],
    "deleted and written again": [HEAD, WRONG, "del squeeze", (ID, MEAN), CHECK],
    "indented": [HEAD, (ID, "  " + MEAN.replace("\n", "\n  ")), "  " + CHECK],
    "tabs": [HEAD, (ID, MEAN.replace("    ", "\t")), CHECK],
    "wide letters": [HEAD, (ID, MEAN), CHECK.replace(" squeeze", " \uff53queeze")],
    "the id in a variable": [HEAD, f'ID = "{ID}"', (ID, MEAN), "check(ID, squeeze)"],
    "check by another name": [
        HEAD + " as c",
        (ID, MEAN),
        f'c("{ID}", squeeze)',
    ],
    "checked in a loop": [
        HEAD,
        (ID, MEAN),
        f"for id, answer in {{'{ID}': squeeze}}.items():\n    print(check(id, answer))",
    ],
    "a question mark": [HEAD, (ID, MEAN), "squeeze?", "??squeeze", CHECK],
    "a cell of html": [HEAD, "%%html\n<b>mean</b>", "%%bash\necho", (ID, MEAN), CHECK],
    "timed lines": [HEAD, "%time how = 'mean'", (ID, USES.format("how")), CHECK],
    "no gradients elsewhere": [
        HEAD,
        (ID, MEAN),
        CHECK,
        "torch.set_grad_enabled(False)\nx = squeeze(torch.randn(2, 3, 4, 5))",
    ],
    "warns": [
        HEAD + "\nimport warnings",
        (ID, MEAN.replace(":\n", ":\n    warnings.warn('slow')\n", 1)),
        CHECK,
    ],
    "prints much": [HEAD, (ID, MEAN.replace(":\n", ":\n    print('x' * 10000)\n", 1)), CHECK],
    "cached": [
        HEAD + "\nfrom functools import wraps\nkept = []",
        "def once(f):\n    @wraps(f)\n    def inner(x):\n        kept.append(x.shape)\n"
        "        return f(x)\n    return inner",
        (ID, "@once\n" + MEAN),
        CHECK,
    ],
    "a generator that goes on": [
        HEAD,
        "ways = iter(['max', 'mean'])",
        "next(ways)",
        "how = next(ways)",
        (ID, USES.format("how")),
        CHECK,
    ],
    "two hundred cells": [HEAD, *[f"n_{n} = {n}" for n in range(200)], (ID, MEAN), CHECK],
    "many magics": [HEAD, "!ls\n" * 40, (ID, "%%time\n\n" + MEAN), CHECK],
    "a shape of words": [
        HEAD,
        (ID, "def squeeze(x: 'Tensor b c h w') -> 'b c':\n    return x.mean(dim=[-1, -2])"),
        CHECK,
    ],
}  # fmt: skip
QUICK = "a global that a function sets", "a registry by decorator", "weights that torch fills"


def files():
    """Every one of these as bytes; some are saved in another way."""
    found = {name: saved(*cells) for name, cells in CELLS.items()}
    plain = json.loads(saved(HEAD, (ID, MEAN.replace("(x):", "(x):  # moyenné", 1)), CHECK))
    text = json.dumps(plain, ensure_ascii=False)
    found["latin-1"] = text.encode("latin-1")
    found["code page 1252"] = text.replace("é", "“é”").encode("cp1252")
    found["UTF-16, big end first"] = text.encode("utf-16-be")
    found["with blanks before it"] = ("\n\n  " + text).encode()
    broken = json.loads(text)
    broken["cells"][-2]["metadata"] = {"exercise": [ID], "tags": 3}
    broken["cells"][-1]["metadata"] = None
    broken["metadata"] = None
    found["metadata of other types"] = json.dumps(broken).encode()
    lines = json.loads(text)
    for cell in lines["cells"]:
        cell["source"] = cell["source"].splitlines(keepends=True)
        cell["id"] = "the same"
        cell["outputs"] = [{"output_type": "stream", "name": "stdout", "text": ["x" * 10**6]}]
        cell["metadata"] |= {"colab": {}, "vscode": {"languageId": "python"}}
    found["of another editor"] = json.dumps(lines | {"nbformat_minor": 99}).encode()
    found["cut in its outputs"] = json.dumps(lines).encode()[:-900_000]
    return found
