"""The pipeline finds what was planted, no more and no less, and a leak would show."""

from dataclasses import dataclass

import numpy as np
import pytest
from sklearn.model_selection import KFold

from brainexp.align.baseline import position
from brainexp.align.delay import delayed
from brainexp.containers import Fitted, Fold
from brainexp.dataset.planted import SPACES
from brainexp.dataset.regions import REGIONS
from brainexp.dataset.synthetic import Synthetic
from brainexp.encoder.ridge import Ridge
from brainexp.evaluation import Target, evaluated
from brainexp.experiment import Experiment, held_out, to_predict
from brainexp.recordings import layer_designs, recorded
from brainexp.score.correlation import pearson_r
from brainexp.score.permutation import CROSS_VALIDATED, block_permutation_p, false_discovery_q
from brainexp.settings import Split
from tests import problems

RESPONDING = tuple(name for name, region in REGIONS.items() if region.responds_to)
SILENT = tuple(name for name, region in REGIONS.items() if not region.responds_to)
#: Two-sided 95 % for all nine responding regions together (Bonferroni).
STANDARD_ERRORS = 2.77


class Study:
    """One simulated dataset on its way through the stages of an experiment, up to the encoder."""

    def __init__(self, dataset, folds=5):
        self.dataset = dataset
        self.experiment = Experiment(
            dataset=dataset,
            model=None,
            compression=None,
            prompt=None,
            encoder=Ridge(alphas=(1.0, 10.0, 100.0, 1e3, 1e4)),
            split=Split(folds=folds),
        )
        self.recordings = recorded(dataset)
        self.folds = held_out(self.experiment, self.recordings.run_lengths)
        self.target, self.voxels = to_predict(self.experiment, self.recordings, self.folds)

    def planted(self, *spaces):
        return {
            stimulus.story: np.hstack([features[space] for space in spaces])
            for stimulus, features in zip(self.dataset.stimuli(), self.dataset.planted(), strict=True)
        }

    def annotated(self, space):
        return {stimulus.story: stimulus.annotations[space] for stimulus in self.dataset.stimuli()}

    def design(self, by_word):
        features = {story: values[None] for story, values in by_word.items()}
        return layer_designs(self.experiment.align, self.recordings, features)[0]()

    def matrix(self, design):
        """Delayed features, array of shape (n_rows, n_features)."""
        return self.recordings.stacked([delayed(run, design.delays) for run in design.runs])

    def columns(self, *rois):
        """Columns of some regions, of all subjects."""
        space, n_subjects = self.dataset.space("s1"), len(self.voxels.subjects)
        own = np.concatenate([space.rois[roi] for roi in rois])
        return np.concatenate([own + subject * space.n_voxels for subject in range(n_subjects)])

    def scored(self, design, columns=None, encoder=None, folds=None):
        """Evaluation of a design, for some columns or all."""
        assert self.target.scorable.all()
        at = np.arange(len(self.target.subject)) if columns is None else columns
        target = Target(self.target.values[:, at], self.target.subject[at], self.target.scorable[at])
        return evaluated(
            encoder or self.experiment.encoder, [lambda: design], target, folds or self.folds, "model", "test"
        )

    def signal(self):
        """What all subjects' voxels would show without noise, array of shape (n_rows, n_voxels)."""
        return np.hstack([self.recordings.stacked(self.dataset.signals(subject)) for subject in self.voxels.subjects])

    def ceilings_by_run(self):
        own, rest = np.concatenate([self.dataset.variances(subject) for subject in self.voxels.subjects], axis=-1)
        return np.sqrt(own / (own + rest))


@dataclass(frozen=True)
class Oracle:
    """An encoder that knows the weights: nothing is learned from responses."""

    matrix: np.ndarray
    weights: np.ndarray
    together = False

    def fit(self, bands, responses, subject, fold):
        nothing = np.zeros(self.weights.shape[1])
        return Fitted(nothing, nothing[None], self.matrix[fold.test] @ self.weights)


