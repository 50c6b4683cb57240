"""It ends: an answer that does not, or that takes all the memory, is stopped and told where."""

import itertools
import re
import sys
import threading
import time

import numpy as np
import pytest
import torch
from told import HEADS, SOFTMAX, first_line

from attncourse import check
from attncourse.checker import ending
from attncourse.checker.ending import limited
from attncourse.checker.sheet import sheet
from solutions.multi_head import MultiHeadAttention
from solutions.scaled_dot_product import softmax

END = "does not come to an end: stopped after"
LINUX = pytest.mark.skipif(sys.platform != "linux", reason="only Linux refuses memory")


def loops(x):
    while not x.isinf().all():
        x = x + 0
    return x


def loops_in_a_loop(x):
    ended = False
    while not ended:
        for _ in range(3):
            x = x * 1
    return x


def swallows(x):
    while True:
        try:
            time.sleep(0.01)
        except:  # noqa: E722
            pass


def swallows_in_a_helper(x):
    def step():
        time.sleep(0.001)

    while True:
        try:
            step()
        except BaseException:
            continue


def computes_and_swallows(x):
    while True:
        try:
            for _ in range(100):
                x = x + 1
        except:  # noqa: E722
            x = x - 1


def never_ends_an_iterator(x):
    for n in itertools.count():
        x = x + n


def in_a_generator(x):
    def all_numbers():
        n = 0
        while True:
            n += 1
            yield n

    return x * sum(all_numbers())


def calls_itself_with_no_limit(x):
    sys.setrecursionlimit(10**9)

    def deeper(n):
        while True:
            n = n + 1

    return deeper(0)


@pytest.mark.parametrize(
    ("answer", "line"),
    [
        (loops, "in line 2, `while not x.isinf().all():`"),
        (loops_in_a_loop, "in line 3, `while not ended:`"),
        (swallows, "in line 4, `time.sleep(0.01)`"),
        (swallows_in_a_helper, "in line"),
        (computes_and_swallows, "in line 2, `while True:`"),
        (never_ends_an_iterator, "in line 2, `for n in itertools.count():`"),
        (in_a_generator, "in line 3 of `all_numbers`, `while True:`"),
        (calls_itself_with_no_limit, "in line 2 of `deeper`, `while True:`"),
    ],
)
def test_an_answer_that_does_not_end_is_stopped_and_its_line_named(answer, line):
    recursion = sys.getrecursionlimit()
    verdict = check(SOFTMAX, answer, seconds=0.5)
    assert verdict.status == "not yet"
    assert END in first_line(verdict)
    assert line in first_line(verdict)
    assert sys.getrecursionlimit() == recursion
    assert sys.gettrace() is None or "ending" not in repr(sys.gettrace())


def test_one_that_sleeps_is_woken():
    def sleeps(x):
        time.sleep(1000)

    verdict = check(SOFTMAX, sleeps, seconds=0.3)
    assert f"{END} {0.3 * ending.PATIENCE:g} s in line 2, `time.sleep(1000)`" in verdict.message
    assert "waits" in verdict.message


ENDED = pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")


@ENDED
def test_one_that_waits_for_its_own_thread_is_stopped_and_so_is_the_thread():
    def spins(x):
        def turn():
            while True:
                pass

        thread = threading.Thread(target=turn, name="spinning")
        thread.start()
        thread.join()

    verdict = check(SOFTMAX, spins, seconds=0.3)
    assert "in line 8, `thread.join()`" in first_line(verdict)
    ends("spinning")


def ends(name):
    """That every thread of this name comes to its end."""
    for thread in threading.enumerate():
        if thread.name == name:
            thread.join(600)  # only so that one which does not end is told
            assert not thread.is_alive()


@ENDED
def test_a_thread_that_an_answer_leaves_behind_is_ended():
    started = []

    def leaves_one(x):
        def turn():
            started.append(threading.current_thread())
            while True:
                time.sleep(0.02)

        threading.Thread(target=turn, name="left behind").start()
        return softmax(x)

    check(SOFTMAX, leaves_one)
    assert started
    ends("left behind")
    assert not any(thread.is_alive() for thread in started)


class InInit(MultiHeadAttention):
    def __init__(self, dim, heads):
        super().__init__(dim, heads)
        while heads:
            heads = heads + 1


