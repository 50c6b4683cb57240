"""Random calls of every mechanism beside loops: python against_loops.py CASES [FIRST_SEED].

A loop knows one query at a time: which keys it has, what each is scored beside q · k, and the
weighted mean of their values. Values and gradients of every implementation are compared with
its, those of float64 to rounding, those of float32 to what single precision leaves.
"""

import math
import random
import sys
from collections import Counter

import torch
from torch.testing import assert_close

from solutions import fast, relative_2d, scaled_dot_product, sparse, stand_alone
from solutions.fast import native

KERNELS = {name: not native.available(name) for name in ("local", "relative_2d")}
# single precision: 2^-24 of scores up to some 30, through an exponential and sums of some 60
CLOSE = {torch.float64: dict(atol=1e-10, rtol=1e-9), torch.float32: dict(atol=1e-4, rtol=1e-4)}


def mean(q, keys, values, extra, scale):
    """What one query reads: exp(s) over their sum, times the values; 0 of no keys."""
    if not keys:
        return 0 * values[0] if values else None
    scores = [(q * (k + e)).sum() * scale for k, e in zip(keys, extra, strict=True)]
    most = max(s.item() for s in scores)
    powers = [(s - most).exp() for s in scores]
    total = sum(powers)
    return sum(p / total * v for p, v in zip(powers, values, strict=True))


def local_case(rng):
    b, head, half, e = (rng.randint(1, 3) for _ in range(4))
    h, w, window = rng.randint(1, 7), rng.randint(1, 9), rng.choice([1, 3, 5, 7])
    d, reach = 2 * half, window // 2
    shapes = [(b, head, d, h, w)] * 2 + [(b, head, e, h, w)] + [(head, window, half)] * 2

    def loop(q, k, v, rows, columns):
        y = torch.zeros(b, head, e, h, w, dtype=q.dtype)

        def place(t, dy, dx):
            return torch.cat([rows[t, dy + reach], columns[t, dx + reach]])

        for n in range(b * head):
            i, t = divmod(n, head)
            for r in range(h):
                for c in range(w):
                    places = [
                        (
                            r + dy,
                            c + dx,
                            torch.cat([rows[t, dy + reach], columns[t, dx + reach]]),
                        )
                        for dy in range(-reach, reach + 1)
                        for dx in range(-reach, reach + 1)
                        if 0 <= r + dy < h and 0 <= c + dx < w
                    ]
                    keys = [k[i, t, :, a, z] for a, z, _ in places]
                    values = [v[i, t, :, a, z] for a, z, _ in places]
                    extra = [x for *_, x in places]
                    y[i, t, :, r, c] = mean(q[i, t, :, r, c], keys, values, extra, 1.0)
        return y

    ways = ["blocked", "reference", *(["native"] if KERNELS["local"] else [])]
    calls = {way: lambda *x, way=way: fast.local_attention(*x, window, way) for way in ways}
    calls["itself"] = lambda *x: stand_alone.local_attention(*x, window)
    return shapes, loop, calls


def relative_case(rng):
    b, head, d, e = (rng.randint(1, 3) for _ in range(4))
    h, w = rng.randint(1, 5), rng.randint(1, 6)
    shapes = [(b, head, h, w, d)] * 2 + [(b, head, h, w, e), (2 * h - 1, d), (2 * w - 1, d)]

    def loop(q, k, v, rows, columns):
        y, pixels = torch.zeros_like(v), [(r, c) for r in range(h) for c in range(w)]
        for n in range(b * head):
            i, t = divmod(n, head)
            for r, c in pixels:
                extra = [rows[a - r + h - 1] + columns[z - c + w - 1] for a, z in pixels]
                keys, values = ([x[i, t, a, z] for a, z in pixels] for x in (k, v))
                y[i, t, r, c] = mean(q[i, t, r, c], keys, values, extra, d**-0.5)
        return y

    ways = ["naive", "skew", "broadcast", "fused", "augmented", "rows"]
    ways += ["native"] if KERNELS["relative_2d"] else []
    calls = {way: lambda *x, way=way: fast.relative_attention_2d(*x, way) for way in ways}
    calls["itself"] = relative_2d.relative_attention_2d
    return shapes, loop, calls


def seen(pattern, i, j, stride, summaries):
    """Whether query i may see key j, as the paper's sets have it."""
    if j > i:
        return False
    if pattern == "fixed":
        return j // stride == i // stride or j % stride >= stride - summaries
    return i - j < stride or (pattern == "strided" and (i - j) % stride == 0)


