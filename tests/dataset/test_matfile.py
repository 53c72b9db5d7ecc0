"""MATLAB files of both kinds come as the same plain values."""

from pathlib import Path

import numpy as np
import pytest
import scipy.io

from brainexp.dataset.matfile import listed, mat_shape, matfile
from brainexp.errors import DataError
from tests.dataset.array_files import write_mat5, write_mat73

VARIABLES = {
    "examples": np.arange(12.0).reshape(4, 3),
    "sentences": ["A dog ran.", "naïve", "", "Oh!"],
    "one": ["alone"],
    "nested": [["first"], ["second"]],
    "labels": np.array([[1.0], [1.0], [2.0]]),
    "meta": {
        "dimx": 5.0,
        "names": ["left", "right"],
        "inner": {"masks": [np.array([[1.0], [np.nan]]), np.array([[3.0]])]},
    },
}


@pytest.fixture(params=[write_mat5, write_mat73])
def path(request, tmp_path):
    request.param(tmp_path / "file.mat", VARIABLES)
    return tmp_path / "file.mat"


def test_both_versions_give_the_same_plain_values(path):
    held = matfile(path, list(VARIABLES), "Get it.")

    np.testing.assert_array_equal(held["examples"], VARIABLES["examples"])
    assert held["sentences"] == VARIABLES["sentences"]
    assert [listed(one)[0] for one in held["nested"]] == ["first", "second"]
    assert listed(held["one"]) == ["alone"]
    assert held["labels"].tolist() == [1, 1, 2]
    assert float(held["meta"]["dimx"]) == 5
    assert held["meta"]["names"] == ["left", "right"]
    first, second = held["meta"]["inner"]["masks"]
    np.testing.assert_array_equal(first, [1, np.nan])
    assert float(second) == 3


def test_only_what_is_asked_for_is_read(path):
    assert matfile(path, ["labels"], "Get it.").keys() == {"labels"}


def test_shapes_are_known_without_reading(path):
    assert mat_shape(path, "examples", "Get it.") == (4, 3)
    assert mat_shape(path, "labels", "Get it.") == (3, 1)


def test_what_is_not_there_is_told_with_what_is(path):
    with pytest.raises(DataError, match=r"file\.mat has no variable 'exampels'\. Did you mean 'examples'\?.* Get it\."):
        matfile(path, ["exampels"], "Get it.")


@pytest.mark.parametrize("share", [0.2, 0.6, 0.95])
def test_a_file_that_is_cut_off_is_told_and_not_taken_for_one_with_fewer_variables(path, share):
    content = path.read_bytes()
    path.write_bytes(content[: int(share * len(content))])

    with pytest.raises(
        DataError, match=r"file\.mat of \d+ bytes is truncated or damaged \(.+\)\. Remove it and fetch it again"
    ):
        matfile(path, list(VARIABLES), "Get it.")


@pytest.mark.parametrize("compressed", [True, False])
def test_whole_files_pass_whether_compressed_or_not(tmp_path, compressed):
    given = {"examples": np.arange(6.0).reshape(2, 3), "odd": np.arange(3, dtype=np.uint8), "text": "abc"}
    scipy.io.savemat(tmp_path / "file.mat", given, do_compression=compressed)

    held = matfile(tmp_path / "file.mat", list(given), "Get it.")

    np.testing.assert_array_equal(held["examples"], given["examples"])
    assert held["text"] == "abc"


def test_bytes_that_are_changed_are_told(tmp_path):
    write_mat5(tmp_path / "file.mat", VARIABLES)
    content = bytearray((tmp_path / "file.mat").read_bytes())
    content[160:170] = b"0123456789"
    (tmp_path / "file.mat").write_bytes(content)

    with pytest.raises(DataError, match="is truncated or damaged"):
        matfile(tmp_path / "file.mat", ["examples"], "Get it.")


def test_a_file_that_is_none_is_told(tmp_path):
    path = Path(tmp_path / "file.mat")
    path.write_bytes(b"\x89HDF\r\n\x1a\n" + bytes(64))

    with pytest.raises(DataError, match=r"is no MATLAB file: it begins with b'\\x89HDF"):
        mat_shape(path, "examples", "Get it.")
