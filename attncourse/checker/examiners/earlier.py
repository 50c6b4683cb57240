"""Does a module wait for an earlier exercise, which its `__init__` calls?"""

from attncourse.checker.case import Case, is_unwritten
from attncourse.checker.verdict import NOT_ATTEMPTED, Verdict


def examine(case: Case) -> Verdict | None:
    if not (case.ex.is_module and isinstance(case.answer, type)) or "__init__" in case.ex.blank:
        return None
    if not is_unwritten(case.results[0].fault):
        return None
    text = "`__init__` calls something that you have not written yet: that comes first."
    return Verdict(case.ex.id, NOT_ATTEMPTED, text)
