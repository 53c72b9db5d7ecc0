import dataclasses
import tracemalloc

import numpy as np
import pytest

from brainexp.align.trim import kept_rows
from brainexp.dataset.planted import SPACES
from brainexp.dataset.regions import REGIONS
from brainexp.dataset.synthetic import Synthetic
from brainexp.errors import ConfigError
from brainexp.grammar import ANNOTATION_COLUMNS

SMALL = {"n_subjects": 2, "n_stories": 3, "words_per_story": 200, "n_voxels": 100}


def rows_of(dataset):
    return [kept_rows(run.clock, dataset.trim_start_s, dataset.trim_stop_s) for run in dataset.responses("s1")]


def by_roi(dataset, values):
    return {name: np.mean(values[columns]) for name, columns in dataset.space("s1").rois.items()}


def responding():
    return [name for name, region in REGIONS.items() if region.responds_to]


def test_stories_bring_the_annotations_of_the_grammar():
    dataset = Synthetic(**SMALL)

    for stimulus, planted in zip(dataset.stimuli(), dataset.planted(), strict=True):
        n_words = len(stimulus.units)
        assert n_words >= 200
        assert {space: values.shape for space, values in stimulus.annotations.items()} == {
            space: (n_words, len(columns)) for space, columns in ANNOTATION_COLUMNS.items()
        }
        assert {space: values.shape for space, values in planted.items()} == dict.fromkeys(SPACES, (n_words, 3))


@pytest.mark.parametrize("space_kind", ["volume", "fsaverage5"])
def test_declared_facts_are_those_of_the_data(space_kind):
    dataset = Synthetic(**SMALL, space_kind=space_kind)
    declared = dataset.facts()

    assert dataset.chosen_subjects() == declared.subjects == ("s1", "s2")
    assert tuple(one.story for one in dataset.stimuli()) == declared.stories == ("story0", "story1", "story2")
    for subject in declared.subjects:
        runs = dataset.responses(subject)
        assert {run.story: len(run.values) for run in runs} == declared.n_trs
        assert {run.values.shape[1] for run in runs} == {declared.n_voxels[subject]}
        assert {run.values.dtype for run in runs} == {np.dtype(np.float32)}
        assert {run.nuisance["motion"].shape[1] for run in runs} == {6}
        assert dataset.ceiling(subject).shape == (declared.n_voxels[subject],)
        assert dataset.space(subject).n_voxels == declared.n_voxels[subject]


@pytest.mark.parametrize("ceiling_from", ["analytic", "repeats", "isc"])
def test_on_a_mesh_only_the_vertices_of_regions_are_known(ceiling_from):
    dataset = Synthetic(**SMALL, space_kind="fsaverage5", explainable=(0.7, 0.7), ceiling_from=ceiling_from)
    known = np.isfinite(dataset.responses("s1")[0].values)
    found = np.isfinite(dataset.ceiling("s1"))

    assert known.all(axis=0).sum() == known.any(axis=0).sum() == 100
    assert not found[~known[0]].any()
    for name in responding():
        assert found[dataset.space("s1").rois[name]].all()


def test_the_same_seeds_give_the_same_numbers_and_other_seeds_others():
    one, same, other = (Synthetic(**SMALL, seed=seed).responses("s2")[1].values for seed in (3, 3, 4))
    told, elsewhere = (Synthetic(**SMALL, story_seed=seed).stimuli()[0].units for seed in (0, 77))

    np.testing.assert_array_equal(one, same)
    assert abs(np.corrcoef(one[:, 0], other[:, 0])[0, 1]) < 0.5
    assert told != elsewhere


def test_numbers_are_those_written_down():
    """On every platform: a change here changes every result on this dataset."""
    dataset = Synthetic(**SMALL)

    np.testing.assert_allclose(
        dataset.responses("s2")[1].values[40, [0, 30, 60, 90]],
        [0.3845, 0.3044, 0.6918, 1.652],
        rtol=1e-3,
    )


def test_a_subject_is_the_same_whoever_else_is_analysed():
    alone = Synthetic(**SMALL, subjects="s2")

    assert alone.chosen_subjects() == ("s2",)
    np.testing.assert_array_equal(alone.responses("s2")[0].values, Synthetic(**SMALL).responses("s2")[0].values)


def test_signal_and_noise_have_the_variance_that_is_declared():
    dataset = Synthetic(n_subjects=1, words_per_story=300, n_voxels=3000, explainable=(0.1, 0.6))
    rows = rows_of(dataset)
    lengths = [kept.stop - kept.start for kept in rows]
    signal_variance, noise_variance = dataset.variances("s1")
    noise = [run.values - signal for run, signal in zip(dataset.responses("s1"), dataset.signals("s1"), strict=True)]
    share = np.average(signal_variance, axis=0, weights=lengths)
    silent = np.concatenate([dataset.space("s1").rois[name] for name in ("V1", "M1")])

    np.testing.assert_allclose(np.average(noise_variance, axis=0, weights=lengths), 1 - share)
    np.testing.assert_array_equal(share[silent], 0)
    rest = np.delete(share, silent)
    assert rest.min() > 0.1 - 1e-9
    assert rest.max() < 0.6 + 1e-9
    assert rest.mean() == pytest.approx(0.35, abs=0.02)
    for run, kept in enumerate(rows):
        np.testing.assert_allclose(signal_variance[run], dataset.signals("s1")[run][kept].var(axis=0))
        found = noise[run][kept].var(axis=0)
        assert found.mean() == pytest.approx(noise_variance[run].mean(), rel=0.02)


