"""The kernels in C read and write nothing beside what they are given, and compute the same, for
vectors of every length, whatever this processor has."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest
import torch
from torch.testing import assert_close

from solutions import relative_2d, stand_alone
from solutions.fast import local_attention, native, relative_attention_2d

DRIVER = Path(__file__).parents[2] / "support" / "sanitised.c"
COMPILER = next(filter(None, map(shutil.which, ("cc", "gcc", "clang"))), None)
PLAIN = ("-g", "-O0", "-std=gnu11", "-Wno-psabi", "-fno-math-errno")
LOOKS = ("-fsanitize=address,undefined", "-fno-sanitize-recover=all")
WIDTHS = pytest.mark.parametrize("width", ["16", "32", "64"])
needs_compiler = pytest.mark.skipif(COMPILER is None, reason="no C compiler")


def compiled(*command, to: Path) -> str:
    """ "" or why it cannot be."""
    done = subprocess.run(
        [COMPILER, *map(str, command), "-o", to, "-lm"], capture_output=True, text=True
    )
    return (done.stderr or "failed") if done.returncode else ""


def ran(program: Path, *given: str) -> subprocess.CompletedProcess:
    environment = os.environ | {"ASAN_OPTIONS": "detect_leaks=0", "OMP_NUM_THREADS": "2"}
    environment.pop("LD_PRELOAD", None)
    return subprocess.run([program, *given], capture_output=True, text=True, env=environment)


@pytest.fixture(scope="module")
def sanitisers(tmp_path_factory) -> tuple[str, ...]:
    """What the compiler is called with; skips where there are none, or they do not run."""
    if COMPILER is None:
        pytest.skip("no C compiler")
    folder = tmp_path_factory.mktemp("sanitisers")
    source = folder / "none.c"
    source.write_text("int main(void) { return 0; }\n")
    if why := compiled(*LOOKS, source, to=folder / "none"):
        pytest.skip(f"no sanitisers: {why.strip().splitlines()[-1]}")
    if (done := ran(folder / "none")).returncode:
        pytest.skip(f"sanitisers do not run: {done.stderr.strip()[:200]}")
    threads = () if compiled(*LOOKS, "-fopenmp", source, to=folder / "more") else ("-fopenmp",)
    return *PLAIN, *LOOKS, *threads


@WIDTHS
@pytest.mark.parametrize("kernel", ["local", "relative_2d"])
def test_nothing_is_read_or_written_beside_a_tensor(sanitisers, kernel, width, tmp_path):
    flags = f"-D{native.WIDTH}={width}", f"-DLOCAL={int(kernel == 'local')}"
    sources = DRIVER, native.HERE / f"{kernel}.c"
    assert compiled(*sanitisers, *flags, *sources, to=tmp_path / "tried") == ""
    done = ran(tmp_path / "tried", "15")
    last = done.stdout.splitlines()[-1:]
    assert done.returncode == 0, f"at {last}: {done.stderr[:3000]}"
    assert last == ["30 shapes"]


@needs_compiler
@WIDTHS
def test_vectors_of_every_length_compute_the_same(width, tmp_path, monkeypatch):
    quick = tmp_path / "cc"  # to compile; the last -O counts
    quick.write_text(f'#!/bin/sh\nexec {COMPILER} "$@" -O0\n')
    quick.chmod(0o755)
    monkeypatch.setenv("CC", str(quick))
    monkeypatch.setenv(native.WIDTH, width)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    native.forget()
    try:
        assert native.available("local") == native.available("relative_2d") == ""
        for w in (1, 5, 19, 33):
            q, k, v = (torch.randn(1, 2, 6, 4, w, dtype=torch.float64) for _ in "qkv")
            tables = [torch.randn(2, 5, 3, dtype=torch.float64) for _ in range(2)]
            same(local_attention, stand_alone.local_attention, q, k, v, *tables, 5)
            q, k, v = (torch.randn(2, 3, w, 5, dtype=torch.float64) for _ in "qkv")
            tables = [torch.randn(2 * n - 1, 5, dtype=torch.float64) for n in (3, w)]
            whole = lambda *x: relative_2d.relative_attention_2d(*x, "skew")  # noqa: E731
            same(relative_attention_2d, whole, q, k, v, *tables)
    finally:
        native.forget()


def same(ours, reference, *given):
    *tensors, window = given if isinstance(given[-1], int) else (*given, None)
    rest = () if window is None else (window,)
    leaves = [x.requires_grad_() for x in tensors]
    y, expected = ours(*leaves, *rest, implementation="native"), reference(*leaves, *rest)
    assert_close(y, expected)
    slope = torch.randn_like(y)
    grads = (torch.autograd.grad(x, leaves, slope) for x in (y, expected))
    for one, other in zip(*grads, strict=True):
        assert_close(one, other)