@pytest.fixture(scope="module")
def study():
    """One run per fold, so that the mean over folds is the mean over runs of the analytic ceiling."""
    return Study(Synthetic(n_subjects=2, n_stories=5, words_per_story=1500))


@pytest.fixture(scope="module")
def usual():
    return Study(Synthetic(n_subjects=2))


def reachable(study, design):
    """The ceiling of a FIR encoder: of each run, times r between the signal and the FIR model nearest to it."""
    signal = study.signal()
    matrix = study.matrix(design)
    nearest = matrix @ np.linalg.lstsq(matrix, signal, rcond=None)[0]
    edges = np.cumsum(study.recordings.run_lengths)[:-1]
    by_run = [pearson_r(own, near) for own, near in zip(np.split(signal, edges), np.split(nearest, edges), strict=True)]
    return np.mean(np.array(by_run) * study.ceilings_by_run(), axis=0)


@pytest.mark.parametrize("roi", RESPONDING)
def test_an_oracle_reaches_the_analytic_ceiling_in_every_region(study, roi):
    """What the tail of the response costs a FIR encoder is known, small, and taken into account."""
    at = study.columns(roi)
    design = study.design(study.planted(*REGIONS[roi].responds_to))
    matrix = study.matrix(design)
    weights = np.linalg.lstsq(matrix, study.signal()[:, at], rcond=None)[0]
    expected = reachable(study, design)[at]

    difference = study.scored(design, at, Oracle(matrix, weights)).r - expected

    error = difference.std(ddof=1) / np.sqrt(len(at))
    assert error < 0.006
    assert abs(difference.mean()) < STANDARD_ERRORS * error
    assert expected.mean() > 0.97 * study.voxels.ceiling[at].mean()


@pytest.mark.parametrize("roi", RESPONDING)
def test_ridge_on_the_planted_annotations_comes_near_and_not_above(study, roi):
    """It must learn the weights from 1,100 TRs: this costs up to a twentieth of r, and gains nothing."""
    at = study.columns(roi)
    design = study.design(study.planted(*REGIONS[roi].responds_to))
    expected = reachable(study, design)[at]

    r = study.scored(design, at).r

    error = (r - expected).std(ddof=1) / np.sqrt(len(at))
    assert r.mean() > 0.95 * expected.mean() - STANDARD_ERRORS * error
    assert r.mean() < expected.mean() + STANDARD_ERRORS * error


def test_where_nothing_was_planted_nothing_is_found(study):
    r = study.scored(study.design(study.planted(*SPACES)), study.columns(*SILENT)).r

    # Less than a chance r of one voxel, 1 / sqrt(1390): voxels of a subject share movement, so their mean scatters too.
    assert abs(r.mean()) < 0.02


def test_each_region_is_predicted_by_its_own_annotations_and_not_by_the_others(usual):
    r = {space: usual.scored(usual.design(usual.annotated(space))).r for space in SPACES}
    mean = {(space, roi): r[space][usual.columns(roi)].mean() for space in SPACES for roi in REGIONS}

    for roi in RESPONDING:
        for space in SPACES:
            if space in REGIONS[roi].responds_to:
                assert mean[space, roi] > 0.18, (space, roi)
            elif roi != "A1":  # what is heard goes with all annotations: there are no words without a rate
                assert mean[space, roi] < 0.09, (space, roi)
    for roi in SILENT:
        assert max(abs(mean[space, roi]) for space in SPACES) < 0.05, roi


