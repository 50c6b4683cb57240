"""What is kept says how it was obtained."""

import pytest

from attncourse.results import FOLDER, result


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
