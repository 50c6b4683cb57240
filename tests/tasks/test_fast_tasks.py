"""Chapter 11's clock, its machine that gets warm, and its pixels."""

import math
import re
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from attncourse.tasks import fast as fast_tasks
from attncourse.tasks.fast import (
    Warming,
    alike,
    how_many,
    in_blocks_of,
    largest_kept,
    seconds,
    through_kernel,
    tiles_touched,
    turns,
)
from attncourse.tasks.pictures import photograph
from solutions.fast import gpu
from solutions.fast.kernel import online_step
from solutions.scaled_dot_product import scaled_dot_product_attention
from solutions.stand_alone import windows

try:
    import triton.language as tl  # a step has to see it
except ImportError:
    tl = None

ROOT = Path(__file__).parents[2]

# time


def test_ways_take_turns_and_the_first_round_does_not_count():
    machine, said = Warming(slower=0.01), []
    calls = {
        name: lambda name=name: (said.append(name), machine.work(name)) for name in ("a", "b")
    }
    spent = turns(calls, rounds=3, now=machine.now)
    assert said == ["a", "b"] * 4
    assert spent["a"] == pytest.approx([1.02, 1.04, 1.06])
    assert spent["b"] == pytest.approx([1.03, 1.05, 1.07])


def test_the_median_is_of_the_warm_calls():
    machine = Warming(cold=9)
    assert seconds(machine.work, now=machine.now) == pytest.approx(1)
    machine = Warming(late=50, every=4)
    assert seconds(machine.work, rounds=7, now=machine.now) == pytest.approx(1)


def test_gradients_are_off_while_the_time_is_taken():
    asked = []
    turns({"": lambda: asked.append(torch.is_grad_enabled())}, rounds=2)
    assert asked == [False] * 3
    assert torch.is_grad_enabled()


def test_one_thread_is_measured_by_the_processors_clock(monkeypatch):
    monkeypatch.setattr(fast_tasks.torch, "get_num_threads", lambda: 1)
    steps = SimpleNamespace(resolution=1e-9)
    monkeypatch.setattr(fast_tasks.time, "get_clock_info", lambda name: steps)
    assert fast_tasks.clock() is fast_tasks.time.process_time
    steps.resolution = 0.015
    assert fast_tasks.clock() is fast_tasks.time.perf_counter
    steps.resolution = 1e-9
    monkeypatch.setattr(fast_tasks.torch, "get_num_threads", lambda: 2)
    assert fast_tasks.clock() is fast_tasks.time.perf_counter


def test_a_machine_does_the_same_every_time():
    def passed():
        machine = Warming(slower=0.1, cold=2, late=5, every=3)
        return [(machine.work("a"), machine.now())[1] for _ in range(4)]

    assert passed() == passed() == pytest.approx([3, 4.1, 10.3, 11.6])


def test_what_autograd_keeps_is_counted():
    x, y = torch.randn(3, 5, requires_grad=True), torch.randn(5, 7)
    assert largest_kept(lambda: x @ y) == 35  # of the two, the factor of x
    assert largest_kept(lambda: (x @ y).softmax(-1)) == 35
    assert largest_kept(lambda: x + 1) == 0


# Triton


def test_the_kernel_attends_with_a_step_from_outside():
    if why := gpu.available("cpu"):
        pytest.skip(why)
    torch.manual_seed(0)
    q, k, v = torch.randn(5, 3), torch.randn(7, 3), torch.randn(7, 2)
    y, lse = through_kernel(online_step, q, k, v)
    scores = q @ k.T / math.sqrt(3)
    assert torch.allclose(y, scores.softmax(-1) @ v, atol=1e-6)
    assert torch.allclose(lse, scores.logsumexp(-1), atol=1e-6)


def unfinished(scores, v, largest, total, read):
    raise NotImplementedError


def wrong(scores, v, largest, total, read):
    return largest, total


