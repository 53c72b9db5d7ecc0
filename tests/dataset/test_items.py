"""Datasets whose rows are sentences and no TRs: through the whole program, and what they refuse."""

import dataclasses

import numpy as np
import pytest

from brainexp.align.lexical import item_frequency, item_length, word_frequency, words_per_item
from brainexp.cli import execute
from brainexp.containers import Clock, Responses, Stimulus
from brainexp.dataset.custom import Custom
from brainexp.errors import ConfigError, DataError
from brainexp.experiment import Experiment, held_out, require_possible
from brainexp.model.context import first_words
from brainexp.recordings import feature_space, recorded
from tests.dataset.item_replicas import blank2014_replica, pereira2018_replica
from tests.dataset.replicas import custom_items_replica, custom_replica, declare, tuckute2024_replica

MADE = {
    "tuckute2024": tuckute2024_replica,
    "custom_items": custom_items_replica,
    "custom": custom_replica,
    "pereira2018": pereira2018_replica,
    "blank2014": blank2014_replica,
}
#: Columns of each subject; the first half of them responds.
N_COLUMNS = {"custom": 20, "blank2014": 12}


@pytest.fixture(params=MADE)
def name(request, monkeypatch):
    if not request.param.startswith("custom"):
        declare(request.param, monkeypatch)
    return request.param


def whole_run(composed, name, root, folder):
    words = [
        f"dataset={name}", f"dataset.root={root}", "model=tiny_xs", "model.context_words=4", "partition.spaces=[]",
        "split.folds=3", "encoder.alphas=[1,10,100,1000,10000]", "scoring.permutations=50", "ceiling.bootstraps=0",
        "baselines=[word_length]", "damage.measure=false", "report.figures=false", "tracking.uri=null",
    ]  # fmt: skip
    return execute(composed(*words), folder)


def test_what_was_planted_is_found(name, composed, tmp_path):
    result = whole_run(composed, name, MADE[name](tmp_path / "data"), tmp_path / "run")

    r, baseline = result.per_voxel["r"], result.per_voxel["baseline_word_length_r"]
    n_columns = N_COLUMNS.get(name, 6)
    responds = np.tile(np.arange(n_columns) < n_columns // 2, len(r) // n_columns)
    assert r[responds].mean() > 0.4
    assert abs(r[~responds].mean()) < 0.15
    assert baseline[responds].mean() > 0.4  # that is what was planted


def test_nothing_is_found_when_responses_are_of_other_items(name, composed, tmp_path):
    result = whole_run(composed, name, MADE[name](tmp_path / "data", swapped=True), tmp_path / "run")

    assert abs(result.per_voxel["r"].mean()) < 0.15


@pytest.fixture
def of_items(tmp_path):
    return Custom(root=str(custom_items_replica(tmp_path / "items")), items=True)


def experiment_of(composed, dataset, *words):
    built = Experiment.from_config(composed("dataset=custom_items", "model=tiny_xs", "split.folds=4", *words))
    return dataclasses.replace(built, dataset=dataset)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["align.downsample=lanczos"], r"lanczos blends neighbours .* Give align.downsample=mean align.delays=\[0\]"),
        (["align.delays=[1,2]"], r"align\.delays=\[1, 2\] let a response depend on earlier rows"),
        (
            ["scoring.shuffle=circular_shift"],
            "circular_shift shifts in time, but rows of this dataset are separate items",
        ),
    ],
)
def test_settings_for_time_are_refused(composed, of_items, words, message):
    require_possible(experiment_of(composed, of_items))

    with pytest.raises(ConfigError, match=message):
        require_possible(experiment_of(composed, of_items, *words))


def test_trims_in_seconds_are_refused(composed, of_items, tmp_path):
    (tmp_path / "items" / "dataset.yaml").write_text("trim_s: [1.0, 0.0]\n")

    with pytest.raises(ConfigError, match=r"trim_start_s and trim_stop_s cut seconds, but rows .* separate items"):
        require_possible(experiment_of(composed, of_items))


