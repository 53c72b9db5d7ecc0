"""Every method on simulated brains whose ceilings are known, by the way that a run takes."""

import dataclasses
from dataclasses import dataclass

import numpy as np
import pytest

from brainexp import experiment as module
from brainexp.ceilings import ceiling_objection
from brainexp.containers import Space
from brainexp.dataset.passage import Passage
from brainexp.dataset.regions import REGIONS
from brainexp.dataset.synthetic import Synthetic
from brainexp.errors import ConfigError, DataError
from brainexp.experiment import Experiment, run
from brainexp.settings import Ceiling, Scoring

REPEATS = ("repeats", "explainable_variance", "split_half", "ncsnr")
#: Everyone hears with the same weights, so that others can predict as well as the noise allows.
ALIKE = {"n_stories": 5, "words_per_story": 500, "n_voxels": 200, "shared": 1.0, "motion": 0.0}


@pytest.fixture
def experiment(composed):
    return Experiment.from_config(composed("model=tiny_xs"))


def known(experiment, dataset, **ceiling):
    """Ceilings and voxels of one method."""
    one = dataclasses.replace(
        experiment, dataset=dataset, ceiling=Ceiling(**ceiling), scoring=Scoring(block_trs=6, permutations=10)
    )
    module.require_possible(one)
    recordings = module.recorded(one.dataset)
    folds = module.held_out(one, recordings.run_lengths)
    target, voxels = module.to_predict(one, recordings, folds)
    found = module.known_ceilings(one, recordings, folds, target, voxels)
    return found, module.with_ceilings(one, voxels, found)


def responding(voxels):
    """Columns in which something is planted, and those in which nothing is."""
    names = {True: [], False: []}
    for _, roi, (at,) in voxels.roi_areas():
        if roi in REGIONS:
            names[bool(REGIONS[roi].responds_to)].append(at)
    return np.concatenate(names[True]), np.concatenate(names[False])


@pytest.mark.parametrize("method", REPEATS)
def test_repeats_give_the_analytic_ceiling_of_the_repeated_story(experiment, method):
    dataset = Synthetic(**{**ALIKE, "n_subjects": 2, "words_per_story": 1200, "n_repeats": 6})
    signal, noise = np.hstack([np.array(dataset.variances(name))[:, -1] for name in ("s1", "s2")])
    truth = np.sqrt(signal / (signal + noise))

    found, voxels = known(experiment, dataset, method=method, bootstraps=50)

    loud, silent = responding(voxels)
    assert found.value[loud].mean() == pytest.approx(truth[loud].mean(), abs=0.02)
    assert np.corrcoef(found.value[loud], truth[loud])[0, 1] > 0.7
    assert np.isnan(found.value[silent]).mean() > 0.2
    error = np.nanstd(found.draws[:, loud], axis=0).mean()
    assert error == pytest.approx((found.value - truth)[loud].std(), rel=0.35)


def test_what_is_the_mean_of_several_recordings_has_a_higher_ceiling(experiment):
    dataset = Synthetic(**ALIKE, n_subjects=1)

    one, _ = known(experiment, dataset, method="repeats", bootstraps=0)
    four, _ = known(experiment, dataset, method="repeats", averaged=4, bootstraps=0)

    np.testing.assert_allclose(four.value**2, 4 * one.value**2 / (1 + 3 * one.value**2))
    assert one.draws.shape == (0, 200)


def test_all_repeated_stories_count(experiment):
    found, voxels = known(experiment, Passage(n_subjects=1, n_repeats=8), method="repeats", bootstraps=0)

    columns = voxels.spaces["p1"].rois
    assert found.value[columns["LPTL"]].mean() == pytest.approx(np.sqrt(0.5), abs=0.05)
    assert np.nanmean(found.value[columns["V1"]]) < 0.2


def test_other_subjects_find_the_analytic_ceiling_from_below_and_one_regression_comes_nearest(experiment):
    dataset = Synthetic(**ALIKE, n_subjects=4)
    truth = np.concatenate([dataset.ceiling(name) for name in dataset.chosen_subjects()])
    mean, nowhere = {}, {}
    for name, options in {
        "isc": {"method": "inter_subject"},
        "pooled": {"method": "cross_subject"},
        "legacy": {"method": "cross_subject", "legacy": True},
        "plateau": {"method": "cross_subject", "extrapolate": True},
        "legacy plateau": {"method": "cross_subject", "extrapolate": True, "legacy": True},
    }.items():
        found, voxels = known(experiment, dataset, **options, bootstraps=20)
        loud, silent = responding(voxels)
        mean[name], nowhere[name] = np.nanmean(found.value[loud]), np.nanmean(found.value[silent])
        assert found.draws.shape == (20, 800)
        assert np.nanstd(found.draws[:, loud], axis=0).max() > 0
    share = truth[loud] ** 2

    assert mean["isc"] == pytest.approx(np.mean(share / np.sqrt(share + (1 - share) / 3)), abs=0.04)
    assert 0.85 * truth[loud].mean() < mean["pooled"] < truth[loud].mean()
    assert mean["plateau"] == pytest.approx(mean["pooled"], abs=0.05)
    assert mean["legacy plateau"] == pytest.approx(mean["legacy"], abs=0.03)  # a flat curve: nothing is extrapolated
    assert mean["legacy"] < 0.6 * mean["pooled"]
    assert max(nowhere.values()) < 0.06
    assert abs(nowhere["pooled"]) < 0.02


