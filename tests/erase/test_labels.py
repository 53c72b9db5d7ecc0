import numpy as np
import pytest

from brainexp.erase.labels import coded, shifted
from brainexp.errors import DataError


def test_classes_become_indicators_and_numbers_stay():
    labels = coded(
        {"one": np.array([[1, 5, 0.5], [2, 6, 0.25], [3, 5, 0.0]]), "same": np.array([[1, 7], [1, 8], [1, 8]])}
    )

    assert [(one.name, one.number, one.classes is None) for one in labels.columns] == [
        ("one", 0, False),
        ("one", 1, False),
        ("one", 2, True),
        ("same", 1, False),
    ]
    assert labels.codes.tolist() == [[1, 0, 0, 0, 0.5, 0], [0, 1, 0, 1, 0.25, 1], [0, 0, 1, 0, 0, 1]]
    assert labels.codes_of("same").tolist() == [[0], [1], [1]]
    assert labels.numbers_of("one").shape == (3, 3)


def test_a_property_that_never_varies_is_refused():
    with pytest.raises(DataError, match="property 'flat' is the same for every word"):
        coded({"flat": np.ones((4, 2))})


def test_moved_labels_keep_their_stretches_and_their_story(rng):
    codes = np.repeat(np.arange(20), 5)[:, None].astype(float)

    moved = shifted(codes, [60, 40], rng)

    assert sorted(moved[:60, 0]) == sorted(codes[:60, 0])
    assert (moved == codes).mean() < 0.1
    changes = (np.diff(moved[:, 0]) != 0).sum()
    assert changes <= (np.diff(codes[:, 0]) != 0).sum() + 2