def test_the_analytic_ceiling_is_the_r_of_the_planted_signal():
    """Within four standard errors over voxels in every region, and exactly zero where nothing was planted."""
    dataset = Synthetic(n_subjects=1, words_per_story=1000)
    ceiling = dataset.ceiling("s1")
    r = np.mean(
        [
            [np.corrcoef(run.values[kept, at], signal[kept, at])[0, 1] if ceiling[at] else 0.0 for at in range(440)]
            for run, signal, kept in zip(dataset.responses("s1"), dataset.signals("s1"), rows_of(dataset), strict=True)
        ],
        axis=0,
    )
    difference = r - ceiling

    for name, columns in dataset.space("s1").rois.items():
        if name in responding():
            error = difference[columns].std(ddof=1) / np.sqrt(len(columns))
            assert abs(difference[columns].mean()) < 4 * error, name
            assert error < 0.01
        else:
            np.testing.assert_array_equal(ceiling[columns], 0)


def test_ceilings_estimated_from_repeats_match_the_analytic_ones():
    """The last story's own ceiling, for it alone is repeated; without motion, which differs from take to take."""
    dataset = Synthetic(
        n_subjects=1, n_stories=3, words_per_story=2000, motion=0.0, n_repeats=8, ceiling_from="repeats"
    )
    signal, noise = (variance[-1] for variance in dataset.variances("s1"))
    truth = np.sqrt(signal / (signal + noise))
    found = dataset.ceiling("s1")

    for name in responding():
        columns = dataset.space("s1").rois[name]
        assert np.mean(found[columns]) == pytest.approx(np.mean(truth[columns]), abs=0.025), name
    assert np.corrcoef(found[truth > 0], truth[truth > 0])[0, 1] > 0.8


def test_repeats_have_the_signal_in_common_and_begin_with_the_recording():
    dataset = Synthetic(**SMALL, n_repeats=3)
    (story, repeats) = next(iter(dataset.repeats("s1").items()))

    assert story == "story2"
    assert repeats.shape == (3, dataset.facts().n_trs["story2"], 100)
    np.testing.assert_array_equal(repeats[0], dataset.responses("s1")[-1].values)
    assert not np.allclose(repeats[1], repeats[2])


def test_subjects_correlate_where_something_was_planted_and_below_the_ceiling():
    dataset = Synthetic(n_subjects=5, n_stories=5, shared=1.0, explainable=(0.4, 0.4), ceiling_from="isc")
    between = by_roi(dataset, dataset.ceiling("s1"))
    # r of a subject with the mean of four others, all with the same signal but for their latencies
    expected = 0.4 / np.sqrt(0.4 + 0.6 / 4)

    for name, r in between.items():
        assert r == pytest.approx(expected if name in responding() else 0.0, abs=0.06), name


def test_weights_of_their_own_make_subjects_differ():
    alike, unlike = (
        by_roi(one, one.ceiling("s1"))["ATL"]
        for one in (Synthetic(shared=share, ceiling_from="isc") for share in (1.0, 0.0))
    )

    assert alike > unlike + 0.2


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"n_subjects": 0}, "n_subjects must be at least 1, got 0"),
        ({"tr_s": 0.0}, "tr_s must be positive, got 0.0"),
        ({"explainable": (0.5, 0.2)}, r"explainable must be two shares in \[0, 1\), the lower first, got 0.5 and 0.2"),
        ({"shared": 1.5}, r"shared must lie in \[0, 1\], got 1.5"),
        ({"autoregression": 1.0}, r"autoregression must lie in \[0, 1\), got 1.0"),
        ({"drift": 0.8, "motion": 0.4}, "drift and motion must be shares that sum to 1 at most, got 0.8 and 0.4"),
        ({"seed": -1}, "seed must not be negative, got -1"),
        (
            {"story_seed": 899_995},
            r"stories of seeds 899995 to 900002 are asked for, but they must lie in 0..899999, for models are trained on "
            "higher ones. Lower story_seed or n_stories.",
        ),
        ({"ceiling_from": "repeats", "n_repeats": 1}, "ceiling_from=repeats needs n_repeats of 2 or more, got 1"),
        ({"ceiling_from": "isc", "n_subjects": 1}, "ceiling_from=isc needs n_subjects of 2 or more, got 1"),
    ],
)
def test_impossible_simulations_are_refused(options, words):
    with pytest.raises(ConfigError, match=f"dataset 'synthetic': {words}"):
        Synthetic(**options)


def test_an_unknown_subject_is_refused():
    with pytest.raises(ConfigError, match=r"unknown subject 's9' of synthetic\. Known: s1, s2, s3, s4\."):
        Synthetic(subjects="s9").chosen_subjects()


def test_the_first_seeds_not_for_tests_may_be_reached_but_not_passed():
    assert dataclasses.replace(Synthetic(), story_seed=899_992).facts().stories[-1] == "story899999"


@pytest.mark.slow
def test_work_at_full_scale_needs_little_more_memory_than_the_result():
    """20,000 voxels × 3,000 TRs: at the peak less than the result and a half again."""
    dataset = Synthetic(n_subjects=1, n_stories=10, words_per_story=1600, n_voxels=20_000)
    tracemalloc.start()
    try:
        runs = dataset.responses("s1")
        peak_bytes = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    result_bytes = sum(run.values.nbytes for run in runs)

    assert sum(run.clock.n_trs for run in runs) >= 3000
    assert result_bytes >= 20_000 * 3000 * 4
    assert peak_bytes < 1.5 * result_bytes