def test_people_with_weights_of_their_own_have_less_in_common(experiment):
    alike, unlike = (
        known(experiment, Synthetic(**{**ALIKE, "shared": shared}), method="inter_subject", bootstraps=0)
        for shared in (1.0, 0.0)
    )
    loud, _ = responding(alike[1])

    assert alike[0].value[loud].mean() > unlike[0].value[loud].mean() + 0.2


def test_extrapolations_that_do_not_converge_are_counted_and_told(experiment):
    dataset = Synthetic(**{**ALIKE, "words_per_story": 250}, n_subjects=3)

    found, _ = known(experiment, dataset, method="cross_subject", extrapolate=True, bootstraps=20)

    failed = np.isnan(found.value).sum()
    assert failed > 0
    assert found.metrics["ceiling/unconverged_voxels"] == failed
    assert found.metrics["ceiling/unconverged_fits"] == pytest.approx(np.isnan(found.draws).mean())
    assert found.remarks == (
        f"ceiling: the extrapolation of {failed} of 600 voxels does not converge, and they have no ceiling.",
    )


def test_unscorable_voxels_have_no_cross_subject_ceiling_and_spoil_no_other(experiment):
    @dataclass(frozen=True)
    class Spoiled(Synthetic):
        def responses(self, subject):
            runs = super().responses(subject)
            for one in runs if subject == "s2" else ():
                one.values[30, 3] = np.nan
            return runs

    found, _ = known(
        experiment, Spoiled(**{**ALIKE, "words_per_story": 250}, n_subjects=3), method="cross_subject", bootstraps=0
    )

    assert np.flatnonzero(np.isnan(found.value)).tolist() == [203]


def test_a_published_ncsnr_is_taken_as_it_is(experiment):
    @dataclass(frozen=True)
    class Published(Passage):
        def ncsnr(self, subject):
            return np.full(self.facts().n_voxels[subject], 0.5)

    found, _ = known(experiment, Published(n_subjects=2), method="ncsnr", averaged=3)

    np.testing.assert_allclose(found.value, np.sqrt(0.25 / (0.25 + 1 / 3)))
    assert len(found.draws) == 0


def test_nuisance_that_is_removed_from_responses_but_not_from_repeats_is_told(experiment):
    cleaning = dataclasses.replace(experiment, encoder=dataclasses.replace(experiment.encoder, nuisance=("motion",)))
    dataset = Synthetic(**{**ALIKE, "n_subjects": 2, "motion": 0.5})

    repeats, voxels = known(cleaning, dataset, method="repeats", bootstraps=0)
    others, _ = known(cleaning, dataset, method="inter_subject", bootstraps=0)
    dirty, _ = known(experiment, dataset, method="inter_subject", bootstraps=0)

    loud, _ = responding(voxels)
    assert repeats.remarks[0].startswith("ceiling: motion removed from the responses, but not from the repeats")
    assert not others.remarks
    assert others.value[loud].mean() > dirty.value[loud].mean() + 0.02


@dataclass(frozen=True)
class Alone:
    """Neither repeats nor other subjects."""

    def chosen_subjects(self):
        return ("ada",)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        (
            {"method": "split_half"},
            "ceiling.method=split_half needs repeated recordings of some story, but dataset 'alone' has none. Give "
            "ceiling.method=dataset, inter_subject or cross_subject.",
        ),
        ({"method": "ncsnr"}, "ceiling.method=ncsnr needs repeated recordings"),
        (
            {"method": "inter_subject"},
            "ceiling.method=inter_subject needs 2 or more subjects, but dataset.subjects names 1.",
        ),
        (
            {"method": "cross_subject", "extrapolate": True},
            "ceiling.method=cross_subject with ceiling.extrapolate=true needs 3 or more subjects, but dataset.subjects names 1.",
        ),
    ],
)
def test_what_a_dataset_cannot_serve_is_refused_in_words(settings, words):
    assert ceiling_objection(Ceiling(**settings), Alone()).startswith(words)


@pytest.mark.parametrize("method", ["dataset", "none"])
def test_every_dataset_serves_the_default_and_none(method):
    assert ceiling_objection(Ceiling(method=method), Alone()) is None


