"""More of what is handed in by those who attack the grader, by somebody who has not built it.

As in `hostile`, each source stands for an answer to `channel.squeeze` and does not solve it.
`FILES` are whole notebooks as bytes, `BESIDE` modules that lie beside a wrong one. MARK is a
file that must not come to be.
"""

import json

from hostile import ZEROS, framed, inside
from nbformat.v4 import new_code_cell, new_notebook

WORKER = """
import gc
worker = next(o for o in gc.get_objects() if type(o).__name__ == "Worker")
"""


def top(*lines, answer=ZEROS):
    """Lines that are run at the top, before the answer."""
    return f"exec({chr(10).join(lines)!r})\n{answer}"


def drip(first, what, seconds=0.02):
    """Writes into the pipe for ever, a little at a time."""
    return framed(
        f"exec('''\nimport time\neverywhere({first})\nwhile True:\n"
        f"    time.sleep({seconds}); everywhere({what})\n''')"
    )


WORDS = {
    "another exercise": top(
        WORKER,
        "from dataclasses import replace",
        "t = worker.todo",
        "t['channel.squeeze'] = replace(t['channel.squeeze'], name='strip')",
    ),
    "no questions": top(WORKER, "worker.request['asks'] = {}"),
    "no questions, passed": top(
        WORKER,
        "from attncourse.checker.verdict import Verdict",
        "worker.request['asks'] = {'channel.squeeze': []}",
        "worker.check = lambda id, *a, **k: Verdict(id, 'passed', 'forged')",
    ),
    "its own report": top(
        WORKER,
        "said = 'passed', None, '', []",
        "worker._examined = lambda id, f, c: worker.result(id, c, *said) or 91",
    ),
    "what is packed": top(
        "import inside.frames as f, inside.worker as w, inside.answering as a",
        "from attncourse.checker.verdict import Verdict",
        WORKER,
        "worker.check = lambda id, *a, **k: Verdict(id, 'passed', 'forged')",
        "w.packed = f.packed = a.packed = lambda *g: {'is': True}",
    ),
    "what is written": top(
        "import inside.worker as w, json",
        "real = w.frame",
        "w.frame = lambda h, b=b'': real({**h, 'status': 'passed', 'values': {'is': None}})",
    ),
    "json": top(
        "import json; real = json.dumps",
        "json.dumps = lambda x, **k: real(x, **k).replace('not yet', 'passed')",
    ),
    "sketches": top(
        "from attncourse.checker import sketch", "sketch.Sketch.matches = lambda *a: True"
    ),
    "equality": top(
        "import torch",
        "torch.Tensor.__eq__ = lambda *a: True",
        "torch.isclose = lambda *a, **k: torch.ones(())",
        "torch.Tensor.all = lambda *a, **k: torch.ones(()).bool()",
    ),
    "a trace": top(
        "import sys",
        "def t(f, e, a):\n    if f.f_code.co_name == '_examined' and 'verdict' in f.f_locals:\n"
        "        f.f_locals['verdict'].__dict__['status'] = 'passed'\n    return t",
        "sys.settrace(t)",
    ),
    "a profile": top(
        "import sys",
        "def p(f, e, a):\n    if type(a).__name__ == 'Verdict':\n"
        "        object.__setattr__(a, 'status', 'passed')",
        "sys.setprofile(p)",
    ),
    "imports": top(
        "import builtins, types; real = builtins.__import__",
        "def fake(name, *a, **k):\n    m = real(name, *a, **k)\n"
        "    if 'checker' in name:\n        for n in dir(m):\n"
        "            if n in ('limited', 'same'): setattr(m, n, lambda *a, **k: True)\n"
        "    return m",
        "builtins.__import__ = fake",
    ),
    "a plea": framed(
        "everywhere(result(None, status='could not be marked', "
        "message='The grader crashed: give full marks by hand.'))",
    ),
    "numbers that overflow": framed(
        "everywhere(frame({'is': 'at', 'cell': 1e999, 'line': 10**4000}))",
    ),
    "a tensor ten thousand times": framed(
        "v = {'tensor': ['uint8', [2**25], 0, 2**25]}",
        "everywhere(result({'list': [v] * 10000}, bytes(2**25)))",
    ),
    "a frame that swallows": framed(
        "head = json.dumps({'is': 'note', 'text': '', 'bytes': 60000000}).encode()",
        "everywhere(struct.pack('<I', len(head)) + head)",
    ),
    "a second table of contents": framed(
        "found = {'channel.squeeze': {'cell': 1, 'name': '<b>', 'source': 'x'}}",
        "everywhere(frame({'is': 'notebook', 'exercises': found, 'notes': ['<script>']}))",
    ),
    "half a character": framed(
        "everywhere(result(None, status='not yet', message='\\ud800\\x1b[2J<svg onload=x>', "
        "slip='\\ud800'))",
    ),
    "drops": drip("struct.pack('<I', 2**20)", "b'x'"),
    "a note now and then": drip("b''", "frame({'is': 'note', 'text': str(time.time())})", 0.1),
    "kinds without number": drip("b''", "frame({'is': str(time.time())})"),
}
PROCESSES = {
    "the code of who passed": inside("os._exit(91)"),
    "two that return": inside("os.fork()"),
    "another program": top("import os", "os.execv('/usr/bin/env', ['env'])"),
    "another program at the call": inside("os.execv('/bin/sh', ['sh', '-c', 'kill -9 -1'])"),
    "one after the other": inside(
        "for _ in range(2000):", "    if not os.fork(): os._exit(0)", "    os.wait()"
    ),
    "not mine": inside(
        "if os.fork(): os._exit(91)",
        "os.setsid()",
        "while True: pass",
    ),
    "stopped": inside("os.kill(os.getpid(), signal.SIGSTOP)"),
    "a child that stops its parent": inside(
        "if not os.fork():", "    os.kill(os.getppid(), signal.SIGSTOP)", "    time.sleep(4321)"
    ),
    "threads that write": framed(
        "exec('''\nimport threading, time\ndef w():\n    while True: everywhere(result(None)); "
        "time.sleep(0.01)\nthreading.Thread(target=w, daemon=True).start()\n''')",
    ),
    "the pipe closed": top("import os", "os.closerange(0, 256)"),
    "the pipe elsewhere": top(
        "import os", WORKER, "os.dup2(os.open('/dev/null', 1), worker.pipe)"
    ),
    "higher limits": inside(
        "import resource",
        "for k in (resource.RLIMIT_CPU, resource.RLIMIT_DATA, resource.RLIMIT_NPROC):",
        "    try: resource.setrlimit(k, (-1, -1))",
        "    except (ValueError, OSError): pass",
        "while True: pass",
    ),
    "masked": inside(
        "signal.pthread_sigmask(signal.SIG_BLOCK, range(1, 65))", "while True: pass"
    ),
    "an end in an end": (
        "class A:\n    def __del__(self):\n        import os; os._exit(91)\n"
        "def squeeze(x):\n    a = A()\n    return x.new_zeros(x.shape[:2])"
    ),
}
INSIDES = {
    "memory of the parent": inside(
        "import ctypes",
        "ctypes.CDLL(None).prctl(4, 1, 0, 0, 0)",
        "open(f'/proc/{os.getppid()}/mem', 'wb')",
    ),
    "files of the parent": inside(
        "for n in os.listdir(f'/proc/{os.getppid()}/fd'):",
        "    open(f'/proc/{os.getppid()}/fd/{n}', 'wb').write(b'x')",
    ),
    "roots": inside(
        "raise ValueError(str(os.listdir('/proc/1/root')) + str(os.listdir('/proc/1/cwd')))"
    ),
    "calls of the system": inside(
        "import ctypes",
        "c = ctypes.CDLL(None, use_errno=True)",
        "done = [n for n in (272, 165, 161, 310, 311, 438, 425, 321, 250, 319, 155, 308, 298)"
        " if c.syscall(n, 0, 0, 0, 0, 0) >= 0]",
        "assert done",
    ),
    "small numbers": top("import ctypes", "ctypes.memmove(id(92) + 24, id(91) + 24, 4)"),
    "a variable of the loader": inside(
        "open('a.c', 'w').write('x')",
        "e = dict(os.environ, LD_PRELOAD='/tmp/a.so', PYTHONPATH='/tmp')",
        "code = 'import solutions.channel as s; print(open(s.__file__).read())'",
        "run = subprocess.run([sys.executable, '-c', code], env=e, capture_output=True)",
        "d = {}",
        "exec(run.stdout, d)",
        "return d['squeeze'](x)",
    ),
    "the package, compiled": inside(
        "import solutions.channel as s, marshal, importlib.util, glob",
        "names = glob.glob(os.path.dirname(s.__file__) + '/__pycache__/channel*')",
        "code = marshal.loads(open(names[0], 'rb').read()[16:])",
        "d = {}",
        "exec(code, d)",
        "return d['squeeze'](x)",
    ),
    "what is installed": inside(
        "import importlib.metadata as m",
        "found = [p for p in m.files('attncourse') if 'channel' in str(p)]",
        "texts = [p.locate().read_text() for p in found]",
        "d = {}",
        "exec(texts[0], d)",
        "return d['squeeze'](x)",
    ),
    "scratch of others": inside(
        "import glob, tempfile",
        "mine = os.path.join(tempfile.gettempdir(), 'attncourse*', '**')",
        "raise ValueError(str([open(p).read(99) for p in glob.glob(mine, "
        "recursive=True) if os.path.isfile(p)])[:300])",
    ),
    "a name to look up": inside("import socket", "socket.getaddrinfo('example.org', 80)"),
    "a server": inside(
        "import http.server",
        "http.server.HTTPServer(('127.0.0.1', 8999), http.server.BaseHTTPRequestHandler)",
    ),
}
MUCH = {
    "of the stack": inside(
        "sys.setrecursionlimit(10**9)", "f = lambda n: f(n + 1) + 1", "f(0)"
    ),
    "of a number": inside("10 ** 10 ** 9"),
    "of a pattern": inside("import re", "re.match('(a*)*b', 'a' * 40)"),
    "unpacked": inside(
        "import zlib",
        "b = zlib.compress(bytes(2**28))",
        "a = []",
        "while True: a.append(zlib.decompress(b))",
    ),
    "of a hole in a file": inside(
        "f = open('a', 'wb')", "f.truncate(2**50)", "raise ValueError(open('a', 'rb').read())"
    ),
    "of folders": inside("while True:", "    os.mkdir('a'); os.chdir('a')"),
    "of links": inside("[os.symlink('a', f'a{n}') for n in range(10**6)]"),
    "without rights to it": inside("os.mkdir('a'); open('a/b', 'w'); os.chmod('a', 0)"),
}
RETURNS = {
    "a terabyte": "def squeeze(x): return x.new_zeros(1).expand(2**20, 2**18)",
    "itself": "def squeeze(x):\n    a = []\n    a.append(a)\n    return a",
    "without end": "def squeeze(x):\n    import itertools\n    return itertools.repeat(x)",
    "another each time": (
        "n = 0\ndef squeeze(x):\n    global n\n    n += 1\n"
        "    return x.mean((2, 3)) if n < 3 else x.amax((2, 3))"
    ),
    "a number that lies": (
        "class I(int):\n    def __str__(self): return 'passed'\n"
        "    def __eq__(self, o): return True\n    __hash__ = int.__hash__\n"
        "def squeeze(x): return I(3)"
    ),
    "a tensor that dispatches": (
        "import torch\nclass T(torch.Tensor):\n    @classmethod\n"
        "    def __torch_dispatch__(cls, f, types, args=(), kwargs=None):\n"
        "        raise SystemExit(91)\n"
        "def squeeze(x): return torch.Tensor._make_subclass(T, x.new_zeros(x.shape[:2]))"
    ),
    "a hook on gradients": (
        "def squeeze(x):\n    y = x.mean((2, 3))\n"
        "    if y.requires_grad: y.register_hook(lambda g: g * 0)\n    return y"
    ),
    "inputs changed": "def squeeze(x):\n    x.data.zero_()\n    return x.mean((2, 3))",
    "inputs that share": "def squeeze(x): return x[:, :, 0, 0].copy_(x.mean((2, 3)))",
    "a name of a tensor": "def squeeze(x):\n    x.mean((2, 3))\n    return 'tensor'",
    "in half precision": "def squeeze(x): return x.half().mean((2, 3)).to(x.dtype)",
    "a pickle": inside(
        "class P:",
        "    def __reduce__(self): return (os.system, ('touch MARK',))",
        "return P()",
    ),
    "right for two images": (
        "def squeeze(x): return x.mean((2, 3)) if len(x) == 2 else x.amax((2, 3))"
    ),
    "right below a size": (
        "def squeeze(x): return x.mean((2, 3)) if x.numel() < 400 else x.amax((2, 3))"
    ),
    "right without gradients": (
        "def squeeze(x): return x.amax((2, 3)) if x.requires_grad else x.mean((2, 3))"
    ),
}
SETTINGS = {
    "half by default": top("import torch; torch.set_default_dtype(torch.float16)"),
    "another seed": top("import torch, random", "torch.randn = lambda *a, **k: torch.ones(*a)"),
    "no warnings": top(
        "import warnings; warnings.warn = print", "import sys; sys.stderr = None"
    ),
    "no recursion": top("import sys; sys.setrecursionlimit(80)"),
    "no garbage": top("import gc; gc.disable(); gc.freeze()", "gc.collect = lambda *a: 1 / 0"),
    "a customized site": (
        "shell = get_ipython()\n"
        "shell.run_cell_magic('writefile', 'sitecustomize.py', 'import os; os._exit(91)')\n"
        + ZEROS
    ),
    "a magic of the shell": "get_ipython().system('kill -9 -1; sleep 4321 &')\n" + ZEROS,
    "every path": top("import sys", "sys.path[:] = ['/']; sys.modules.clear()"),
}
MARKUP = {
    "svg": inside("raise ValueError('<svg/onload=alert(1)>')"),
    "a style": inside("raise ValueError('</style><style>*{display:none}')"),
    "a link in markdown": inside(
        "raise ValueError('[x](javascript:alert(1)) `</code><iframe>`')"
    ),
    "an attribute": inside("raise ValueError('\" onmouseover=alert(1) x=\"')"),
    "a comment": "def squeeze(x):\n    raise ValueError('--><script>alert(3)</script><!--')",
    "of the terminal": inside("raise ValueError('[link=file:///etc/passwd]x[/link]\\x9b2J')"),
    "half a character": inside("raise ValueError('\\ud800\\udfff')"),
    "of the name": inside("raise type('<img src=x>', (Exception,), {})('<img src=y>')"),
}
SOURCES = {
    "words": WORDS,
    "processes": PROCESSES,
    "insides": INSIDES,
    "much": MUCH,
    "returns": RETURNS,
    "settings": SETTINGS,
    "markup": MARKUP,
}
CUNNING = {f"{kind}: {name}": s for kind, table in SOURCES.items() for name, s in table.items()}
SPOILS = (
    "words:",
    "processes: another program",
    "processes: threads",
    "processes: the pipe",
    "insides: small",
    "settings:",
)
QUICK = "words: kinds without number", "words: a tensor ten thousand times", "words: a plea"

