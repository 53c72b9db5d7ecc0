import pytest

from brainexp.dataset.subjects import named, present
from brainexp.errors import ConfigError

DECLARED = ("UTS01", "UTS02", "UTS13")


@pytest.mark.parametrize(
    ("asked", "names"),
    [
        ("all", DECLARED),
        ("UTS02", ("UTS02",)),
        (13, ("UTS13",)),
        ((13, "UTS01"), ("UTS13", "UTS01")),
        ([1, 2], DECLARED[:2]),
    ],
)
def test_names_and_numbers_are_taken_in_their_order(asked, names):
    assert named(asked, DECLARED, "lab") == names


def test_an_unknown_number_is_told_as_a_name():
    with pytest.raises(ConfigError, match=r"unknown subject '3' of lab\. .*Known: UTS01, UTS02, UTS13"):
        named([3], DECLARED, "lab")


def test_all_are_those_on_disk_and_others_are_told():
    assert present("all", ("UTS13", "UTS01", "notes"), DECLARED, "lab", "FOLDER") == ("UTS01", "UTS13")
    assert present(1, ("UTS01",), DECLARED, "lab", "FOLDER") == ("UTS01",)
    with pytest.raises(
        ConfigError, match=r"lab: FOLDER has no subject UTS02, UTS13; there are: UTS01\. Fetch what is missing"
    ):
        present([2, 13, 1], ("UTS01",), DECLARED, "lab", "FOLDER")
    with pytest.raises(ConfigError, match=r"FOLDER has no subject at all; there are: none"):
        present("all", (), DECLARED, "lab", "FOLDER")
