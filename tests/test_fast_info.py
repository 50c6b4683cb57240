"""`attncourse info` says which fast implementations there are."""

from attncourse import info
from solutions.fast import local, native, non_local, relative_2d, scaled_dot_product, sparse


def test_what_it_names_is_what_the_files_have(monkeypatch):
    monkeypatch.setattr(native, "available", lambda name: "")
    have = {
        "fast local": local,
        "fast relative": relative_2d,
        "fast sparse": sparse,
        "fast attention": scaled_dot_product,
    }
    said = info.fast()
    assert said.keys() == have.keys()
    for name, module in have.items():
        assert set(said[name].split(", ")) <= set(module.IMPLEMENTATIONS)
    assert set(non_local.IMPLEMENTATIONS) == set(scaled_dot_product.IMPLEMENTATIONS)


def test_without_a_compiler_it_says_why(monkeypatch):
    monkeypatch.setattr(native, "available", lambda name: "no C compiler")
    said = info.fast()
    assert said["fast local"] == "blocked; no native kernel: no C compiler"
    assert said["fast relative"] == "rows, augmented; no native kernel: no C compiler"
