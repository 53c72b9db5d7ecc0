import numpy as np
import pytest

from brainexp.containers import Passage
from brainexp.errors import DataError
from brainexp.probe.task import Task, collected


def task(**changed):
    options = {
        "name": "toy",
        "competence": "syntax",
        "phenomenon": "toy",
        "passages": (Passage("a b", ((0, 1), (2, 3))), Passage("c", ((0, 1),)), Passage("d e", ((0, 1), (0, 3)))),
        "slots": (((0,), (1,)), ((2,), (0, 1)), ((3,), (4,))),
        "labels": np.array([0, 1, 0]),
        "n_labels": 2,
        "split": np.array(["train", "train", "dev"]),
    } | changed
    return Task(**options)


@pytest.fixture
def whole():
    return task(
        slots=(((0,), (1,)), ((2,), (0, 1)), ((3,), (4,)), ((0,), (4,))),
        labels=np.array([0, 1, 0, 1]),
        split=np.array(["train", "train", "dev", "test"]),
    )


def test_features_are_averaged_inside_an_input_and_put_side_by_side_between_them(whole):
    layer = np.arange(10.0).reshape(5, 2)

    np.testing.assert_array_equal(whole.features(layer), [[0, 1, 2, 3], [4, 5, 1, 2], [6, 7, 8, 9], [0, 1, 8, 9]])


def test_a_subset_reads_only_its_own_stretches_and_has_the_same_features(whole):
    layer = np.arange(10.0).reshape(5, 2)
    rows = np.array([0, 1, 3])
    with pytest.raises(DataError, match="has no dev samples"):
        whole.subset(rows)

    assert whole.subset(np.arange(4)).passages == whole.passages

    fewer = task(
        slots=(((2,), (2,)), ((3,), (3,)), ((2,), (3,)), ((0,), (0,))),
        labels=np.array([0, 1, 0, 1]),
        split=np.array(["train", "train", "dev", "test"]),
    )
    kept = fewer.subset(np.array([0, 1, 2, 3]))
    assert kept.passages == (Passage("a b", ((0, 1),)), Passage("c", ((0, 1),)), Passage("d e", ((0, 1),)))
    np.testing.assert_array_equal(kept.features(layer[[0, 2, 3]]), fewer.features(layer))


def test_each_text_is_read_once():
    passages, at = collected([("a b", (0, 1)), ("c", (0, 1)), ("a b", (2, 3)), ("a b", (0, 1))])

    assert passages == (Passage("a b", ((0, 1), (2, 3))), Passage("c", ((0, 1),)))
    assert at.tolist() == [0, 2, 1, 0]


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({}, "task 'toy' has no test samples. It needs some of train, dev and test."),
        ({"labels": np.zeros(2, int)}, "3 samples, 2 labels and 3 splits"),
        (
            {"split": np.array(["train", "dev", "test"]), "slots": (((0,),), ((0,), (1,)), ((0,),))},
            "samples have 1 to 2 inputs",
        ),
        ({"split": np.array(["train", "dev", "test"])}, "has one label in training"),
    ],
)
def test_impossible_tasks_are_refused(changed, message):
    with pytest.raises(DataError, match=message):
        task(**changed)