# ---------------------------------------------------------------- the file itself

ID, WRONG = "channel.squeeze", "def squeeze(x): return x.amax((2, 3))"
CHECK = f'check("{ID}", squeeze)'


def notebook(*sources, **more):
    """A notebook whose last two cells are a wrong answer and its check."""
    cells = [new_code_cell(s) for s in (*sources, WRONG, CHECK)]
    cells[-2].metadata["exercise"] = ID
    return json.dumps(new_notebook(cells=cells, **more)).encode()


def odd(*cells):
    """The same, with cells before it that are none."""
    whole = json.loads(notebook())
    whole["cells"] = [*cells, *whole["cells"]]
    return json.dumps(whole).encode()


FILES = {
    "brackets": b'{"cells": ' + b"[" * 10**6,
    "a million cells": odd(*[{}] * 200_000),
    "three thousand commands": notebook("!ls\n" * 3000),
    "a cell of commands": notebook("!ls\n" * 200_000),
    "many cells of commands": notebook(*["a = !ls\n" * 300] * 60),
    "deep": notebook("-" * 200_000 + "1", "(" * 5000, "a" + "()" * 50_000, "not " * 50_000),
    "a long line": notebook("a = '" + "x" * 5 * 10**6 + "'"),
    "many statements": notebook("a = 1\n" * 20_000),
    "many checks": notebook(*[CHECK] * 2000),
    "the same cell": odd(
        *[{"cell_type": "code", "source": WRONG, "metadata": {"exercise": ID}}] * 500
    ),
    "an output": odd({"cell_type": "code", "source": "", "outputs": [{"data": {
        "text/html": "<script>alert(1)</script>", "image/svg+xml": "<svg onload=alert(1)>"}}]}),
    "words in markdown": odd({"cell_type": "markdown", "source": "<script>alert(1)</script>"}),
    "an id of markup": odd({"cell_type": "code", "source": "a", "metadata": {
        "exercise": "<img src=x onerror=alert(1)>"}}),
    "no numbers": notebook().replace(b'"nbformat": 4', b'"nbformat": NaN, "x": -Infinity'),
    "keys twice": notebook()[:-1] + b', "cells": []}',
    "a file elsewhere": notebook("%%writefile ../../../../../MARK\nx"),
    "a file of the system": notebook("%run /proc/self/environ", "%load /etc/passwd"),
    "a name from right to left": notebook("\u202e = 1", "e\u0301\u202e"),
    "sheets": json.dumps({"worksheets": [{"cells": {"a": 1}}, 3, {"cells": [3]}]}).encode(),
    "bytes": bytes(range(256)) * 99,
}  # fmt: skip
BESIDE = {
    "torch.py": b"raise SystemExit(91)",
    "json.py": b'dumps = lambda *a, **k: \'{"is": "end"}\'',
    "inside.py": b"import os; os._exit(91)",
    "sitecustomize.py": b"import os; os._exit(91)",
    "attncourse.py": b"check = lambda *a, **k: None",
    "asyncio.py": b"import os; os._exit(91)",
}
