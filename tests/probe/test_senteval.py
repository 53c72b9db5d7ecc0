import numpy as np
import pytest

from brainexp.errors import ConfigError, DataError
from brainexp.probe.senteval import COMPETENCE, SentEval, drawn

LINES = [
    f"{split}\t{label}\t{label} fox number {at} of {split} ."
    for split, n in (("tr", 40), ("va", 12), ("te", 12))
    for at in range(n)
    for label in ("PAST", "PRES")
]


def written(tmp_path, lines=LINES, name="past_present", end="\n"):
    (tmp_path / f"{name}.txt").write_bytes((end.join(lines) + end).encode())
    return SentEval(folder=str(tmp_path))


@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_sentences_labels_and_splits_are_read(tmp_path, end):
    task = written(tmp_path, end=end).offered()["past_present"]()

    assert (task.competence, task.n_labels) == ("semantics", 2)
    assert {split: len(task.rows(split)) for split in ("train", "dev", "test")} == {"train": 80, "dev": 24, "test": 24}
    for slots, label in zip(task.slots, task.labels, strict=True):
        assert task.passages[slots[0][0]].text.startswith(["PAST", "PRES"][label])
        assert not task.passages[slots[0][0]].text.endswith("\r")


def test_a_sentence_that_comes_twice_is_read_once(tmp_path):
    task = written(tmp_path, [*LINES, "tr\tPAST\tPAST fox number 0 of tr ."]).offered()["past_present"]()

    assert len(task.passages) == len(LINES)
    assert len(task.labels) == len(LINES) + 1


def test_fewer_samples_are_drawn_from_each_split_alike():
    split = np.array(["train"] * 100 + ["test"] * 5)

    kept = drawn(split, 10)

    assert (kept < 100).sum() == 10
    assert (kept >= 100).sum() == 5
    assert kept[9] > 20  # from all over, not the first
    np.testing.assert_array_equal(drawn(split, None), np.arange(105))


def test_only_files_that_are_there_are_offered(tmp_path):
    assert list(written(tmp_path).offered()) == ["past_present"]
    assert len(COMPETENCE) == 10


def test_bad_files_and_options_are_refused(tmp_path):
    with pytest.raises(DataError, match=r"has none of sentence_length, .*data/probing of SentEval"):
        SentEval(folder=str(tmp_path)).offered()
    with pytest.raises(DataError, match=r"past_present.txt, line 129 is not tr, va or te"):
        written(tmp_path, [*LINES, "train\tPAST\ta fox"]).offered()["past_present"]()
    with pytest.raises(ConfigError, match="most_samples must be at least 10 or null, got 3"):
        SentEval(folder=str(tmp_path), most_samples=3)
