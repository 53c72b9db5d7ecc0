"""Digests by stage: the same for the same, another for anything that could change a number."""

from dataclasses import replace

import numpy as np
import pytest

from brainexp import provenance as module
from brainexp.cache import ArrayCache
from brainexp.composition import Experiment
from brainexp.containers import Clock
from brainexp.experiment import run
from brainexp.provenance import array_digest, of_data, of_features, of_files, paths
from brainexp.recordings import recorded
from brainexp.registry import DATASETS


@pytest.fixture
def recordings(composed, small_run):
    return recorded(DATASETS.build(composed(*small_run)["dataset"]))


def test_an_arrays_digest_does_not_depend_on_where_it_lies(rng, monkeypatch):
    values = rng.standard_normal((100, 30)).astype(np.float32)
    monkeypatch.setattr(module, "NUMBERS_AT_ONCE", 64)
    by_blocks = array_digest(values)

    monkeypatch.undo()

    assert array_digest(values) == array_digest(np.asfortranarray(values)) == by_blocks
    assert array_digest(np.hstack([values, values])[:, 30:]) == by_blocks


def test_an_arrays_digest_tells_type_shape_and_every_value(rng):
    values = rng.standard_normal((4, 6))
    changed = values.copy()
    changed[3, 5] = np.nextafter(changed[3, 5], 9)

    told = [array_digest(one) for one in (values, values.astype(np.float32), values.reshape(6, 4), changed)]

    assert len(set(told)) == 4


def test_the_same_recordings_have_the_same_digests(recordings, composed, small_run):
    again = recorded(DATASETS.build(composed(*small_run)["dataset"]))

    told = of_data(recordings)

    assert told == of_data(again)
    assert list(told["responses"]) == ["p1", "p2"]
    assert list(told["stories"]) == [one.story for one in recordings.stimuli]


def test_a_response_a_regressor_a_word_and_a_clock_change_only_their_own_digest(recordings):
    before = of_data(recordings)
    stories = list(before["stories"])
    values = recordings.values.copy()
    values[3, recordings.columns["p2"].start] += 1e-3
    stimulus = recordings.stimuli[1]
    retold = replace(stimulus, units=("Else", *stimulus.units[1:]))
    later = replace(stimulus, offset_s=stimulus.offset_s + 1e-3)

    def changed(**fields):
        after = of_data(replace(recordings, **fields))
        return [name for part in before for name in before[part] if before[part][name] != after[part][name]]

    assert changed(values=values) == ["p2"]
    for other in (retold, later):
        assert changed(stimuli=(recordings.stimuli[0], other, *recordings.stimuli[2:])) == [stories[1]]
    clock = recordings.clocks[0]
    moved = Clock(clock.start_s + 0.5, clock.tr_s, clock.n_trs)
    assert changed(clocks=(moved, *recordings.clocks[1:])) == [stories[0]]
    regressor = {subject: {"motion": (np.zeros((5, 1)),)} for subject in ("p1", "p2")}
    before = of_data(replace(recordings, nuisance=regressor))
    assert changed(nuisance={**regressor, "p1": {"motion": (np.ones((5, 1)),)}}) == ["p1"]


def test_clocks_of_numpys_numbers_are_told_as_those_of_python(recordings):
    first = recordings.clocks[0]
    alike = Clock(np.float64(first.start_s), np.float32(first.tr_s), np.int64(first.n_trs))

    assert of_data(replace(recordings, clocks=(alike, *recordings.clocks[1:]))) == of_data(recordings)


def test_files_of_an_option_are_told_by_names_and_sizes(tmp_path, monkeypatch):
    (tmp_path / "data" / "sub").mkdir(parents=True)
    (tmp_path / "data" / "a.txt").write_text("12345")
    (tmp_path / "data" / "sub" / "b.txt").write_text("123")
    (tmp_path / "data" / ".hidden").write_text("1")
    (tmp_path / "data" / "gone").symlink_to(tmp_path / "nowhere")
    monkeypatch.chdir(tmp_path)

    def told():
        return of_files({"dataset": {"name": "alice", "root": "data", "subjects": "all"}})

    first = told()
    assert first.keys() == {"dataset.root"}
    assert first["dataset.root"] | {"digest": None} == {
        "paths": [str(tmp_path / "data")], "files": 2, "bytes": 8, "digest": None, "whole": True,
    }  # fmt: skip
    (tmp_path / "data").rename(tmp_path / "moved")
    elsewhere = of_files({"dataset": {"root": str(tmp_path / "moved")}})
    assert elsewhere["dataset.root"]["digest"] == first["dataset.root"]["digest"]
    (tmp_path / "moved" / "a.txt").write_text("123456")
    assert (
        of_files({"dataset": {"root": str(tmp_path / "moved")}})["dataset.root"]["digest"]
        != first["dataset.root"]["digest"]
    )


