"""Assemblies of Brain-Score are read by their axes, whatever they are called and however they lie."""

import h5py
import numpy as np
import pytest

from brainexp.dataset.assembly import assembly
from brainexp.errors import DataError
from tests.dataset.array_files import write_assembly

VALUES = np.array([[1.0, 2.0, np.nan], [4.0, 5.0, 6.0]])
ROWS = {"stimulus": ["A dog ran.", "naïve"], "number": np.array([3, 1])}
COLUMNS = {"subject": ["018", "018", "199"]}


@pytest.fixture
def path(tmp_path):
    write_assembly(tmp_path / "assy.nc", VALUES, ROWS, COLUMNS)
    return tmp_path / "assy.nc"


def test_values_and_coordinates_are_read(path):
    held = assembly(path, ["stimulus", "number"], ["subject"], "Get it.")

    np.testing.assert_array_equal(held.values, VALUES)
    assert held.presentation["stimulus"].tolist() == ROWS["stimulus"]
    assert held.presentation["number"].tolist() == [3, 1]
    assert held.neuroid["subject"].tolist() == COLUMNS["subject"]


def test_an_array_of_another_name_whose_axes_lie_the_other_way_is_the_same(tmp_path, path):
    other = tmp_path / "other.nc"
    write_assembly(other, VALUES, ROWS, COLUMNS)
    with h5py.File(other, "r+") as file:
        del file["data"]
        held = file.create_dataset("__xarray_dataarray_variable__", data=VALUES.T)
        held.dims[0].attach_scale(file["neuroid"])
        held.dims[1].attach_scale(file["presentation"])

    np.testing.assert_array_equal(
        assembly(other, ["stimulus"], ["subject"], "").values, assembly(path, ["stimulus"], ["subject"], "").values
    )


def test_a_coordinate_of_the_other_axis_is_none_of_this(path):
    with pytest.raises(
        DataError, match=r"assy\.nc has no coordinate 'subject' of each presentation\. Known: number, stimulus\."
    ):
        assembly(path, ["subject"], [], "Get it.")


def test_two_arrays_along_both_axes_are_one_too_many(path):
    with h5py.File(path, "r+") as file:
        held = file.create_dataset("again", data=VALUES)
        held.dims[0].attach_scale(file["presentation"])
        held.dims[1].attach_scale(file["neuroid"])

    with pytest.raises(DataError, match="needs one array of numbers along presentation and neuroid, but it has 2"):
        assembly(path, [], [], "Get it.")