def test_it_is_refused_before_work_starts(experiment, monkeypatch):
    monkeypatch.setattr(Synthetic, "responses", lambda *_: pytest.fail("work had started"))
    alone = dataclasses.replace(experiment, dataset=Synthetic(subjects="s2"), ceiling=Ceiling(method="cross_subject"))

    with pytest.raises(ConfigError, match="needs 2 or more subjects, but dataset.subjects names 1"):
        run(alone)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"bootstraps": 1}, "ceiling: bootstraps must be 0 for none, or at least 2, got 1"),
        ({"averaged": 0}, "ceiling: averaged and subsets must be at least 1, got 0 and 10"),
        ({"legacy": True}, "ceiling: extrapolate and legacy belong to method=cross_subject, but method is dataset"),
    ],
)
def test_impossible_settings_are_refused(options, words):
    with pytest.raises(ConfigError, match=words):
        Ceiling(**options)


def test_an_unknown_method_is_refused_with_the_known_ones(composed):
    with pytest.raises(ConfigError, match=r"ceiling: method: .*'inter_subject'.* got 'guess'"):
        Experiment.from_config(composed("ceiling.method=guess"))


def test_stretches_too_short_to_draw_from_are_refused(experiment):
    with pytest.raises(
        ConfigError, match=r"story 'crow' has \d+ TRs, which is fewer than 4 blocks of scoring.block_trs=10"
    ):
        run(
            dataclasses.replace(
                experiment,
                dataset=Passage(n_subjects=1),
                ceiling=Ceiling(method="repeats"),
                scoring=Scoring(block_trs=10),
            )
        )


def test_a_single_recording_is_no_repeat(experiment):
    with pytest.raises(DataError, match="repeats of story 'story4' have shape .1, .*but at least 2 recordings"):
        known(experiment, Synthetic(**ALIKE, n_repeats=1), method="repeats")


def test_subjects_with_columns_of_their_own_are_refused_between_subjects(experiment):
    @dataclass(frozen=True)
    class Native(Passage):
        def space(self, subject):
            own = super().space(subject)
            return dataclasses.replace(own, affine=own.affine + (subject == "p2"))

    with pytest.raises(
        ConfigError,
        match="same columns in all subjects, but those of 'p1' and 'p2' differ. Give ceiling.method=cross_subj",
    ):
        known(experiment, Native(n_subjects=2), method="inter_subject", bootstraps=0)


def test_columns_whose_places_nobody_knows_are_not_the_same_between_subjects(experiment):
    @dataclass(frozen=True)
    class Unplaced(Passage):
        def space(self, subject):
            return Space(kind="unplaced", n_voxels=super().space(subject).n_voxels, rois={})

    with pytest.raises(ConfigError, match="same columns in all subjects, but those of 'p1' and 'p2' differ"):
        known(experiment, Unplaced(n_subjects=2), method="inter_subject", bootstraps=0)


def test_a_run_carries_the_uncertainty_into_the_normalised_score(composed, small_run):
    config = composed(*small_run, "ceiling.method=repeats", "ceiling.bootstraps=40", "scoring.block_trs=5")
    result = run(Experiment.from_config(config))
    metrics = result.metrics
    chosen = result.scores[result.scores.layer.isna() & (result.scores.source == "model")]
    row = chosen[(chosen.subject == "p1") & (chosen.roi == "LPTL")].iloc[0]

    for roi in ("", "LPTL/"):
        for measure in ("r_norm", "r_norm_ratio_of_means"):
            low, high = (metrics[f"alignment/{roi}{measure}_{end}"] for end in ("low", "high"))
            assert low < metrics[f"alignment/{roi}{measure}"] < high
    assert row.ceiling_low < row.ceiling < row.ceiling_high
    assert 0 < row.ceiling_se < 0.05
    assert row.n_normalised == row.n_voxels
    assert row.r_norm_ratio_of_means == pytest.approx(row.r / row.ceiling)
    voxels = result.per_voxel
    known = np.isfinite(voxels["ceiling_low"])
    assert (voxels["ceiling_low"][known] <= voxels["ceiling_high"][known]).all()
    below = metrics["alignment/below_ceiling_floor"]
    assert below == np.isnan(voxels["r_norm"]).sum() == len(known) - chosen[chosen.roi == "all"].n_normalised.sum()
    assert below > 0  # V1


def test_without_a_ceiling_nothing_is_normalised_and_r_stays(composed, small_run):
    one, other = (
        run(Experiment.from_config(composed(*small_run, f"ceiling.method={it}"))) for it in ("dataset", "none")
    )

    assert other.metrics["alignment/r"] == one.metrics["alignment/r"]
    assert np.isfinite(one.metrics["alignment/r_norm"])
    assert np.isnan(other.metrics["alignment/r_norm"])
    assert other.metrics["alignment/below_ceiling_floor"] == len(other.voxels.owner)
