"""A record that waits in a file is the one that was written."""

import json
import math

import pytest

from brainexp.errors import DataError
from brainexp.tracking.record import RECORD_FILE, Point, Record, log_params, log_values

RECORD = Record(
    id="r1",
    name="a · b",
    started_ms=1,
    ended_ms=2,
    params={"model": "a"},
    tags={"brainexp.family": "gpt2"},
    points=(Point("r", 0.1 + 0.2), Point("layer/r", -0.5, 3), Point("none", math.nan), Point("much", math.inf)),
    inputs=(
        {
            "name": "alice",
            "context": "dataset",
            "source": "https://doi.org/10.1/x",
            "digest": "0" * 64,
            "licence": "CC0",
        },
    ),
)


def test_it_is_read_as_it_was_written(tmp_path):
    RECORD.save(tmp_path)

    read = Record.load(tmp_path)

    assert [one.name for one in tmp_path.iterdir()] == [RECORD_FILE]
    assert str(read) == str(RECORD)  # NaN is not equal to itself
    json.loads((tmp_path / RECORD_FILE).read_text(), parse_constant=lambda name: pytest.fail(f"{name} is no JSON"))


def test_a_kill_leaves_the_old_one_whole(tmp_path, monkeypatch):
    RECORD.save(tmp_path)

    def killed(*given):
        raise KeyboardInterrupt

    monkeypatch.setattr("pathlib.Path.replace", killed)
    with pytest.raises(KeyboardInterrupt):
        Record("r2", "other", 0, 0).save(tmp_path)

    assert Record.load(tmp_path).id == "r1"
    assert [one.name for one in tmp_path.iterdir()] == [RECORD_FILE]


@pytest.mark.parametrize(
    "content", ["", "[]", "{}", '{"id": "x", "points": [["a", "b", 0]]}', '{"points": [], "inputs": []}']
)
def test_what_is_no_record_is_named(content, tmp_path):
    (tmp_path / RECORD_FILE).write_text(content)

    with pytest.raises(DataError, match=f"{RECORD_FILE} is no record of a run"):
        Record.load(tmp_path)


def test_what_is_told_twice_is_there_once(store):
    many = {f"p{number}": str(number) for number in range(250)}
    points = tuple(Point(f"m{number}", float(number), step) for number in range(600) for step in range(2))
    record = Record("r1", "x", 0, 7, many, {"a": "b"}, points, RECORD.inputs)
    run_id = store.run_of("r1", "x", {}, 0)

    for _ in range(2):
        log_params(store, run_id, record.params)
        log_values(store, run_id, record)

    found = store.client.get_run(run_id)
    assert found.data.params == many
    assert found.data.metrics == {f"m{number}": float(number) for number in range(600)}
    history = store.client.get_metric_history(run_id, "m599")
    assert [(one.step, one.value, one.timestamp) for one in history] == [(0, 599.0, 7), (1, 599.0, 7)]
    (dataset,) = found.inputs.dataset_inputs
    assert (dataset.dataset.name, dataset.dataset.digest) == ("alice", "0" * 36)
    assert json.loads(dataset.dataset.source) == {"url": "https://doi.org/10.1/x"}
    assert {tag.key: tag.value for tag in dataset.tags} == {"mlflow.data.context": "dataset", "licence": "CC0"}