def sparse_case(rng):
    b, head, d, e = (rng.randint(1, 3) for _ in range(4))
    n, stride = rng.randint(1, 19), rng.randint(1, 6)
    pattern, summaries = rng.choice(["local", "strided", "fixed"]), rng.randint(1, stride)
    shapes = [(b, head, n, d)] * 2 + [(b, head, n, e)]

    def loop(q, k, v):
        y = torch.zeros_like(v)
        for one in range(b * head):
            a, t = divmod(one, head)
            for i in range(n):
                allowed = [j for j in range(n) if seen(pattern, i, j, stride, summaries)]
                keys, values = ([x[a, t, j] for j in allowed] for x in (k, v))
                y[a, t, i] = mean(q[a, t, i], keys, values, [0] * len(keys), d**-0.5)
        return y

    rest = pattern, stride, summaries
    calls = {
        way: lambda *x, way=way: fast.sparse_attention(*x, *rest, implementation=way)
        for way in ("pieces", "reference")
    }
    calls["itself"] = lambda *x: sparse.sparse_attention(*x, *rest)
    return shapes, loop, calls


def plain_case(rng):
    b, head, d, e = (rng.randint(1, 4) for _ in range(4))
    i, j, causal = rng.randint(1, 11), rng.randint(1, 9), rng.random() < 0.5
    masks = [None, (i, j), (b, head, i, j), (1, j), (b, 1, i, 1), (j,)]
    shape = rng.choice(masks)
    mask = None if shape is None else torch.rand(shape) < 0.7
    allowed = torch.ones(b, head, i, j, dtype=torch.bool)
    allowed = allowed if mask is None else allowed & mask
    shapes = [(b, head, i, d), (b, head, j, d), (b, head, j, e)]

    def loop(q, k, v):
        y = torch.zeros(b, head, i, e, dtype=q.dtype)
        for one in range(b * head):
            a, t = divmod(one, head)
            for n in range(i):
                some = [m for m in range(j) if allowed[a, t, n, m] and (m <= n or not causal)]
                if some:
                    keys, values = ([x[a, t, m] for m in some] for x in (k, v))
                    y[a, t, n] = mean(q[a, t, n], keys, values, [0] * len(keys), d**-0.5)
        return y

    calls = {
        way: lambda *x, way=way: fast.scaled_dot_product_attention(
            *x, mask, causal, implementation=way
        )
        for way in ("torch", "tiled", "reference")
    }
    if not causal:
        itself = scaled_dot_product.scaled_dot_product_attention
        calls["itself"] = lambda *x: itself(*x, mask)
    return shapes, loop, calls


KINDS = {
    "local": local_case,
    "relative": relative_case,
    "sparse": sparse_case,
    "plain": plain_case,
}


def outcome(call, tensors, dtype):
    leaves = [x.to(dtype).requires_grad_() for x in tensors]
    y = call(*leaves) + 0 * sum(x.sum() for x in leaves)  # also where nobody attends
    wave = torch.linspace(0, 3, y.numel(), dtype=torch.float64).cos().reshape(y.shape)
    grads = torch.autograd.grad((y * wave.to(dtype)).sum(), leaves, allow_unused=True)
    return [y.detach(), *(torch.zeros_like(x) if g is None else g for x, g in
                          zip(leaves, grads, strict=True))]  # fmt: skip


def main(many: int, first: int = 0) -> None:
    counts, worst = Counter(), 0.0
    for seed in range(first, first + many):
        rng = random.Random(seed)
        torch.manual_seed(seed)
        kind = rng.choice(list(KINDS))
        shapes, loop, calls = KINDS[kind](rng)
        size = rng.choice([0.3, 1.0, 3.0])  # of the numbers: flat maps and peaked ones
        tensors = [size * torch.randn(shape, dtype=torch.float64) for shape in shapes]
        dtype = rng.choice([torch.float64, torch.float64, torch.float32])
        expected = outcome(loop, [x.to(dtype) for x in tensors], torch.float64)
        for way, call in calls.items():
            found = outcome(call, tensors, dtype)
            for a, b in zip(found, expected, strict=True):
                say = f"seed {seed}, {kind} {way}, {shapes}"
                largest = max(1.0, b.abs().max().item() if b.numel() else 1.0)
                a, b = a.double() / largest, b / largest
                assert_close(a, b, **CLOSE[dtype], msg=lambda m, say=say: f"{say}: {m}")
                if dtype == torch.float64 and b.numel():
                    worst = max(worst, (a - b).abs().max().item())
        counts[kind] += 1
        counts["calls"] += len(calls)
    assert math.isfinite(worst)
    print(
        f"{many} cases, {counts['calls']} calls, float64 off by at most {worst:.1e};", end=" "
    )
    print(", ".join(f"{kind} {counts[kind]}" for kind in KINDS))


if __name__ == "__main__":
    torch.set_num_threads(1)
    main(*map(int, sys.argv[1:3]))
