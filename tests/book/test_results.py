"""What is kept says how it was obtained."""

import pytest

from attncourse.book.results import FOLDER, result, together


@pytest.mark.parametrize("path", sorted(FOLDER.glob("*.json")), ids=lambda path: path.stem)
def test_a_result_names_its_seeds_its_hardware_and_its_time(path):
    kept = result(path.stem)
    assert kept["seeds"]
    assert kept["hardware"]
    assert kept["minutes"] > 0
    assert kept["versions"]["torch"]


def test_the_translator_has_its_signature_and_its_curves():
    kept = result("translate")
    assert "version:" in kept["signature"]
    assert all(len(curve) == kept["epochs"] for curve in kept["curves"].values())


def test_a_result_that_is_not_there_is_one_line():
    with pytest.raises(
        FileNotFoundError, match=r"no result 'nothing' in .*there are: .*translate"
    ):
        result("nothing")


def one(seed, **more):
    settings = {"dim": 4, "seed": seed}
    return (
        dict(seeds=[seed], bleu=30.0 + seed, settings=settings, versions={}, hardware="") | more
    )


def test_runs_of_several_seeds_are_kept_side_by_side():
    both = together([one(3), one(5)], "bleu")
    assert both["seeds"] == [3, 5]
    assert both["runs"] == [{"seed": 3, "bleu": 33.0}, {"seed": 5, "bleu": 35.0}]
    assert both["bleu"] == 33.0


def test_only_the_seed_may_differ():
    with pytest.raises(ValueError, match=r"differ in their settings: .*4.* and .*8"):
        together([one(0), one(1, settings={"dim": 8, "seed": 1})])
    with pytest.raises(ValueError, match="differ in their versions"):
        together([one(0), one(1, versions={"torch": "3"})])
    with pytest.raises(ValueError, match="a seed comes twice"):
        together([one(2), one(2)])