def test_a_syntax_region_does_not_respond_to_matched_controls(usual):
    """The same annotations in another order, or of another story: as many words, as much of everything, at the wrong time."""
    rng = np.random.default_rng(0)
    own = usual.annotated("syntax")
    stories = list(own)
    controls = {
        "words in another order": {story: rng.permutation(values) for story, values in own.items()},
        "another story": {
            story: np.resize(own[other], own[story].shape)
            for story, other in zip(stories, stories[1:] + stories[:1], strict=True)
        },
        "word rate": usual.annotated("rate"),
    }
    at = usual.columns("IFG", "MFG")

    responding = usual.scored(usual.design(own), at).r.mean()

    assert responding > 0.3
    for name, control in controls.items():
        assert abs(usual.scored(usual.design(control), at).r.mean()) < 0.2 * responding, name


def false_discoveries(seed, null_scale=CROSS_VALIDATED):
    """Of silent voxels, the share with p < 0.05, the share with q < 0.05, and the mean r."""
    study = Study(Synthetic(n_subjects=1, n_voxels=300, seed=seed, story_seed=8 * seed))
    found = study.scored(study.design(study.planted(*SPACES)))
    p = block_permutation_p(
        [study.target.held_out(fold) for fold in study.folds],
        found.predicted,
        n_permutations=200,
        block_trs=30,  # drift and motion outlast the 10 TRs that would do for autoregressive noise
        rng=np.random.default_rng(seed),
        null_scale=null_scale,
    )
    silent = study.columns(*SILENT)
    return np.mean(p[silent] < 0.05), np.mean(false_discovery_q(p)[silent] < 0.05), np.mean(found.r[silent])


@pytest.mark.parametrize("n_seeds", [5, pytest.param(20, marks=pytest.mark.slow)])
def test_silent_voxels_are_declared_significant_at_most_as_often_as_promised(n_seeds):
    p, q, r = np.array([false_discoveries(seed) for seed in range(n_seeds)]).T

    assert q.mean() <= 0.05
    assert p.mean() <= 0.05 + 2 * p.std(ddof=1) / np.sqrt(n_seeds)
    assert abs(r.mean()) < 4 * r.std(ddof=1) / np.sqrt(n_seeds)


def test_folds_taken_for_independent_would_make_silent_voxels_significant():
    """The counter-example: each pair of folds counts twice in cross-validation (see `CROSS_VALIDATED`)."""
    p, _, _ = np.array([false_discoveries(seed, null_scale=1.0) for seed in range(5)]).T

    assert p.mean() > 0.08


def story_and_time(study):
    """Which story it is, and where in it: nothing of what is told."""
    story = study.recordings.stacked(
        [np.tile(one, (clock.n_trs, 1)) for one, clock in zip(np.eye(8), study.recordings.clocks, strict=True)]
    )
    time = study.recordings.stacked([position(clock.n_trs) for clock in study.recordings.clocks])
    return problems.space(np.hstack([story, time, (story[:, :, None] * time[:, None, :]).reshape(len(story), -1)]))


def shuffled(n_rows):
    """The leaky counter-example: single TRs held out, their neighbours trained on."""
    outer = KFold(5, shuffle=True, random_state=0).split(np.arange(n_rows))
    return [Fold(train, test, tuple(KFold(4, shuffle=True, random_state=1).split(train))) for train, test in outer]


def test_a_feature_of_story_and_time_alone_scores_nothing_in_our_folds_and_much_in_leaky_ones(usual):
    design = story_and_time(usual)

    honest = usual.scored(design).r
    leaky = usual.scored(design, folds=shuffled(design.n_rows)).r

    # A run of 86 autocorrelated TRs counts as some 30 independent ones. Voxels are not counted: they share the design.
    error = 1 / np.sqrt(30 * len(usual.recordings.clocks))
    assert abs(honest.mean()) < error
    assert leaky.mean() > 4 * error
    assert (leaky > honest).mean() > 0.95


def test_no_row_of_a_held_out_story_is_trained_on(usual):
    run = np.repeat(np.arange(8), usual.recordings.run_lengths)

    for fold in usual.folds:
        assert not set(run[fold.train]) & set(run[fold.test])
        for fit, validation in fold.inner:
            assert not set(run[fold.train][fit]) & set(run[fold.train][validation])
