import math

import pytest

from brainexp.cache import Notes


def test_a_value_is_computed_once_per_key(tmp_path):
    notes, calls = Notes(tmp_path), []

    def compute():
        calls.append(1)
        return {"r": 0.25, "none": float("nan")}

    first = notes.kept({"a": 1}, compute)
    again = notes.kept({"a": 1}, compute)
    other = notes.kept({"a": 2}, compute)

    assert len(calls) == 2
    assert first["r"] == again["r"] == other["r"] == 0.25
    assert math.isnan(again["none"])


def test_a_failure_leaves_nothing(tmp_path):
    def fail():
        raise RuntimeError("in the middle")

    with pytest.raises(RuntimeError):
        Notes(tmp_path).kept({"a": 1}, fail)

    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


def test_a_broken_file_is_told_and_made_again(tmp_path, caplog):
    notes = Notes(tmp_path)
    notes.kept({"a": 1}, lambda: 1)
    next(tmp_path.rglob("*.json")).write_text("{")

    assert notes.kept({"a": 1}, lambda: 2) == 2
    assert "is broken" in caplog.text
    assert notes.kept({"a": 1}, lambda: 3) == 2