class InAProperty(MultiHeadAttention):
    @property
    def attention(self):
        n = 0
        while n >= 0:
            n += 1


@pytest.mark.parametrize(
    ("answer", "line"),
    [
        (InInit, "in line 3 of `__init__`, `while heads:`"),
        (InAProperty, "in line 4 of `attention`, `while n >= 0:`"),
    ],
)
def test_modules_are_stopped_as_well(answer, line):
    verdict = check(HEADS, answer, seconds=0.5)
    assert "`MultiHeadAttention` does not come to an end" in first_line(verdict)
    assert line in first_line(verdict)


@pytest.mark.parametrize("answer", [loops, computes_and_swallows, swallows])
def test_it_is_stopped_outside_of_the_main_thread_too(answer):
    found = []
    thread = threading.Thread(target=lambda: found.append(check(SOFTMAX, answer, seconds=0.5)))
    thread.start()
    thread.join(60)
    assert END in first_line(found[0])


def test_where_there_are_no_signals_an_exception_is_raised(monkeypatch):
    """As on Windows."""
    monkeypatch.delattr(ending.signal, "pthread_kill")
    monkeypatch.delattr(ending.signal, "SIGURG")
    assert "in line 2, `while not x" in first_line(check(SOFTMAX, loops, seconds=0.5))
    assert END in first_line(check(SOFTMAX, computes_and_swallows, seconds=0.5))


def test_many_calls_that_end_are_called_slow():
    def slow(x):
        then = time.process_time() + 0.1
        while time.process_time() < then:
            pass
        return softmax(x)

    verdict = check(SOFTMAX, slow, seconds=0.35)
    assert "is too slow: all calls of a check together took over 0.35 s" in first_line(verdict)


def test_nothing_is_left_half_done():
    sheet.cache_clear()
    assert END in check(SOFTMAX, loops, seconds=0.2).message
    assert END in check(HEADS, InInit, seconds=0.2).message
    assert check(HEADS, MultiHeadAttention).message.startswith("`attention`")
    assert torch.is_grad_enabled()


def test_what_is_ours_is_not_broken_off():
    with limited(0.05) as guard, ending.undisturbed():
        then = time.process_time() + 0.2
        while time.process_time() < then:
            pass
    assert not guard.over


def test_the_guard_costs_little():
    start = time.thread_time()
    for _ in range(20):
        with limited():
            pass
    assert (time.thread_time() - start) / 20 < 0.005


# ---------------------------------------------------------------- memory


def one_tensor(x):
    scores = x.new_zeros(40_000, 1_000_000)
    return softmax(x) + scores.sum()


def beyond_all(x):
    return x.new_zeros(10**6, 10**6, 10**8)


def by_numpy(x):
    return np.zeros(10**11)


def by_lists(x):
    return [0] * 10**11


def many(x):
    kept = []
    while True:
        kept.append(torch.ones(10_000_000))


@LINUX
@pytest.mark.parametrize(
    ("answer", "says"),
    [
        (one_tensor, r"makes a tensor of 320 GB in line 2, `scores = x.new_zeros"),
        (beyond_all, r"makes a tensor of sizes \[1000000, 1000000, 100000000\] in line 2"),
        (by_numpy, r"makes a tensor of 800 GB in line 2, `return np.zeros"),
        (by_lists, r"takes all the memory: stopped at 0.537 GB in line 2, `return \[0\]"),
        (many, r"takes all the memory: stopped at 0.537 GB in line \d"),
    ],
)
def test_what_takes_all_the_memory_is_refused(answer, says, monkeypatch):
    import resource

    monkeypatch.setattr(ending, "MEMORY", 2**29)

    before = resource.getrlimit(resource.RLIMIT_AS)
    verdict = check(SOFTMAX, answer)
    assert verdict.slip == "takes_all_the_memory"
    assert re.search(says, first_line(verdict))
    assert resource.getrlimit(resource.RLIMIT_AS) == before


def test_where_no_system_refuses_what_grows_is_stopped(monkeypatch):
    monkeypatch.setattr(ending, "_limits_address_space", lambda: False)
    monkeypatch.setattr(ending, "MEMORY", 2**28)

    def grows(x):
        kept = []
        while True:
            kept.append(torch.ones(1_000_000))
            time.sleep(0.01)

    assert "takes all the memory" in first_line(check(SOFTMAX, grows))
