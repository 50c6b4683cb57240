"""Of a count: which term of the sizes is counted too often or too rarely?"""

import math
from collections.abc import Mapping, Sequence
from itertools import combinations, product
from typing import Any

from attncourse.checker.departure import Departure
from attncourse.checker.fault import Fault
from attncourse.checker.running import attempt


def explain(departure: Departure) -> Fault | None:
    if not departure.wrong:
        return None
    case, probe = departure.case, departure.probe
    mine = case.outcomes(probe)
    right = [case.sheet.expected(i, probe) for i in case.sheet.declared]
    if not all(type(y) is int for y in (*mine, *right)):
        return None
    inputs = [case.trials[i].inputs for i in case.sheet.declared]
    said = attempt(lambda: count_in_letters(inputs, mine, right))
    return Fault(said, (departure.wrong, departure.seen)) if isinstance(said, str) else None


def count_in_letters(
    inputs: Sequence[Mapping[str, Any]], mine: Sequence[int], right: Sequence[int]
) -> str | None:
    """What is counted too often or too rarely, if it is one term of the sizes, or two."""
    sizes = [{n: x for n, x in given.items() if isinstance(x, int)} for given in inputs]
    off = [a - b for a, b in zip(mine, right, strict=True)]
    if len(off) < 3 or not any(off):
        return None
    names = list(sizes[0])
    powers = [
        p for p in product(range(3), repeat=len(names)) if 0 < sum(p) <= 4 and p.count(2) < 2
    ]
    terms = {
        p: [math.prod(s[n] ** e for n, e in zip(names, p, strict=True)) for s in sizes]
        for p in powers
    }
    for p, values in sorted(terms.items(), key=lambda item: (sum(item[0]), item[0])):
        times = off[0] / values[0]
        if abs(times) <= 16 and times == int(times):
            if all(o == times * v for o, v in zip(off, values, strict=True)):
                return _excess([(int(times), p)], names)
    simple = sorted(terms, key=lambda p: (sum(p), p))
    for p, r in combinations(simple, 2):
        a, b = terms[p], terms[r]
        det = a[0] * b[1] - a[1] * b[0]
        if not det:
            continue
        one = (off[0] * b[1] - off[1] * b[0]) / det
        two = (a[0] * off[1] - a[1] * off[0]) / det
        if not (0 < abs(one) <= 8 and 0 < abs(two) <= 8) or one % 1 or two % 1:
            continue
        if all(o == one * x + two * y for o, x, y in zip(off, a, b, strict=True)):
            return _excess([(int(one), p), (int(two), r)], names)
    return None


def _excess(terms: list[tuple[int, tuple[int, ...]]], names: list[str]) -> str:
    def written(times: int, powers: tuple[int, ...]) -> str:
        factors = [f"{n}²" if e == 2 else n for n, e in zip(names, powers, strict=True) if e]
        return " ".join([*([str(abs(times))] if abs(times) != 1 else []), *factors])

    more = [written(t, p) for t, p in terms if t > 0]
    less = [written(t, p) for t, p in terms if t < 0]
    text = " and ".join(
        part
        for part in (
            f"{' + '.join(more)} too many" if more else "",
            f"{' + '.join(less)} too few" if less else "",
        )
        if part
    )
    return f"You count {text}."