def test_no_passage_is_split_between_training_and_test(composed, of_items):
    experiment = experiment_of(composed, of_items)
    lengths = recorded(of_items).run_lengths
    passage = np.repeat(np.arange(len(lengths)), lengths)

    folds = held_out(experiment, lengths)

    assert np.sort(np.concatenate([fold.test for fold in folds])).tolist() == list(range(160))
    for fold in folds:
        assert len(fold.train) + len(fold.test) == 160  # no gap is needed
        assert not set(passage[fold.train]) & set(passage[fold.test])
        for fit, validate in fold.inner:
            assert not set(passage[fold.train][fit]) & set(passage[fold.train][validate])


def test_each_item_has_the_features_of_its_own_row(composed, of_items):
    recordings, align = recorded(of_items), experiment_of(composed, of_items).align
    items = [unit for one in recordings.stimuli for unit in one.units]

    space = feature_space("low_level", align, recordings).matrix()

    letters = [sum(map(str.isalnum, item)) for item in items]
    np.testing.assert_allclose(space[:, 0], 6)
    np.testing.assert_allclose(space[:, 1], letters)
    np.testing.assert_allclose(space[:, 2], np.array(letters) / 6, rtol=1e-6)
    zipf = [np.mean(word_frequency(item.split(), "en")) for item in items]
    np.testing.assert_allclose(space[:, 3], zipf, rtol=1e-6)


def test_length_and_frequency_of_items():
    items = ("A dog ran.", "Oh!")

    assert words_per_item(items).tolist() == [[3.0], [1.0]]
    assert item_length(items).tolist() == [[7.0, 7 / 3], [2.0, 2.0]]
    np.testing.assert_allclose(item_frequency(items, "en")[0], word_frequency(["A", "dog", "ran."], "en").mean())


@pytest.mark.parametrize("mode", ["window", "growing", "sliding", "sentence"])
def test_separate_items_are_read_alone_in_every_context(mode):
    times = np.arange(3.0)
    items = ("A dog ran", "It was late. Nobody saw", "The end.")
    alone = Stimulus("list", items, times, times + 1, separate=True)
    passage = dataclasses.replace(alone, separate=False)

    assert first_words(alone, mode, 20, None).tolist() == [0, 1, 2]
    assert first_words(passage, mode, 20, None).tolist() == [0, 0, 0]


def test_features_of_a_separate_item_do_not_depend_on_its_neighbours(composed, of_items):
    from brainexp.model.transformer import Transformer  # noqa: F401  registers it
    from brainexp.prompt.plain import Plain
    from brainexp.registry import MODELS

    loaded = MODELS.build(composed("model=tiny_xs")["model"]).load()
    times = np.arange(3.0)

    def read(items, separate):
        stimulus = Stimulus("list", items, times, times + 1, separate=separate)
        found = np.empty((3, loaded.n_layers, loaded.n_dims))
        for at, values in loaded.extract(stimulus, Plain()):
            found[at] = values.transpose(1, 0, 2)
        return found[2]

    one, other = ("A dog ran.", "It was late.", "The end."), ("Home again.", "She saw it.", "The end.")
    np.testing.assert_allclose(read(one, True), read(other, True), atol=1e-5)
    assert np.abs(read(one, False) - read(other, False)).max() > 1e-2


def test_a_row_for_every_item_is_needed(of_items):
    class Shifted(Custom):
        def responses(self, subject):
            return tuple(
                Responses(one.subject, one.story, one.values, Clock(-0.7, 1.0, one.clock.n_trs))
                for one in super().responses(subject)
            )

    with pytest.raises(DataError, match=r"story 'p000': 4 items and 4 rows of responses, but each item needs one row"):
        recorded(Shifted(root=of_items.root, items=True))