def test_a_step_that_is_not_written_says_so_and_one_that_fails_does_not():
    if why := gpu.available("cpu"):
        pytest.skip(why)
    x = torch.randn(5, 3)
    with pytest.raises(NotImplementedError):
        through_kernel(unfinished, x, x, x)
    with pytest.raises(Exception, match="ValueError") as caught:
        through_kernel(wrong, x, x, x)
    assert not isinstance(caught.value, NotImplementedError)


def test_without_triton_it_says_why(monkeypatch, capsys):
    monkeypatch.setattr(fast_tasks.gpu, "available", lambda device: f"no Triton for {device}")
    x = torch.randn(5, 3)
    assert through_kernel(online_step, x, x, x) is None
    assert capsys.readouterr().out == "left out: no Triton for cpu\n"


def test_the_lines_that_the_notebook_explains_are_those_of_the_kernel():
    script = (ROOT / "notebooks/src/11_fast.py").read_text(encoding="utf-8")
    kernel = (ROOT / "solutions/fast/kernel_triton.py").read_text(encoding="utf-8")
    excerpts = re.findall(r"^# ```python\n(.*?)^# ```", script, re.DOTALL | re.MULTILINE)
    lines = [line.removeprefix("# ").strip() for part in excerpts for line in part.splitlines()]
    assert len(lines) > 5
    for line in lines:
        assert line in kernel


# pixels


def test_scores_of_alike_pixels_are_distances_of_colours():
    picture, sigma = photograph("china", 7, 9), 0.2
    q, k, v = alike(picture, sigma)
    scores = q @ k.T / math.sqrt(q.shape[-1])
    own = (v / sigma).square().sum(-1, keepdim=True) / 2
    apart = (v[:, None] - v).square().sum(-1) / (2 * sigma**2)
    assert torch.allclose(scores, own - apart, atol=1e-4)
    y = scaled_dot_product_attention(q, k, v)
    assert torch.allclose(y, (-apart).softmax(-1) @ v, atol=1e-5)
    count = how_many(picture, sigma, scores.logsumexp(-1))
    assert torch.allclose(count.flatten(), (-apart).exp().sum(-1), rtol=1e-3)


def test_as_many_pixels_as_have_the_colour():
    picture = torch.full((5, 7, 3), 0.25)
    picture[:2] = 0.75
    q, k, _ = alike(picture.double(), 0.01)
    count = how_many(picture.double(), 0.01, (q @ k.T / 2).logsumexp(-1))
    assert torch.allclose(count[:2], torch.tensor(14.0).double())
    assert torch.allclose(count[2:], torch.tensor(21.0).double())


def test_blocks_hold_the_pixels_of_their_square():
    order = in_blocks_of(2, 4, 6)
    assert order[:4].tolist() == [0, 1, 6, 7]
    assert order[4:8].tolist() == [2, 3, 8, 9]
    assert sorted(order.tolist()) == list(range(24))
    with pytest.raises(ValueError, match="6 is not a multiple of block=4"):
        in_blocks_of(4, 4, 6)


def test_a_tile_is_touched_where_a_pair_counts():
    seen = torch.zeros(6, 9, dtype=torch.bool)
    seen[2, 3] = seen[5, 8] = True
    assert tiles_touched(seen, 3).tolist() == [[False, True, False], [False, False, True]]


def test_windows_touch_fewer_tiles_in_the_order_of_blocks():
    h, w = 12, 48  # a row is three tiles long
    line = torch.arange(h * w).reshape(h, w)
    near = torch.zeros(h * w, h * w + 1, dtype=torch.bool)
    keys = windows(line + 1, 5).flatten(2).flatten(0, 1)
    near = near.scatter(1, keys, True)[:, 1:]
    order = in_blocks_of(4, h, w)
    by_blocks = near[order][:, order]
    assert near.sum() == by_blocks.sum()
    assert tiles_touched(by_blocks, 16).sum() < tiles_touched(near, 16).sum()