def test_of_very_many_files_the_first_are_counted_and_that_is_said(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "MAX_FILES", 2)
    for name in "abc":
        (tmp_path / name).write_text("1")

    told = of_files({"dataset": {"root": str(tmp_path)}})["dataset.root"]

    assert (told["files"], told["whole"]) == (2, False)


def test_options_that_name_no_file_are_no_paths():
    config = {
        "dataset": {"name": "alice", "root": "data", "labels": ["a.annot", "b.annot"], "radius_mm": 6},
        "model": {"path": "gpt2", "weights": "pretrained"},
        "seed": 0,
    }

    assert paths(config) == {"dataset.root": ["data"], "dataset.labels": ["a.annot", "b.annot"], "model.path": ["gpt2"]}


def test_features_are_told_by_story_and_by_layer(tmp_path, rng):
    cache = ArrayCache(tmp_path)
    shape = (2, 3, 4)
    values = rng.standard_normal(shape).astype(np.float32)

    def kept(name, what):
        def fill(write):
            write(np.arange(3), what)
            return {}

        return cache.get_or_put({"name": name}, shape, fill, {})[0]

    other = values.copy()
    other[1, 0, 0] += 1
    first, alike, changed = kept("a", values), kept("b", values), kept("c", other)

    told = {name: of_features({"tea": one}) for name, one in (("first", first), ("alike", alike), ("changed", changed))}

    contents = {name: one["stories"]["tea"]["content"] for name, one in told.items()}
    assert contents["first"] == contents["alike"] != contents["changed"]
    assert told["first"]["layers"] == told["alike"]["layers"]
    assert told["first"]["layers"][0] == told["changed"]["layers"][0]
    assert told["first"]["layers"][1] != told["changed"]["layers"][1]
    assert told["first"]["stories"]["tea"]["key"] != told["alike"]["stories"]["tea"]["key"]
    assert told["first"]["stories"]["tea"]["made_with"]["brainexp"]


def test_an_entry_that_was_pruned_in_the_meantime_fails_no_run(tmp_path, rng):
    values = rng.standard_normal((1, 2, 3)).astype(np.float32)

    def fill(write):
        write(np.arange(2), values)
        return {}

    layers, _ = ArrayCache(tmp_path).get_or_put({"name": "a"}, (1, 2, 3), fill, {})
    (layers.files[0].parent / "entry.json").unlink()

    assert of_features({"tea": layers})["stories"] == {"tea": {"key": layers.files[0].parent.name}}


def test_a_run_records_every_seed_that_it_draws_from(composed, small_run, monkeypatch):
    drawn = {}
    seeds_of = Experiment.seeds_of

    def noted(self, stage):
        drawn[stage] = seeds_of(self, stage)
        return drawn[stage]

    rng_of = Experiment.rng
    monkeypatch.setattr(Experiment, "rng", lambda self, stage: (noted(self, stage), rng_of(self, stage))[1])
    config = composed(*small_run, "probe=[word_length]", "seed=7", "ceiling.method=inter_subject")

    told = run(Experiment.from_config(config)).provenance

    assert told["seeds"] == {"root": 7, **drawn}


def test_a_run_records_data_weights_compression_and_features(composed, small_run, checkpoints):
    experiment = Experiment.from_config(composed(*small_run, "compression=magnitude"))

    told = run(experiment).provenance

    assert told.keys() == {"seeds", "files", "data", "model", "compression", "features"}
    assert told["files"]["model.path"]["paths"] == [str(checkpoints["gpt2"])]
    assert told["model"].keys() == {"identity", "source"}
    assert told["compression"].keys() == {"key", "content", "made", "made_with"}
    assert len(told["features"]["layers"]) == 3
    assert all(one.keys() == {"key", "content", "made", "made_with"} for one in told["features"]["stories"].values())


def test_other_weights_have_another_source(composed, small_run, checkpoints):
    one, other = (
        Experiment.from_config(composed(*small_run, f"model.path={checkpoints[name]}")).model
        for name in ("gpt2", "llama")
    )

    assert module.of_model(one)["source"] == module.of_model(one)["source"] != module.of_model(other)["source"]
    twins = (replace(one, weights="random", seed=seed) for seed in (0, 1))
    assert len({module.of_model(twin)["source"] for twin in twins}) == 2
