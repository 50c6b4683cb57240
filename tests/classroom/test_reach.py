"""What is needed of a package is found by following names, and nothing else is kept."""

import ast

from attncourse.classroom.reach import NOTHING, Module, Name, Reach

SOURCES = {
    "lib": '"""The library."""\nfrom lib.a import first, second\nSPARE = 1\n',
    "lib.a": (
        '"""One.\n\nMore of it."""\nimport math\nimport os\nfrom lib import b\n'
        "SCALE = math.pi\nOTHER = os.name\n"
        "def first(x):\n    return helper(x) * SCALE\n"
        "def helper(x):\n    return b.third(x)\n"
        "def second(x):\n    from lib.c import late\n    return late(x)\n"
        "first.seen = True\n"
        "register = []\nregister.append(second)\nprint(SCALE)\n"
    ),
    "lib.b": "def third(x):\n    return x\ndef fourth(x):\n    return x\n",
    "lib.c": "def late(x):\n    return x\n",
    "user": "from lib import first\n",
}


def read(name):
    return Module(name, SOURCES[name]) if name in SOURCES else None


MODULES = {name: Module(name, text) for name, text in SOURCES.items()}


def reached(*wanted, whole=lambda name: False):
    reach = Reach(MODULES.get, whole)
    reach.add(wanted, "the test")
    return reach


def bound_in(text):
    return {getattr(node, "name", None) for node in ast.parse(text).body} - {None}


def test_names_are_followed_through_packages_and_modules():
    reach = reached(Name("user"))
    assert bound_in(reach.text("lib.a")) == {"first", "helper"}
    assert bound_in(reach.text("lib.b")) == {"third"}
    assert "lib.c" not in reach.kept


def test_of_imports_and_statements_what_is_used_stays():
    text = reached(Name("user")).text("lib.a")
    assert "import math" in text
    assert "import os" not in text
    assert "SCALE = math.pi" in text
    assert "OTHER" not in text
    assert "first.seen = True" in text
    assert "print(SCALE)" in text
    assert "register" not in text
    assert text.startswith('"""One."""')
    assert "More of it" not in text


def test_an_import_inside_a_function_is_followed():
    assert bound_in(reached(Name("lib.a", "second")).text("lib.c")) == {"late"}


def test_a_package_hands_on_only_what_is_asked_for():
    assert (
        reached(Name("user")).text("lib") == '"""The library."""\n\nfrom lib.a import first\n'
    )


def test_a_module_that_is_kept_whole_stays_to_the_letter():
    reach = reached(Name("lib.b", NOTHING), whole=lambda name: name == "lib.b")
    assert reach.text("lib.b") == SOURCES["lib.b"]


def test_why_something_is_there_is_told():
    assert reached(Name("user")).why[Name("lib.b", "third")] == "lib.a.helper"
